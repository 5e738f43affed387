// One device: what it runs now and until when, what it should run and why it does not, its facts and its story.
import { useState } from "preact/hooks";
import { api, at } from "../api.js";
import { useResource, wants } from "../resource.js";
import { whyNot } from "../session.js";
import { say } from "../status.js";
import { RESULTS } from "../states.js";
import { absolute, bytes, shell } from "../words.js";
import { Action } from "../parts/button.jsx";
import { Command, Short } from "../parts/command.jsx";
import { DeviceState, RunsNow } from "../parts/device_cells.jsx";
import { Field, FormDialog } from "../parts/dialog.jsx";
import { Icon } from "../parts/icon.jsx";
import { Facts, Loaded, Note, Nothing, Page, Section, Tabs } from "../parts/page.jsx";
import { State } from "../parts/state.jsx";
import { Table } from "../parts/table.jsx";
import { Left, Time } from "../parts/time.jsx";
import { AdmitButtons } from "../dialogs/admit.jsx";
import { RetireDialog } from "../dialogs/retire.jsx";
import { CapturesTable } from "../parts/captures_table.jsx";

const TABS = [["overview", "Overview"], ["timeline", "Timeline"], ["captures", "Captures"]];

export function Device({ name, tab = "overview" }) {
    const device = useResource(at`/devices/${name}`, wants.device(name));
    const [retire, setRetire] = useState(false);
    const d = device.data;
    const base = `/devices/${encodeURIComponent(name)}`;
    return (
        <Page title={name} crumbs={[["Devices", "/devices"]]}
            lead={d && <><DeviceState device={d} /> <span class="muted">{d.product}{d.hardware && ` ${d.hardware}`} · seen <Time at={d.last_seen} none="never" /></span></>}
            actions={d && <DeviceActions device={d} reload={device.reload} retire={() => setRetire(true)} />}>
            <Tabs label="Device" current={tab} items={TABS.map(([key, text]) => [key, text, key === "overview" ? base : `${base}/${key}`])} />
            <Loaded of={device} what={`the device ${name}`} rows={6}>
                {(d) => tab === "timeline" ? <Timeline name={name} /> : tab === "captures" ? <DeviceCaptures name={name} /> : <DeviceOverview device={d} reload={device.reload} />}
            </Loaded>
            {retire && d && <RetireDialog device={d} close={() => setRetire(false)} done={device.reload} />}
        </Page>
    );
}

function DeviceActions({ device, reload, retire }) {
    const support = whyNot("support");
    const notAccepted = device.admission !== "accepted" ? `The device is ${device.admission}.` : null;
    const busy = device.image ? `It is on ${device.image.image} until that has returned.` : null;
    const to = "/campaigns/new?" + new URLSearchParams({ device: device.name });
    return (
        <>
            {(device.admission !== "accepted" || device.clone_suspected) && <AdmitButtons device={device} done={reload} />}
            {support ?? notAccepted ?? busy
                ? <Action icon="campaign" why={support ?? notAccepted ?? busy}>Diagnose</Action>
                : <a class="button" href={to}><Icon name="campaign" />Diagnose</a>}
            <Action why={support ?? (device.admission === "retired" ? "It is retired already." : null)} onClick={retire}>Retire…</Action>
        </>
    );
}

