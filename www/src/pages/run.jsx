// One run: every device with its state, since when, why, and the proof of its return; what it collected, and what is missing. Live.
import { useState } from "preact/hooks";
import { at, href, query } from "../api.js";
import { useResource, wants } from "../resource.js";
import { ASSIGNMENT_ORDER, stateOf } from "../states.js";
import { bytes, duration, number, plural } from "../words.js";
import { Action } from "../parts/button.jsx";
import { CapturesTable, CompareAction, reasonText } from "../parts/captures_table.jsx";
import { Command } from "../parts/command.jsx";
import { Dialog } from "../parts/dialog.jsx";
import { Icon } from "../parts/icon.jsx";
import { Loaded, Note, Nothing, Page, Tabs } from "../parts/page.jsx";
import { ProofFacts, isEqual, isGood, proofWord } from "../parts/proof.jsx";
import { State, StateBar } from "../parts/state.jsx";
import { ExportCsv, Table } from "../parts/table.jsx";
import { Left, Time } from "../parts/time.jsx";
import { params, setParams } from "../router.js";
import { CampaignActions, CampaignDialog } from "../dialogs/campaign.jsx";
import { RunActions, RunDialog } from "../dialogs/run.jsx";
import { CampaignFacts, CampaignNotes } from "./campaign.jsx";
import { stateName } from "./campaigns.jsx";

const OVER = ["completed", "aborted", "expired"];
const ENDED = ["done", "skipped", "failed", "cancelled"];

/* Why, and who: a run that a person ended says so for each of its devices. */
export function reason(a, run) {
    const text = a.reason ? (a.reason.text ?? a.reason.code) : null;
    const by = run?.ended_by && (a.state === "cancelled" || a.reason?.code === "ended") ? run.ended_by : null;
    return by ? (text ? `${text.replace(/ by a person$/, "")} by ${by}` : `ended by ${by}`) : text;
}

export const deviceHref = (run, device, n) => `/campaigns/${run}/runs/${n}/devices/${encodeURIComponent(device)}`;

/* When it comes back: an alarm counts what is over; a deadline that has just passed is no news yet. */
export function ReturnsIn({ a }) {
    if (["overdue", "lost"].includes(a.alarm) && !a.reverted && a.ends_at) return <strong class="tone-danger toned">over by <Left at={a.ends_at} over="" /></strong>;
    if (a.reverted || ENDED.includes(a.state)) return <span class="muted">–</span>;
    if (a.ends_at) return <Left at={a.ends_at} />;
    if (a.state === "scheduled_on_device" && a.start_after) return <><span class="muted">begins in </span><Left at={a.start_after} /></>;
    return a.until ? <><span class="muted">next within </span><Left at={a.until} /></> : <span class="muted">–</span>;
}

const columns = (r, showProof) => [
    { key: "device", title: "Device", main: true, sort: (a) => a.device, cell: (a) => <a href={deviceHref(r.campaign, a.device, r.number)}>{a.device}</a> },
    { key: "state", title: "State", sort: (a) => ASSIGNMENT_ORDER.indexOf(a.state), text: (a) => a.state, cell: (a) => <span class="live-value">{a.alarm && a.alarm !== a.state && <><State name={a.alarm} /> </>}{(!a.alarm || a.alarm === a.state || a.state === "failed") && <State name={a.state} />}</span> },
    { key: "since", title: "Since", sort: (a) => a.since, cell: (a) => <Time at={a.since} /> },
    { key: "left", title: "Returns in", num: true, sort: (a) => a.ends_at, cell: (a) => <span class="live-value"><ReturnsIn a={a} /></span> },
    { key: "why", title: "Reason", wide: true, sort: (a) => reason(a, r), cell: (a) => <span class="wrap">{reason(a, r) ?? <span class="muted">–</span>}</span> },
    { key: "proof", title: "Back to the app", sort: (a) => a.reverted?.at, text: (a) => (a.reverted ? `${isEqual(a.reverted.proof) ? "equal" : "not equal"}, leftovers ${a.reverted.proof?.leftovers}` : ""), cell: (a) => <Proof a={a} show={() => showProof(a)} /> },
    { key: "capture", title: "Capture", sort: (a) => a.capture?.length, text: (a) => a.capture?.state ?? "", cell: (a) => a.capture ? <><a href={`/captures/${a.capture.id}`}>{stateOf(a.capture.state).word}<span class="sr">, capture of {a.device}</span></a>{a.capture.length ? <span class="muted"> {bytes(a.capture.length)}</span> : null}</> : <span class="muted">–</span> },
];

function Proof({ a, show }) {
    if (!a.reverted) return <span class="muted">{a.started_at || ["running", "reverting"].includes(a.state) ? "not yet" : "never left it"}</span>;
    return (
        <button type="button" class="link" onClick={show}>
            <State name={isGood(a.reverted) ? "done" : "revert_failed"} word={proofWord(a.reverted)} />
            <span class="sr"> Show the proof of {a.device}</span>
        </button>
    );
}

