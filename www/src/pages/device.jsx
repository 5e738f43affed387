// One device: what it runs now and until when, what it should run and why it does not, its facts and its story.
import { useState } from "preact/hooks";
import { api, at } from "../api.js";
import { useResource, wants } from "../resource.js";
import { now } from "../clock.js";
import { whyNot } from "../session.js";
import { say } from "../status.js";
import { RESULTS } from "../states.js";
import { absolute, bytes, shell } from "../words.js";
import { Action } from "../parts/button.jsx";
import { Command, Short } from "../parts/command.jsx";
import { DeviceState, RunsNow } from "../parts/device_cells.jsx";
import { DeviceWhy } from "../parts/device_why.jsx";
import { Field, FormDialog } from "../parts/dialog.jsx";
import { Icon } from "../parts/icon.jsx";
import { Facts, Loaded, Note, Nothing, Page, Section, Tabs } from "../parts/page.jsx";
import { State } from "../parts/state.jsx";
import { Table } from "../parts/table.jsx";
import { Left, Time } from "../parts/time.jsx";
import { assetHref } from "./assets.jsx";
import { AdmitButtons } from "../dialogs/admit.jsx";
import { groupHref } from "../dialogs/group.jsx";
import { PinButtons, PinDialog } from "../dialogs/pin.jsx";
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
    const [pinning, setPinning] = useState(null);
    return (
        <>
            {device.safe_mode && <Note tone="danger"><p><strong>Safe mode: the agent runs without the app.</strong> {device.safe_mode}</p><p>It stays in touch. What is missing is sent by itself, in the order of what needs what, and the app then starts without a hand.</p></Note>}
            {device.clone_suspected && <Note tone="danger"><p><strong>Clone suspected.</strong> Two devices seem to use this identity: a session counter went backwards. No new orders are sent until a person decides; reverts and reports go on.</p></Note>}
            <RunsNowBanner device={device} />
            <Section title="Assets" id="assets"><DeviceAssets device={device} open={setPinning} reload={reload} /></Section>
            <Section title="Why these versions?" id="why"><DeviceWhy name={device.name} /></Section>
            <div class="columns">
                <Section title="Facts" id="facts">
                    {Object.keys(device.facts ?? {}).length ? <Facts rows={Object.entries(device.facts).filter(([key]) => key !== "timezone").map(([key, value]) => [key.replace(/_bytes$/, "").replaceAll("_", " "), fact(key, value)])} /> : <p class="muted">The device has not told any yet.</p>}
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
                        ["time zone", device.timezone && <LocalTime zone={device.timezone} />],
                        ["groups", device.groups?.length ? <span class="tags">{device.groups.map((group) => <a key={group} class="tag" href={groupHref(group)}>{group}</a>)}</span> : <span class="muted">none</span>],
                    ]} />
                    <Tags device={device} reload={reload} />
                    <Development device={device} reload={reload} />
                </Section>
            </div>
            <Command text={`locum device show ${shell(device.name)} --json; locum device why ${shell(device.name)}`} label="the same on a command line" />
            {pinning && <PinDialog device={device} asset={pinning} close={() => setPinning(null)} done={reload} />}
        </>
    );
}

/* What the clock says where the device is: windows are in this time. */
const LocalTime = ({ zone }) => {
    try {
        return <>{zone} <span class="muted">· {new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit", weekday: "short" }).format(now.value)} there now</span></>;
    } catch {
        return zone;
    }
};

/* A development device keeps what it has: undone by the same switch, so nothing is asked. */
function Development({ device, reload }) {
    const [busy, setBusy] = useState(false);
    const on = !device.development;
    async function turn() {
        setBusy(true);
        try {
            await api.put(at`/devices/${device.name}/development`, { development: on });
            say(on ? `${device.name} is a development device: releases and rollouts leave it alone.` : `${device.name} takes releases and rollouts again.`);
            reload();
        } catch (error) {
            say(error.message);
        }
        setBusy(false);
    }
    return (
        <div class="tags-row">
            <span class="muted">development</span>
            <span>{device.development ? "yes: it keeps what it has" : "no: it takes releases and rollouts"}</span>
            <Action why={whyNot("support")} busy={busy} onClick={turn}>{on ? "Make it a development device" : "End development"}</Action>
        </div>
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

const ASSET_COLUMNS = (device, open, reload) => [
    { key: "asset", title: "Asset", main: true, cell: (r) => <a href={assetHref(device.product, r.asset)}>{r.asset}</a> },
    { key: "runs", title: "Runs", cell: (r) => (r.version ? <code class="live-value">{r.version}</code> : <span class="muted">nothing</span>) },
    { key: "wanted", title: "Wanted", cell: (r) => <>{r.wanted ? <code>{r.wanted}</code> : <span class="muted">nothing</span>}{r.pin && <div class="small"><Icon name="pin" /> pinned{r.pin.when === "reset" && " at its next start"}</div>}</> },
    { key: "state", title: "State", cell: (r) => <AssetState row={r} /> },
    { key: "why", title: "Why", wide: true, cell: (r) => <span class="wrap">{why(r)}</span> },
    { key: "hash", title: "Manifest", cell: (r) => <Short text={r.sha256} /> },
    { key: "do", title: "Pin", cell: (r) => <PinButtons device={device} asset={r.asset} open={open} done={reload} /> },
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
    if (row.pin) return <>pinned to {row.pin.version} by {row.pin.by}, <Time at={row.pin.at} />{row.pin.reason && `: ${row.pin.reason}`}</>;
    if (row.version && row.version === row.wanted) return <span class="muted">runs what is wanted</span>;
    if (!row.wanted) return <span class="muted">no version is released; it stays with what it has</span>;
    if (row.offline) return `The device is not in touch; it takes ${row.wanted} when it comes back.`;
    return `It takes ${row.wanted} at its next check-in.`;
}

function DeviceAssets({ device, open, reload }) {
    const names = [...new Set([...Object.keys(device.running ?? {}), ...Object.keys(device.wanted ?? {}), ...Object.keys(device.unfit ?? {}), ...(device.pins ?? []).map((pin) => pin.asset)])].sort();
    if (!names.length) return <Nothing command={`locum asset release ${device.product}/ASSET VERSION`}>Nothing is released for {device.product} yet, so the device runs no asset.</Nothing>;
    const offline = device.connectivity === "offline" || device.connectivity === "never_seen";
    const rows = names.map((asset) => ({ asset, offline, ...device.running?.[asset], unfit: device.unfit?.[asset], pin: device.pins?.find((pin) => pin.asset === asset), wanted: device.wanted?.[asset] ?? device.running?.[asset]?.wanted }));
    return <Table label="Assets of the device" columns={ASSET_COLUMNS(device, open, reload)} rows={rows} id={(r) => r.asset} sorted={false} />;
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
