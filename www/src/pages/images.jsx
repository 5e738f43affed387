// Diagnostic images: what each may do, and how reliably devices came back from it.
import { useResource, wants } from "../resource.js";
import { params, setParams } from "../router.js";
import { bytes, duration, number, plural } from "../words.js";
import { imageHref } from "../limits.js";
import { modeWord } from "../image_words.js";
import { FilterBox } from "../parts/filter.jsx";
import { Loaded, NoMatch, Nothing, Page } from "../parts/page.jsx";
import { Share, State } from "../parts/state.jsx";
import { ExportCsv, Table } from "../parts/table.jsx";
import { Time } from "../parts/time.jsx";

const back = (r) => (r?.begun - r?.running > 0 ? r.returned / (r.begun - r.running) : null);

export function Returned({ returns: r, long }) {
    if (!r?.begun) return <span class="muted">not sent yet</span>;
    const over = r.begun - r.running;
    const missing = over - r.returned;
    return (
        <>
            {over > 0 && <span class="inline">{long && <Share part={r.returned} whole={over} tone={missing ? "danger" : "success"} />}<State name={missing ? "lost" : "done"} word={missing ? `${number(missing)} of ${number(over)} not proven back` : `${number(r.returned)} of ${number(over)} back, proven`} /></span>}
            {r.running > 0 && <span class="small muted"> {number(r.running)} on it now</span>}
        </>
    );
}

const COLUMNS = [
    { key: "name", title: "Image", main: true, sort: (i) => `${i.product}/${i.name}`, cell: (i) => <a href={imageHref(i.product, i.name)}><span class="muted">{i.product}/</span>{i.name}</a> },
    { key: "mode", title: "Mode", sort: (i) => i.limits.mode, cell: (i) => modeWord(i.limits.mode) },
    { key: "newest", title: "Newest", sort: (i) => i.newest, cell: (i) => <><code>{i.newest}</code>{i.versions > 1 && <span class="small muted"> of {i.versions}</span>}</> },
    { key: "runtime", title: "At most", num: true, sort: (i) => i.limits.max_runtime_s, cell: (i) => <>{duration(i.limits.max_runtime_s)}, {bytes(i.limits.max_output)}</> },
    { key: "back", title: "Back to the app", sort: (i) => back(i.returns), text: (i) => back(i.returns) ?? "", cell: (i) => <Returned returns={i.returns} /> },
    { key: "at", title: "Published", num: true, sort: (i) => i.published_at, cell: (i) => <Time at={i.published_at} /> },
];

export function Images() {
    const images = useResource("/images", (type) => wants.assets(type) || type === "run");
    const filter = params.value.get("filter") ?? "";
    const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = (images.data ?? []).filter((i) => words.every((word) => `${i.product}/${i.name} ${i.limits.mode}`.includes(word)));
    return (
        <Page title="Images" lead="Temporary diagnostic images, with the limits that were signed with them." actions={images.data?.length > 0 && <ExportCsv name="images" columns={COLUMNS} rows={rows} />}>
            {images.data?.length > 0 && <FilterBox label="Filter images" placeholder="Filter: name or mode" count={plural(rows.length, "image")} />}
            <Loaded of={images} what="the images" rows={4}>
                {(all) =>
                    !all.length ? <Nothing action={<a class="button" href="/assets?publish=1">Publish an image</a>} command="locum asset publish demo/raw-counters --version 1.0.0 --kind diagnostic FOLDER">There is no diagnostic image yet. It is an asset of kind diagnostic: a folder with its programs and diagnostic.json.</Nothing>
                    : !rows.length ? <NoMatch filter={filter} what="images" clear={() => setParams({ filter: null })} />
                    : <Table label="Images" columns={COLUMNS} rows={rows} id={(i) => `${i.product}/${i.name}`} />}
            </Loaded>
        </Page>
    );
}
