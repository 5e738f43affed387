// One asset: its versions and who runs them, its git history, its files, and what differs between two versions.
import { useState } from "preact/hooks";
import { at, href, query } from "../api.js";
import { useResource, wants } from "../resource.js";
import { go, params, setParams } from "../router.js";
import { whyNot } from "../session.js";
import { bytes, number, plural } from "../words.js";
import { Action } from "../parts/button.jsx";
import { Short } from "../parts/command.jsx";
import { Difference } from "../parts/difference.jsx";
import { Icon } from "../parts/icon.jsx";
import { Facts, Loaded, Nothing, Page, Section, Tabs } from "../parts/page.jsx";
import { Share, State } from "../parts/state.jsx";
import { Table } from "../parts/table.jsx";
import { Time } from "../parts/time.jsx";
import { PublishDialog } from "../dialogs/publish.jsx";
import { EndReleaseDialog, ReleaseDialog } from "../dialogs/release.jsx";
import { RunningIt, WithdrawDialog } from "../dialogs/withdraw.jsx";
import { groupHref } from "../dialogs/group.jsx";
import { productHref } from "./product.jsx";
import { assetHref } from "./assets.jsx";

export function Asset({ product, asset: name, tab = "versions", pair }) {
    const asset = useResource(at`/assets/${product}/${name}`, wants.asset(product, name));
    const [open, setOpen] = useState(null); // { what, version | group }
    const [publishing, setPublishing] = useState(false);
    const shown = pair ? "compare" : tab;
    const a = asset.data;
    const [from, to] = (pair ?? "").split("...");
    const usual = a && a.versions.length > 1 ? `${a.released && a.released !== a.versions[0].version ? a.released : a.versions[1].version}...${a.versions[0].version}` : null;
    const link = (tail) => assetHref(product, name, tail);
    const items = [
        ["versions", "Versions", link()],
        ["history", "History", link("/history")],
        ["files", "Files", link("/files")],
        ...(pair || usual ? [["compare", "Compare", link(`/compare/${pair ? `${encodeURIComponent(from)}...${encodeURIComponent(to ?? "")}` : usual}`)]] : []),
    ];
    return (
        <Page title={name} crumbs={[["Assets", "/assets"], [product, productHref(product)]]}
            lead={a && <><span class={a.kind === "diagnostic" ? "kind tone-diagnostic" : "kind"}>{a.kind}</span> <span class="muted">{a.kind === "diagnostic" ? "a temporary image, sent by campaigns" : a.released ? <>released: <code>{a.released}</code></> : "nothing released yet"} · {plural(a.versions.length, "version")}</span></>}
            actions={a && <>
                {a.kind === "diagnostic" && <a class="button" href={"/campaigns/new" + query({ image: `${product}/${name}@${a.newest}` })}><Icon name="campaign" />New campaign</a>}
                <Action primary icon="up" why={whyNot("release")} onClick={() => setPublishing(true)}>Publish a version</Action>
            </>}>
            <Tabs label="Asset" current={shown} items={items} />
            <Loaded of={asset} what={`the asset ${product}/${name}`} rows={6}>
                {(a) =>
                    shown === "history" ? <History product={product} name={name} />
                    : shown === "files" ? <Files asset={a} />
                    : shown === "compare" ? <Compare asset={a} from={from} to={to} />
                    : <Versions asset={a} open={setOpen} />}
            </Loaded>
            {open?.what === "release" && a && <ReleaseDialog asset={a} version={open.version} close={() => setOpen(null)} done={asset.reload} />}
            {open?.what === "withdraw" && a && <WithdrawDialog asset={a} version={open.version} close={() => setOpen(null)} done={asset.reload} />}
            {open?.what === "end" && <EndReleaseDialog product={product} asset={name} group={open.group} close={() => setOpen(null)} done={asset.reload} />}
            {publishing && a && <PublishDialog of={{ ...a, activation: a.versions[0]?.activation }} close={() => setPublishing(false)} done={asset.reload} />}
        </Page>
    );
}

/* Whose release a version is: the product's, groups'. */
const releasesOf = (asset, version) => (asset.releases ?? []).filter((r) => r.version === version);