const URGENT = { overdue: "should be back and has not said so", lost: "stayed silent past its deadline", revert_failed: "did not return as it was" };

/* Devices that ran past their deadline, or came back otherwise than they left: before all else. */
function Alarms({ run, list }) {
    const loud = list.filter((a) => a.alarm);
    if (!loud.length) return null;
    return (
        <div class="alarm" role="alert">
            <Icon name="alarm" />
            <ul>
                {loud.slice(0, 10).map((a) => <li key={a.device}><a href={deviceHref(run.campaign, a.device, run.number)}>{a.device}</a> {URGENT[a.alarm] ?? a.alarm}{a.ends_at && !a.reverted && a.alarm !== "revert_failed" && <>: over by <Left at={a.ends_at} over="" /></>}</li>)}
                {loud.length > 10 && <li>and {number(loud.length - 10)} more</li>}
            </ul>
        </div>
    );
}

export function Run({ id, n }) {
    const run = useResource(at`/campaigns/${id}/runs/${n}`, wants.run(+id, +n));
    const campaign = useResource(at`/campaigns/${id}`, wants.campaigns);
    const [proof, setProof] = useState(null);
    const [open, setOpen] = useState(null);
    const [act, setAct] = useState(null);
    const tab = params.value.get("tab") ?? "devices";
    const base = `/campaigns/${id}/runs/${n}`;
    const r = run.data;
    const several = campaign.data?.runs?.length > 1 || campaign.data?.repeat;
    const total = r && Object.values(r.counts).reduce((sum, k) => sum + k, 0);
    const reload = () => { run.reload(); campaign.reload(); };
    return (
        <Page title={`Campaign ${id}${several ? `, run ${n}` : ""}`} crumbs={[["Campaigns", "/campaigns"], [`Campaign ${id}`, `/campaigns/${id}`]]}
            lead={r && <><State name={r.state} /> <span class="muted">{r.image.asset} {r.image.version} for {duration(r.duration_s)}, {plural(total, "device")} · since <Time at={r.since} />{r.ended_by && ` · ended by ${r.ended_by}`}</span></>}
            actions={r && <>{tab === "devices" && <ExportCsv name={`campaign-${id}-run-${n}`} columns={columns(r)} rows={r.assignments} />}<RunActions run={r} waits={campaign.data && stateName(campaign.data) === "awaiting_approval"} open={setAct} />{campaign.data && <CampaignActions campaign={campaign.data} open={setOpen} />}</>}>
            {r && <Alarms run={r} list={r.assignments} />}
            {campaign.data && <CampaignNotes campaign={campaign.data} />}
            {r?.reason && <Note tone="attention" icon="pause"><p>{reasonText(r.reason)}</p></Note>}
            <Tabs label="Run" current={tab} items={[["devices", "Devices"], ["captures", "Captures"], ["matrix", "Collected and missing"], ["definition", "Definition"]].map(([key, text]) => [key, text, key === "devices" ? base : `${base}?tab=${key}`])} />
            <Loaded of={run} what={`run ${n} of campaign ${id}`} rows={6}>
                {(r) => (
                    <>
                        <div class="run-bar live-value"><StateBar counts={r.counts} total={total} /></div>
                        {tab === "definition" ? (campaign.data && <CampaignFacts campaign={campaign.data} />) : tab === "captures" ? <RunCaptures run={r} /> : tab === "matrix" ? <Matrix run={r} /> : <Devices run={r} showProof={setProof} />}
                    </>
                )}
            </Loaded>
            {proof && <Dialog title={`Proof of the return of ${proof.device}`} close={() => setProof(null)} wide>
                <div class="dialog-body"><p>Measured by the device after the image was gone and its app ran again, and signed with its own key.</p><ProofFacts reverted={proof.reverted} by={r?.ended_by} /></div>
                <div class="dialog-foot"><button type="button" onClick={() => setProof(null)}>Close</button></div>
            </Dialog>}
            {act && r && <RunDialog name={act} run={r} close={() => setAct(null)} done={reload} />}
            {open && campaign.data && <CampaignDialog campaign={campaign.data} name={open} close={() => setOpen(null)} done={reload} />}
        </Page>
    );
}

