// The catalogue of assets.
import { useState } from "preact/hooks";
import { useResource, wants } from "../resource.js";
import { params, setParams } from "../router.js";
import { whyNot } from "../session.js";
import { number, plural } from "../words.js";
import { Action } from "../parts/button.jsx";
import { FilterBox } from "../parts/filter.jsx";
import { Loaded, NoMatch, Nothing, Page } from "../parts/page.jsx";
import { ExportCsv, Table } from "../parts/table.jsx";
import { Time } from "../parts/time.jsx";
import { PublishDialog } from "../dialogs/publish.jsx";

export const assetHref = (product, asset, tail = "") => `/assets/${encodeURIComponent(product)}/${encodeURIComponent(asset)}${tail}`;

const COLUMNS = [
    { key: "name", title: "Asset", main: true, sort: (a) => `${a.product}/${a.name}`, cell: (a) => <a href={assetHref(a.product, a.name)}><span class="muted">{a.product}/</span>{a.name}</a> },
    { key: "kind", title: "Kind", sort: (a) => a.kind, cell: (a) => <span class={a.kind === "diagnostic" ? "kind tone-diagnostic" : "kind"}>{a.kind}</span> },
    { key: "released", title: "Released", sort: (a) => a.released, cell: (a) => (a.kind === "diagnostic" ? <span class="muted">sent by campaigns</span> : a.released ? <code>{a.released}</code> : <span class="muted">nothing yet</span>) },
    { key: "newest", title: "Newest", sort: (a) => a.newest, cell: (a) => <code>{a.newest}</code> },
    { key: "versions", title: "Versions", num: true, sort: (a) => a.versions, cell: (a) => number(a.versions) },
    { key: "at", title: "Published", num: true, sort: (a) => a.published_at, cell: (a) => <Time at={a.published_at} /> },
];

export function Assets() {
    const assets = useResource("/assets?limit=1000", wants.assets);
    const products = useResource("/products", wants.assets);
    const publishing = params.value.get("publish") === "1";
    const filter = params.value.get("filter") ?? "";
    const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = (assets.data ?? []).filter((a) => words.every((word) => `${a.product}/${a.name} ${a.kind}`.includes(word)));
    const publish = <Action primary icon="plus" why={whyNot("release")} onClick={() => setParams({ publish: "1" })}>Publish an asset</Action>;
    return (
        <Page title="Assets" actions={assets.data?.length > 0 && <><ExportCsv name="assets" columns={COLUMNS} rows={rows} />{publish}</>}>
            {assets.data?.length > 0 && <FilterBox label="Filter assets" placeholder="Filter: name or kind" count={plural(rows.length, "asset")} />}
            <Loaded of={assets} what="the assets" rows={6}>
                {(all) =>
                    !all.length ? <Nothing action={publish} command="locum asset publish demo/detector --version 1.0.0 --kind model model.bin">No asset has been published yet. Every version is kept in a git repository.</Nothing>
                    : !rows.length ? <NoMatch filter={filter} what="assets" clear={() => setParams({ filter: null })} />
                    : <Table label="Assets" columns={COLUMNS} rows={rows} id={(a) => `${a.product}/${a.name}`} />}
            </Loaded>
            {publishing && !whyNot("release") && products.data && <PublishDialog products={products.data} close={() => setParams({ publish: null })} done={assets.reload} />}
        </Page>
    );
}