function DeviceOverview({ device, reload }) {
    return (
        <>
            {device.clone_suspected && <Note tone="danger"><p><strong>Clone suspected.</strong> Two devices seem to use this identity: a session counter went backwards. No new orders are sent until a person decides; reverts and reports go on.</p></Note>}
            <RunsNowBanner device={device} />
            <Section title="Assets" id="assets"><DeviceAssets device={device} /></Section>
            <div class="columns">
                <Section title="Facts" id="facts">
                    {Object.keys(device.facts ?? {}).length ? <Facts rows={Object.entries(device.facts).map(([key, value]) => [key.replace(/_bytes$/, "").replaceAll("_", " "), fact(key, value)])} /> : <p class="muted">The device has not told any yet.</p>}
                </Section>
                <Section title="Identity" id="identity">
                    <Facts rows={[
                        ["admission", <State name={device.admission} />],
                        ["enrolled", <Time at={device.enrolled_at} both />],
                        ["product", device.product],
                        ["hardware", device.hardware ?? <span class="muted">not said</span>],
                        ["key id", <Short text={device.key_id} size={24} />],
                        ["order", device.order_seq ? <code>{device.order_seq}</code> : <span class="muted">none yet</span>],
                        ["generation", device.generation ?? <span class="muted">–</span>],
                    ]} />
                    <Tags device={device} reload={reload} />
                </Section>
            </div>
            <Command text={`locum device show ${shell(device.name)} --json`} label="the same on a command line" />
        </>
    );
}

const fact = (key, value) => (key.endsWith("_bytes") && /^\d+$/.test(value) ? bytes(Number(value)) : <span class="wrap">{String(value)}</span>);

/* "Runs now": the image with its countdown, or the assets and the app. */
function RunsNowBanner({ device }) {
    const { image, app } = device;
    if (image)
        return (
            <div class={`runs-now tone-${device.overdue ? "danger" : "diagnostic"}`}>
                <Icon name={device.overdue ? "alarm" : "play"} />
                <div>
                    <p class="runs-now-what">
                        <strong>Diagnostic {image.image} {image.version}</strong>
                        {image.ends_at && <>, {device.overdue ? "overdue by " : "returns in "}<strong><Left at={image.ends_at} over="" /></strong></>}
                    </p>
                    <p><State name={image.state} /> <a href={`/campaigns/${image.campaign}/runs/${image.run}`}>campaign {image.campaign}, run {image.run}</a></p>
                </div>
            </div>
        );
    return (
        <div class="runs-now">
            <Icon name="device" />
            <div>
                <p class="runs-now-what"><span class="muted">Runs now: </span><RunsNow device={device} /></p>
                <p>
                    <span class="muted">App: </span>
                    {app ? <><State name={app.state} tone={app.state === "running" ? "success" : app.state === "failed" ? "danger" : "neutral"} word={app.state === "none" ? "none configured" : `app ${app.state}`} />{app.pid ? <span class="muted"> pid {app.pid}, since <Time at={app.since} /></span> : null}</> : <span class="muted">not reported yet</span>}
                </p>
                {device.waiting && <p><State name="waiting" word={device.waiting} /></p>}
            </div>
        </div>
    );
}

const ASSET_COLUMNS = (product) => [
    { key: "asset", title: "Asset", main: true, cell: (r) => <a href={`/assets/${encodeURIComponent(product)}/${encodeURIComponent(r.asset)}`}>{r.asset}</a> },
    { key: "runs", title: "Runs", cell: (r) => (r.version ? <code class="live-value">{r.version}</code> : <span class="muted">nothing</span>) },
    { key: "wanted", title: "Wanted", cell: (r) => (r.wanted ? <code>{r.wanted}</code> : <span class="muted">nothing</span>) },
    { key: "state", title: "State", cell: (r) => <AssetState row={r} /> },
    { key: "why", title: "Why", wide: true, cell: (r) => <span class="wrap">{why(r)}</span> },
    { key: "hash", title: "Manifest", cell: (r) => <Short text={r.sha256} /> },
];

function AssetState({ row }) {
    if (row.state && row.state !== "idle") return <State name={row.state} />;
    if (row.wanted && row.version === row.wanted) return <State name="current" />;
    if (row.result > 1 && row.result !== 11) return <State name="failed" word={RESULTS[row.result] ?? `result ${row.result}`} />;
    if (row.wanted) return <State name="waiting" />;
    return <State name="idle" />;
}

