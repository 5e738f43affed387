// One diagnostic image: its limits in words, its versions, and the campaigns that sent it.
import { at, query } from "../api.js";
import { useResource, wants } from "../resource.js";
import { params } from "../router.js";
import { imageHref, useLimits } from "../limits.js";
import { imageWords, modeWord } from "../image_words.js";
import { bytes, plural } from "../words.js";
import { Icon } from "../parts/icon.jsx";
import { Facts, Loaded, Nothing, Page, Section } from "../parts/page.jsx";
import { State } from "../parts/state.jsx";
import { Table } from "../parts/table.jsx";
import { Time } from "../parts/time.jsx";
import { assetHref } from "./assets.jsx";
import { CampaignsTable } from "./campaigns.jsx";
import { Returned } from "./images.jsx";

export function Image({ product, image: name }) {
    const images = useResource("/images", (type) => wants.assets(type) || type === "run");
    const asset = useResource(at`/assets/${product}/${name}`, wants.asset(product, name));
    const image = images.data?.find((one) => one.product === product && one.name === name);
    const version = params.value.get("version") ?? image?.newest;
    return (
        <Page title={name} crumbs={[["Images", "/images"]]}
            lead={image && <><span class="kind tone-diagnostic">{modeWord(image.limits.mode)}</span> <span class="muted">{product} · {plural(image.versions, "version")} · </span><Returned returns={image.returns} long /></>}
            actions={image && <><a class="button" href={assetHref(product, name)}>Files and history</a><a class="button primary" href={"/campaigns/new" + query({ image: `${product}/${name}@${version}` })}><Icon name="campaign" />New campaign</a></>}>
            <Loaded of={images} what={`the image ${name}`} rows={6}>
                {() => !image ? <Nothing action={<a class="button" href="/images">All images</a>}>There is no diagnostic image {product}/{name}.</Nothing> : (
                    <>
                        <Section title={`What ${version} may do`} id="limits"><Limits image={image} version={version} /></Section>
                        <Loaded of={asset} what="the versions" rows={3}>
                            {(a) => <Section title="Versions" id="versions"><Table label="Versions" columns={columns(a, version)} rows={a.versions} id={(v) => v.version} sorted={false} /></Section>}
                        </Loaded>
                        <Past image={image} />
                    </>
                )}
            </Loaded>
        </Page>
    );
}

function Limits({ image, version }) {
    const limits = useLimits(image, version);
    return limits ? <Facts rows={imageWords(limits)} /> : <p class="muted" role="status">Reading the limits…</p>;
}

const columns = (a, shown) => [
    { key: "version", title: "Version", main: true, cell: (v) => <a href={imageHref(a.product, a.name, query({ version: v.version }))} aria-current={v.version === shown ? "true" : undefined}><code>{v.version}</code></a> },
    { key: "title", title: "What", wide: true, cell: (v) => (v.title || v.notes ? <><span class="wrap">{v.title}</span>{v.notes && <div class="small muted notes wrap">{v.notes}</div>}</> : <span class="muted">–</span>) },
    { key: "state", title: "State", cell: (v) => (v.withdrawn ? <State name="rejected" word="withdrawn" /> : v.listed ? <State name="current" word="can be sent" /> : <span class="muted">not offered</span>) },
    { key: "size", title: "Size", num: true, cell: (v) => bytes(v.length) },
    { key: "at", title: "Published", num: true, cell: (v) => <><Time at={v.published_at} /><div class="small muted">{v.author}</div></> },
    { key: "send", title: "Send", cell: (v) => (v.withdrawn ? <span class="muted">–</span> : <a href={"/campaigns/new" + query({ image: `${a.product}/${a.name}@${v.version}` })}>New campaign<span class="sr"> with {v.version}</span></a>) },
];

/* The campaigns of this image among the newest thousand. */
function Past({ image }) {
    const campaigns = useResource("/campaigns?limit=1000", wants.campaigns);
    return (
        <Section title="Campaigns" id="campaigns">
            <Loaded of={campaigns} what="the campaigns" rows={3}>
                {(all) => {
                    const mine = all.filter((c) => c.image.product === image.product && c.image.asset === image.name).slice(0, 50);
                    return mine.length ? <CampaignsTable rows={mine} /> : <p class="muted">No campaign has sent this image yet.</p>;
                }}
            </Loaded>
        </Section>
    );
}
