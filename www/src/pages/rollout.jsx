// One rollout: its stages with their gates, every device, what failed and why, its story. Live.
import { useState } from "preact/hooks";
import { at, query } from "../api.js";
import { useResource, wants } from "../resource.js";
import { params, setParams } from "../router.js";
import { whyNot } from "../session.js";
import { RESULTS, stateOf } from "../states.js";
import { STEP_ORDER, looks, rolloutState, settingsWords, stepState, whom } from "../rollout_words.js";
import { absolute, number, plural } from "../words.js";
import { Action } from "../parts/button.jsx";
import { Command } from "../parts/command.jsx";
import { Facts, Loaded, NoMatch, Note, Nothing, Page, Section, Tabs } from "../parts/page.jsx";
import { State, StateBar } from "../parts/state.jsx";
import { ExportCsv, More, Table } from "../parts/table.jsx";
import { Left, Time } from "../parts/time.jsx";
import { ActDialog, ExcludeDialog, RolloutActions } from "../dialogs/rollout.jsx";
import { assetHref } from "./assets.jsx";

const TABS = [["stages", "Stages"], ["devices", "Devices"], ["timeline", "Timeline"], ["definition", "Definition"]];

export function Rollout({ id, tab = "stages" }) {
    const rollout = useResource(at`/rollouts/${id}`, wants.rollout(+id));
    const [act, setAct] = useState(null);
    const r = rollout.data;
    const base = `/rollouts/${id}`;
    return (
        <Page title={`Rollout ${id}`} crumbs={[["Rollouts", "/rollouts"]]}
            lead={r && <span class="live-value"><State name={rolloutState(r.state)} /> <span class="muted">{r.asset} {r.version} for {r.by.devices === undefined && `${whom(r.by)}, `}{plural(r.devices, "device")} · since <Time at={r.since} /></span></span>}
            actions={r && <RolloutActions rollout={r} open={setAct} reload={rollout.reload} />}>
            <Tabs label="Rollout" current={tab} items={TABS.map(([key, text]) => [key, text, key === "stages" ? base : `${base}/${key}`])} />
            <Loaded of={rollout} what={`rollout ${id}`} rows={6}>
                {(r) => (
                    <>
                        {r.reason && <Note tone={["held", "paused", "awaiting_approval"].includes(r.state) ? "attention" : "neutral"} icon={stateOf(rolloutState(r.state)).icon}><p><strong>{stateOf(rolloutState(r.state)).word}:</strong> {r.reason.text}</p></Note>}
                        {tab === "devices" ? <Devices rollout={r} /> : tab === "timeline" ? <Timeline id={id} /> : tab === "definition" ? <Definition rollout={r} /> : <Stages rollout={r} />}
                    </>
                )}
            </Loaded>
            {act && r && <ActDialog verb={act} rollout={r} close={() => setAct(null)} done={rollout.reload} />}
        </Page>
    );
}

const stageState = { waiting: "not_begun", running: "rolling_out" };

function Stages({ rollout: r }) {
    const columns = [
        { key: "n", title: "Stage", main: true, cell: (s) => <span>{s.number}<span class="muted">: to {s.share.endsWith("%") ? s.share : plural(Number(s.share), "device")}</span></span> },
        { key: "state", title: "State", cell: (s) => <><State name={stageState[s.state] ?? s.state} word={s.state === "waiting" ? "waits" : undefined} />{s.until && <div class="small muted live-value">{s.state === "soaking" ? "for " : "at the latest in "}<Left at={s.until} /></div>}</> },
        { key: "devices", title: "Devices", num: true, cell: (s) => number(s.devices) },
        { key: "counts", title: "How far", wide: true, cell: (s) => <a class="plain-link" href={`/rollouts/${r.id}/devices` + query({ stage: s.number })}><span class="live-value"><StateBar counts={looks(s.counts)} total={s.devices} order={STEP_ORDER} /></span><span class="sr"> Devices of stage {s.number}</span></a> },
        { key: "gate", title: "Gate", cell: (s) => <Gate rollout={r} stage={s} /> },
        { key: "at", title: "Begun", cell: (s) => <Time at={s.started_at} none="not yet" /> },
    ];
    return (
        <>
            <div class="run-bar live-value"><StateBar counts={looks(r.counts)} total={r.devices} order={STEP_ORDER} /></div>
            <Table label="Stages" columns={columns} rows={r.stages} id={(s) => s.number} sorted={false} />
            {r.counts.failed > 0 && <Section title="Failures" id="failures"><Failures rollout={r} /></Section>}
            <Command text={`locum rollout watch ${r.id}`} label="on a command line" />
        </>
    );
}