function why(row) {
    if (row.reason) return row.reason;
    if (row.unfit) return `${row.unfit.version} is released for hardware ${row.unfit.hardware.join(", ")} only; ${row.wanted ? `this device gets ${row.wanted}` : "this device gets none"}.`;
    if (row.version && row.version === row.wanted) return <span class="muted">runs what is released</span>;
    if (!row.wanted) return <span class="muted">no version is released; it stays with what it has</span>;
    if (row.offline) return `The device is not in touch; it takes ${row.wanted} when it comes back.`;
    return `It takes ${row.wanted} at its next check-in.`;
}

function DeviceAssets({ device }) {
    const names = [...new Set([...Object.keys(device.running ?? {}), ...Object.keys(device.wanted ?? {}), ...Object.keys(device.unfit ?? {})])].sort();
    if (!names.length) return <Nothing command={`locum asset release ${device.product}/ASSET VERSION`}>Nothing is released for {device.product} yet, so the device runs no asset.</Nothing>;
    const offline = device.connectivity === "offline" || device.connectivity === "never_seen";
    const rows = names.map((asset) => ({ asset, offline, ...device.running?.[asset], unfit: device.unfit?.[asset], wanted: device.wanted?.[asset] ?? device.running?.[asset]?.wanted }));
    return <Table label="Assets of the device" columns={ASSET_COLUMNS(device.product)} rows={rows} id={(r) => r.asset} sorted={false} />;
}

function Tags({ device, reload }) {
    const [open, setOpen] = useState(false);
    return (
        <div class="tags-row">
            <span class="muted">tags</span>
            <span class="tags">{device.tags.length ? device.tags.map((tag) => <a key={tag} class="tag" href={"/devices?filter=" + encodeURIComponent(`tag:${tag}`)}>{tag}</a>) : <span class="muted">none</span>}</span>
            <Action why={whyNot("support")} onClick={() => setOpen(true)}>Edit tags</Action>
            {open && <TagsDialog device={device} close={() => setOpen(false)} done={reload} />}
        </div>
    );
}

function TagsDialog({ device, close, done }) {
    const [text, setText] = useState(device.tags.join(" "));
    const tags = [...new Set(text.split(/[\s,]+/).filter(Boolean))];
    async function submit() {
        await api.put(at`/devices/${device.name}/tags`, { tags });
        say(`Tags of ${device.name} saved.`);
        done();
        close();
    }
    return (
        <FormDialog title={`Tags of ${device.name}`} close={close} submit={submit} verb="Save tags">
            <Field label="Tags" help="Separated by spaces. Filters find them as tag:NAME." value={text} autocomplete="off" onInput={(e) => setText(e.currentTarget.value)} />
        </FormDialog>
    );
}

function Timeline({ name }) {
    const timeline = useResource(at`/devices/${name}/timeline`, wants.device(name));
    return (
        <Loaded of={timeline} what="the timeline" rows={6}>
            {(rows) => rows.length === 0 ? <Nothing>Nothing has happened to this device yet.</Nothing> : (
                <ol class="timeline">
                    {rows.map((row, i) => (
                        <li key={row.at + i}>
                            <span class="timeline-at"><Time at={row.at} /><span class="muted small">{absolute(new Date(row.at))}</span></span>
                            <span class="timeline-what">{row.what}</span>
                            <span class="wrap">{row.text}</span>
                        </li>
                    ))}
                </ol>
            )}
        </Loaded>
    );
}

function DeviceCaptures({ name }) {
    const captures = useResource("/captures?device=" + encodeURIComponent(name), wants.captures);
    return (
        <Loaded of={captures} what="the captures" rows={4}>
            {(rows) => rows.length ? <CapturesTable rows={rows} /> : <Nothing action={<a class="button" href={"/campaigns/new?device=" + encodeURIComponent(name)}>Diagnose {name}</a>}>No diagnostic image has collected anything on this device yet.</Nothing>}
        </Loaded>
    );
}
