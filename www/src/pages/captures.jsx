// What was collected: by campaign, run and device.
import { query } from "../api.js";
import { useResource, wants } from "../resource.js";
import { params, setParams } from "../router.js";
import { plural } from "../words.js";
import { FilterBox } from "../parts/filter.jsx";
import { Loaded, NoMatch, Nothing, Page } from "../parts/page.jsx";
import { CAPTURE_COLUMNS, CapturesTable, CompareAction } from "../parts/captures_table.jsx";
import { ExportCsv, More } from "../parts/table.jsx";

export function Captures() {
    const of = (name) => params.value.get(name) ?? "";
    const limit = Math.min(1000, Number(of("limit")) || 200);
    const narrowed = ["campaign", "run", "device"].filter((name) => of(name));
    const filter = of("filter");
    const captures = useResource("/captures" + query({ campaign: of("campaign"), run: of("run"), device: of("device"), limit }), wants.captures, { list: true });
    const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = (captures.data?.rows ?? []).filter((c) => words.every((word) => `${c.device} ${c.image} ${c.version} ${c.state} ${c.campaign}`.toLowerCase().includes(word)));
    const clear = () => setParams({ filter: null, campaign: null, run: null, device: null });
    const says = [...narrowed.map((name) => `${name}:${of(name)}`), filter].filter(Boolean).join(" ");
    return (
        <Page title="Captures" actions={rows.length > 0 && <><CompareAction /><ExportCsv name="captures" columns={CAPTURE_COLUMNS} rows={rows} /></>}>
            {(captures.data?.rows.length > 0 || says) && <FilterBox label="Search in the captures shown" placeholder="Search: device, image, state" count={captures.data && plural(rows.length, "capture")} />}
            {narrowed.length > 0 && <p class="row"><span>Only {narrowed.map((name) => `${name} ${of(name)}`).join(", ")}</span><button type="button" onClick={clear}>Show all captures</button></p>}
            <Loaded of={captures} what="the captures" rows={6}>
                {({ rows: all, total }) =>
                    rows.length ? <><CapturesTable rows={rows} choice /><More shown={all.length} total={total} limit={limit} what="captures" /></>
                    : says ? <NoMatch filter={says} what="captures" clear={clear} />
                    : <Nothing action={<a class="button" href="/campaigns/new">New campaign</a>} command="locum campaign create --image demo/raw-counters --device NAME --duration 30s">Nothing has been collected yet. What a diagnostic image writes arrives here after the device has returned.</Nothing>}
            </Loaded>
        </Page>
    );
}