/* What lets the next stage begin, with the figures so far. */
function Gate({ rollout: r, stage }) {
    const failed = stage.counts.failed ?? 0;
    const accepted = stage.accepted > 0 && ` (${number(stage.accepted)} accepted)`;
    const good = (stage.counts.applied ?? 0) + (stage.counts.already_current ?? 0);
    const last = stage.number === r.stages.length;
    const rows = [
        r.max_failures && <>failed <strong class="num">{number(failed)}</strong>{accepted}, at most {r.max_failures}</>,
        r.min_successes && <>proven <strong class="num">{number(good)}</strong>, at least {number(r.min_successes)}</>,
        r.approval && !last && "a person's approval",
    ].filter(Boolean);
    return rows.length ? <ul class="plain-list small">{rows.map((row, i) => <li key={i}>{row}</li>)}</ul> : <span class="muted">none</span>;
}

function Failures({ rollout: r }) {
    const failures = useResource(at`/rollouts/${r.id}/failures`, wants.rollout(r.id));
    return (
        <Loaded of={failures} what="the failures" rows={2}>
            {(groups) => groups.map((one) => (
                <article key={one.code + one.text} class="failure">
                    <h3><State name="failed" word={plural(one.devices, "device")} /> {one.text}</h3>
                    <p class="small muted">{one.code}{one.result !== null && one.result !== undefined && <>, result {one.result}{RESULTS[one.result] && `: ${RESULTS[one.result]}`}</>}</p>
                    <p class="small">{one.samples.map((name, i) => <span key={name}>{i > 0 && ", "}<a href={`/devices/${encodeURIComponent(name)}`}>{name}</a></span>)}{one.devices > one.samples.length && <>, … <a href={`/rollouts/${r.id}/devices?state=failed`}>all that failed</a></>}</p>
                    {one.log && <details><summary>What {one.samples[0]} said</summary><pre class="log failure-log" tabindex="0">{one.log}</pre></details>}
                </article>
            ))}
        </Loaded>
    );
}

const why = (a) => a.reason?.text ?? (a.result > 1 ? RESULTS[a.result] : null);

const COLUMNS = [
    { key: "device", title: "Device", main: true, cell: (a) => <a href={`/devices/${encodeURIComponent(a.device)}`}>{a.device}</a>, text: (a) => a.device },
    { key: "stage", title: "Stage", num: true, cell: (a) => a.stage, text: (a) => a.stage },
    { key: "state", title: "State", text: (a) => a.state, cell: (a) => <span class="live-value"><State name={stepState(a.state)} />{a.until && <div class="small muted">{{ pending: "next try in ", confirming: "proven in " }[a.state] ?? "within "}<Left at={a.until} /></div>}</span> },
    { key: "since", title: "Since", cell: (a) => <Time at={a.since} />, text: (a) => a.since },
    { key: "from", title: "From", cell: (a) => (a.from ? <code>{a.from}</code> : <span class="muted">nothing</span>), text: (a) => a.from ?? "" },
    { key: "why", title: "Reason", wide: true, cell: (a) => <span class="wrap">{why(a) ?? <span class="muted">–</span>}</span>, text: why },
    { key: "attempts", title: "Tries", num: true, cell: (a) => number(a.attempts), text: (a) => a.attempts },
];