function Versions({ asset, open }) {
    const running = asset.versions.reduce((sum, v) => sum + (v.devices ?? 0), 0);
    const diagnostic = asset.kind === "diagnostic";
    const link = (tail) => assetHref(asset.product, asset.name, tail);
    const columns = [
        { key: "version", title: "Version", main: true, cell: (v) => <><a href={link("/files" + query({ version: v.version }))}><code>{v.version}</code></a>{v.title && <div class="small wrap">{v.title}</div>}</> },
        { key: "state", title: "State", cell: (v) => <VersionState asset={asset} version={v} /> },
        ...(diagnostic ? [] : [{ key: "devices", title: "Devices", cell: (v) => <Adoption version={v} running={running} /> }]),
        { key: "at", title: "Published", cell: (v) => <><Time at={v.published_at} /><div class="small muted">{v.author}</div></> },
        { key: "size", title: "Size", num: true, cell: (v) => <>{bytes(v.length)}<div class="small muted">{plural(v.files, "file")}</div></> },
        { key: "notes", title: "Notes", wide: true, cell: (v) => <span class="wrap notes">{v.notes || <span class="muted">–</span>}</span> },
        { key: "do", title: "Actions", cell: (v) => <VersionActions asset={asset} version={v} open={open} /> },
    ];
    const groups = (asset.releases ?? []).filter((r) => r.group);
    const left = asset.versions.filter((v) => v.withdrawn && v.devices > 0);
    return (
        <>
            <Table label="Versions" columns={columns} rows={asset.versions} id={(v) => v.version} sorted={false} />
            {left.map((v) => (
                <Section key={v.version} title={`Still on ${v.version}, which is withdrawn`} id={`left-${v.version}`}>
                    <p>{v.withdrawn.reason} <span class="muted">({v.withdrawn.by}, <Time at={v.withdrawn.at} />)</span></p>
                    <RunningIt asset={asset} version={v.version} />
                </Section>
            ))}
            {groups.length > 0 && <Section title="Released to groups" id="groups"><Table label="Releases to groups" columns={groupColumns(open)} rows={groups} id={(r) => r.group} sorted={false} /></Section>}
        </>
    );
}

const groupColumns = (open) => [
    { key: "group", title: "Group", main: true, cell: (r) => <a href={groupHref(r.group)}>{r.group}</a> },
    { key: "version", title: "Version", cell: (r) => <code>{r.version}</code> },
    { key: "at", title: "Released", cell: (r) => <><Time at={r.at} /> <span class="muted">by {r.by}</span></> },
    { key: "do", title: "Actions", cell: (r) => <Action why={whyNot("release")} onClick={() => open({ what: "end", group: r.group })}>End…<span class="sr"> the release to {r.group}</span></Action> },
];

function VersionState({ asset, version: v }) {
    const to = releasesOf(asset, v.version).filter((r) => r.group);
    return (
        <span class="stack">
            {v.withdrawn ? <State name="withdrawn" /> : v.version === asset.released ? <State name="current" word="released" /> : to.length ? null : v.listed === false ? <State name="retired" word="not offered" /> : <span class="muted">available</span>}
            {!v.withdrawn && to.length > 0 && <State name="current" word={`in ${to.slice(0, 2).map((r) => r.group).join(", ")}${to.length > 2 ? ` and ${to.length - 2} more` : ""}`} />}
            {v.marker === "unmarked" && <span class="kind tone-attention" title="The program says nothing of its own product, asset and version: include locum_marker.h.">unmarked</span>}
            {v.marker === "marked" && <span class="kind" title="The program itself says this product, asset and version.">marked</span>}
        </span>
    );
}

/* How many run it, of all that run this asset; and of those, how many have proven it. */
const Adoption = ({ version: v, running }) => (
    <span class="live-value">
        <span class="share-cell"><span class="num">{number(v.devices ?? 0)}</span><Share part={v.devices ?? 0} whole={running} /></span>
        {v.proven !== undefined && v.devices > 0 && <span class="small muted">{v.proven === v.devices ? "all proven" : `${number(v.proven)} proven`}</span>}
    </span>
);

function VersionActions({ asset, version, open }) {
    const others = asset.versions.filter((v) => v.version !== version.version);
    const i = asset.versions.indexOf(version);
    const before = asset.released && asset.released !== version.version ? asset.released : (asset.versions[i + 1] ?? others[0])?.version;
    const gone = version.withdrawn ? "It is withdrawn." : null;
    const diagnostic = asset.kind === "diagnostic" ? "Diagnostic images are not released: a campaign sends them." : null;
    const role = whyNot("release");
    const rollout = role ?? diagnostic ?? gone;
    return (
        <span class="actions">
            {before ? <a class="button" href={assetHref(asset.product, asset.name, `/compare/${encodeURIComponent(before)}...${encodeURIComponent(version.version)}`)} title={`Compare with ${before}`}>Compare<span class="sr"> {version.version} with {before}</span></a> : <Action why="There is no other version.">Compare</Action>}
            <Action why={role ?? diagnostic ?? gone} onClick={() => open({ what: "release", version })}>Release…<span class="sr"> {version.version}</span></Action>
            {rollout ? <Action why={rollout}>Roll out<span class="sr"> {version.version}</span></Action> : <a class="button" href={"/rollouts/new" + query({ asset: `${asset.product}/${asset.name}@${version.version}` })}>Roll out<span class="sr"> {version.version}</span></a>}
            <Action why={role ?? gone} onClick={() => open({ what: "withdraw", version })}>Withdraw…<span class="sr"> {version.version}</span></Action>
        </span>
    );
}