/* All devices of a small run; of a large one those in a state, or the first of all. */
function Devices({ run, showProof }) {
    const state = params.value.get("state");
    const some = useResource(state && at`/campaigns/${run.campaign}/runs/${run.number}/devices` + query({ state, limit: 1000 }), wants.run(run.campaign, run.number));
    const list = state ? some.data : run.assignments;
    const present = ASSIGNMENT_ORDER.filter((one) => run.counts[one]);
    return (
        <>
            {(present.length > 1 || state) && <p class="row"><label class="inline">Show <select value={state ?? ""} onChange={(e) => setParams({ state: e.currentTarget.value || null })}><option value="">all</option>{(present.includes(state) || !state ? present : [state, ...present]).map((one) => <option key={one} value={one}>{stateOf(one).word} ({number(run.counts[one] ?? 0)})</option>)}</select></label></p>}
            <Loaded of={state ? some : { data: list }} what="the devices" rows={6}>
                {(list) => list.length === 0 ? <p class="muted">No device {state && `is ${stateOf(state).word} `}now.</p> : <Table label="Devices of the run" columns={columns(run, showProof)} rows={[...list].sort((a, b) => !!b.alarm - !!a.alarm)} id={(a) => a.device} rowClass={(a) => (a.alarm ? "bad-row" : a.state === "running" ? "image-row" : undefined)} />}
            </Loaded>
            {run.more && !state && <p class="more">The first {number(run.assignments.length)} devices. Choose a state above, or use the command line for all.</p>}
            <Command text={OVER.includes(run.state) ? `locum capture download ${run.campaign} ${run.number} --to DIR` : `locum run watch ${run.campaign} ${run.number}`} label="on a command line" />
        </>
    );
}

function RunCaptures({ run }) {
    const captures = useResource("/captures" + query({ campaign: run.campaign, run: run.number, limit: 1000 }), wants.captures);
    return (
        <Loaded of={captures} what="the captures" rows={4}>
            {(list) => !list.length ? <Nothing>Nothing has been collected yet. What the image writes arrives here after a device has returned.</Nothing> : (
                <>
                    <p class="row"><CompareAction /></p>
                    <CapturesTable rows={list} choice />
                </>
            )}
        </Loaded>
    );
}

const TarLink = ({ run, some }) => some
    ? <a class="button" href={href(at`/campaigns/${run.campaign}/runs/${run.number}/tar`)} download={`campaign-${run.campaign}-run-${run.number}.tar`}><Icon name="down" />Download all (tar)</a>
    : <Action icon="down" why="No file has arrived yet.">Download all (tar)</Action>;

const MATRIX = (run) => [
    { key: "device", title: "Device", main: true, cell: (m) => <a href={deviceHref(run.campaign, m.device, run.number)}>{m.device}</a> },
    { key: "state", title: "State", text: (m) => m.state, cell: (m) => <State name={m.state} /> },
    { key: "collected", title: "Collected", text: (m) => m.collected.map((one) => one.path).join(" "), cell: (m) => m.collected.length ? m.collected.map((one) => <div key={one.n} class="wrap"><Icon name="check" /> <a href={`/captures/${m.capture.id}/files/${one.n}`}>{one.path}<span class="sr"> of {m.device}</span></a> <span class="muted num">{bytes(one.length)}</span></div>) : <span class="muted">nothing</span> },
    { key: "missing", title: "Missing, and why", wide: true, text: (m) => m.missing.map((one) => `${one.what}: ${one.why}`).join("; "), cell: (m) => m.missing.length ? m.missing.map((one) => <div key={one.what} class="wrap"><State name="partial" word={one.what} /> {one.why}</div>) : <span class="muted">nothing</span> },
    { key: "capture", title: "Capture", cell: (m) => (m.capture ? <a href={`/captures/${m.capture.id}`}>{stateOf(m.capture.state).word}<span class="sr">, capture of {m.device}</span></a> : <span class="muted">–</span>) },
];

function Matrix({ run }) {
    const matrix = useResource(at`/campaigns/${run.campaign}/runs/${run.number}/matrix` + query({ limit: 1000 }), wants.run(run.campaign, run.number), { list: true });
    const [only, setOnly] = useState(false);
    return (
        <Loaded of={matrix} what="what was collected" rows={4}>
            {({ rows: list, next }) => {
                const gaps = list.filter((m) => m.missing.length > 0);
                const rows = only ? gaps : list;
                return (
                    <>
                        <p class="row"><span>{gaps.length ? <strong>{plural(gaps.length, "device")} with something missing</strong> : "Nothing is missing."}{next && ` Among the first ${number(list.length)}.`}</span>
                            <label class="check"><input type="checkbox" checked={only} onChange={(e) => setOnly(e.currentTarget.checked)} />Only these</label><ExportCsv name={`campaign-${run.campaign}-run-${run.number}-collected`} columns={MATRIX(run)} rows={rows} /><TarLink run={run} some={list.some((m) => m.collected.length > 0)} /></p>
                        {rows.length > 0 && <Table label="Collected and missing" columns={MATRIX(run)} rows={rows} id={(m) => m.device} sorted={false} />}
                        <Command text={`locum capture matrix ${run.campaign} ${run.number} --json`} label="the same on a command line" />
                        <Command text={`locum capture download ${run.campaign} ${run.number} --tar FILE`} />
                    </>
                );
            }}
        </Loaded>
    );
}