function Devices({ rollout: r }) {
    const limit = Math.min(1000, Number(params.value.get("limit")) || 200);
    const state = params.value.get("state");
    const stage = params.value.get("stage");
    const devices = useResource(at`/rollouts/${r.id}/devices` + query({ state, stage, limit }), wants.rollout(r.id), { list: true });
    const [chosen, setChosen] = useState([]);
    const [open, setOpen] = useState(false);
    const rows = devices.data?.rows ?? [];
    const can = (a) => ["pending", "offered", "downloading", "downloaded", "updating", "confirming"].includes(a.state);
    const toggle = (name) => setChosen(chosen.includes(name) ? chosen.filter((one) => one !== name) : [...chosen, name]);
    const pick = { key: "pick", title: "Choose", cell: (a) => <input type="checkbox" aria-label={`Choose ${a.device}`} title={can(a) ? undefined : "It is over for this device."} disabled={!can(a)} checked={chosen.includes(a.device)} onChange={() => toggle(a.device)} /> };
    const support = whyNot("release") ?? (chosen.length ? null : "Choose devices that are not over yet.");
    const present = STEP_ORDER.map((one) => (one === "not_begun" ? "pending" : one)).filter((one) => r.counts[one] || one === state);
    return (
        <>
            <div class="row">
                <label class="inline">State{" "}
                    <select value={state ?? ""} onChange={(e) => setParams({ state: e.currentTarget.value || null })}>
                        <option value="">all</option>
                        {present.map((one) => <option key={one} value={one}>{stateOf(stepState(one)).word} ({number(r.counts[one] ?? 0)})</option>)}
                    </select>
                </label>
                <label class="inline">Stage{" "}
                    <select value={stage ?? ""} onChange={(e) => setParams({ stage: e.currentTarget.value || null })}>
                        <option value="">all</option>
                        {r.stages.map((s) => <option key={s.number} value={s.number}>{s.number}</option>)}
                    </select>
                </label>
                <span class="grow" />
                <ExportCsv name={`rollout-${r.id}-devices`} columns={COLUMNS} rows={rows} />
                <Action why={support} onClick={() => setOpen(true)}>{chosen.length ? `Exclude ${plural(chosen.length, "device")}…` : "Exclude…"}</Action>
            </div>
            <Loaded of={devices} what="the devices" rows={6}>
                {({ rows, total }) => rows.length
                    ? <><Table label="Devices of the rollout" columns={[pick, ...COLUMNS]} rows={rows} id={(a) => a.device} sorted={false} rowClass={(a) => (a.state === "failed" ? "bad-row" : undefined)} /><More shown={rows.length} total={total} limit={limit} what="devices" /></>
                    : state || stage ? <NoMatch filter={[state && `state ${state}`, stage && `stage ${stage}`].filter(Boolean).join(", ")} what="devices" clear={() => setParams({ state: null, stage: null })} />
                    : <Nothing>No device is in this rollout{r.late_joiners ? " yet: those that come to match join" : ""}.</Nothing>}
            </Loaded>
            {open && <ExcludeDialog rollout={r} devices={chosen} close={() => setOpen(false)} done={() => { setChosen([]); devices.reload(); }} />}
        </>
    );
}

function Timeline({ id }) {
    const timeline = useResource(at`/rollouts/${id}/timeline`, wants.rollout(+id));
    return (
        <Loaded of={timeline} what="the timeline" rows={6}>
            {(rows) => (
                <ol class="timeline">
                    {rows.map((row, i) => (
                        <li key={row.at + i}>
                            <span class="timeline-at"><Time at={row.at} /><span class="muted small">{absolute(new Date(row.at))}</span></span>
                            <span class="timeline-what">{stateOf(rolloutState(row.what)).word}</span>
                            <span class="wrap">{row.text}{row.by && <span class="muted"> · {row.by}</span>}</span>
                        </li>
                    ))}
                </ol>
            )}
        </Loaded>
    );
}

function Definition({ rollout: r }) {
    return (
        <Facts rows={[
            ["asset", <><a href={assetHref(r.product, r.asset)}>{r.product}/{r.asset}</a> <code>{r.version}</code></>],
            ["devices", <>{r.by.group ? <>group <a href={`/groups/${encodeURIComponent(r.by.group)}`}>{r.by.group}</a></> : r.by.filter ? <code>{r.by.filter}</code> : "a list"}, {plural(r.devices, "device")}</>],
            ["stages", r.stages.map((s) => s.share).join(", ")],
            ["start", r.at ? <Time at={r.at} both /> : r.state === "draft" ? "when a person starts it" : "at once"],
            ...settingsWords(r),
            r.ends_at && ["ends", <Time at={r.ends_at} both />],
            ["created", <><Time at={r.created_at} both /> by {r.created_by}</>],
            r.ticket && ["ticket", r.ticket],
            r.why && ["reason", r.why],
        ]} />
    );
}