/* Deeds as git's history names them, in words. */
const DEEDS = { publish: "published", release: "released", group_release: "released to a group", withdraw: "withdrawn", list: "signed anew" };

function History({ product, name }) {
    const history = useResource(at`/assets/${product}/${name}/history`, wants.asset(product, name));
    return (
        <Loaded of={history} what="the history" rows={6}>
            {(rows) => (
                <ol class="timeline">
                    {rows.map((row) => (
                        <li key={row.commit + row.what}>
                            <span class="timeline-at"><Time at={row.at} /><Short text={row.commit} size={10} /></span>
                            <span class="timeline-what">{DEEDS[row.what] ?? row.what}{row.version && <> <code>{row.version}</code></>}</span>
                            <span class="wrap"><span class="muted">{row.author}</span>{row.message && <> · {row.message}</>}</span>
                        </li>
                    ))}
                </ol>
            )}
        </Loaded>
    );
}

function Files({ asset }) {
    const chosen = params.value.get("version") ?? asset.released ?? asset.newest;
    const version = useResource(at`/assets/${asset.product}/${asset.name}/versions/${chosen}`);
    const file = (path) => href(at`/assets/${asset.product}/${asset.name}/versions/${chosen}/file` + query({ path }));
    const columns = [
        { key: "path", title: "File", main: true, wide: true, cell: (f) => <a class="wrap" href={file(f.path)} download={f.path.split("/").pop()}><code>{f.path}</code></a> },
        { key: "mode", title: "Mode", cell: (f) => (f.mode === 0o755 ? "program" : "file") },
        { key: "length", title: "Size", num: true, cell: (f) => bytes(f.length) },
        { key: "sha", title: "SHA-256", wide: true, cell: (f) => <code class="hash">{f.sha256}</code> },
    ];
    return (
        <>
            <div class="row">
                <label class="inline">Version{" "}
                    <select value={chosen} onChange={(e) => setParams({ version: e.currentTarget.value })}>
                        {asset.versions.map((v) => <option key={v.version} value={v.version}>{v.version}{v.version === asset.released ? " (released)" : ""}</option>)}
                    </select>
                </label>
            </div>
            <Loaded of={version} what={`version ${chosen}`} rows={4}>
                {(v) => (
                    <>
                        <Facts rows={[
                            ["published", <><Time at={v.published_at} both /> by {v.author}</>],
                            ["activation", v.activation],
                            ["hardware", v.hardware?.length ? v.hardware.join(", ") : "all revisions"],
                            ["security counter", v.counter],
                            v.requires && Object.keys(v.requires).length > 0 && ["needs", Object.entries(v.requires).map(([name, range]) => <div key={name}>{name} <code>{range}</code></div>)],
                            v.withdrawn && ["withdrawn", <><Time at={v.withdrawn.at} both /> by {v.withdrawn.by}: {v.withdrawn.reason}</>],
                            ["manifest", <code class="hash">{v.sha256}</code>],
                            ["commit", <code class="hash">{v.commit}</code>],
                            v.notes && ["notes", <span class="notes">{v.notes}</span>],
                        ]} />
                        <Table label="Files" columns={columns} rows={v.manifest.files} id={(f) => f.path} sorted={false} />
                    </>
                )}
            </Loaded>
        </>
    );
}

function Compare({ asset, from, to }) {
    const known = (version) => asset.versions.some((v) => v.version === version);
    const ready = known(from) && known(to);
    const difference = useResource(ready ? at`/assets/${asset.product}/${asset.name}/difference` + query({ from, to }) : null);
    const choose = (a, b) => go(assetHref(asset.product, asset.name, `/compare/${encodeURIComponent(a)}...${encodeURIComponent(b)}`));
    const select = (label, value, change) => (
        <label class="inline">{label}{" "}
            <select value={value} onChange={(e) => change(e.currentTarget.value)}>
                {!known(value) && <option value={value}>choose</option>}
                {asset.versions.map((v) => <option key={v.version} value={v.version}>{v.version}{v.version === asset.released ? " (released)" : ""}</option>)}
            </select>
        </label>
    );
    return (
        <>
            <div class="row">
                {select("From", from, (value) => choose(value, to))}
                {select("to", to, (value) => choose(from, value))}
                <button type="button" onClick={() => choose(to, from)}>Swap sides</button>
            </div>
            {ready
                ? <Loaded of={difference} what="the difference" rows={6}>{(d) => <Difference difference={d} />}</Loaded>
                : <Nothing>{from && to ? `One of the versions ${from} and ${to} does not exist.` : "Choose two versions."}</Nothing>}
        </>
    );
}
