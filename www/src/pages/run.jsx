// One run: every device with its state, since when, why, and the proof of its return. Live.
import { useState } from "preact/hooks";
import { at } from "../api.js";
import { useResource, wants } from "../resource.js";
import { ASSIGNMENT_ORDER, stateOf } from "../states.js";
import { now } from "../clock.js";
import { bytes, duration, plural } from "../words.js";
import { Command } from "../parts/command.jsx";
import { Dialog } from "../parts/dialog.jsx";
import { Facts, Loaded, Page, Section, Tabs } from "../parts/page.jsx";
import { State, StateBar } from "../parts/state.jsx";
import { ExportCsv, Table } from "../parts/table.jsx";
import { Left, Time } from "../parts/time.jsx";
import { params } from "../router.js";
import { EndAction, EndDialog } from "../dialogs/end.jsx";
import { CampaignFacts } from "./campaign.jsx";

const OVER = ["completed", "aborted", "expired"];
const ENDED = ["done", "skipped", "failed", "cancelled"];

const reason = (a) => (a.reason ? (a.reason.text ?? a.reason.code) : null);
const overdue = (a) => a.ends_at && !ENDED.includes(a.state) && !a.reverted && ["running", "cancelling"].includes(a.state) && now.value > +new Date(a.ends_at) + 60000;

/** What the device says, and what the two digests that it signed say. */
const isEqual = (proof) => proof?.equal === true && !!proof.before && proof.before === proof.after;

const columns = (showProof) => [
    { key: "device", title: "Device", main: true, sort: (a) => a.device, cell: (a) => <a href={`/devices/${encodeURIComponent(a.device)}`}>{a.device}</a> },
    { key: "state", title: "State", sort: (a) => ASSIGNMENT_ORDER.indexOf(a.state), text: (a) => a.state, cell: (a) => <span class="live-value">{overdue(a) ? <State name="overdue" /> : <State name={a.state} />}</span> },
    { key: "since", title: "Since", sort: (a) => a.since, cell: (a) => <Time at={a.since} /> },
    { key: "left", title: "Returns in", num: true, sort: (a) => a.ends_at, cell: (a) => <span class="live-value">{a.reverted || ENDED.includes(a.state) ? <span class="muted">–</span> : a.ends_at ? <Left at={a.ends_at} /> : a.until ? <><span class="muted">{a.state === "scheduled_on_device" ? "at the latest in " : "next within "}</span><Left at={a.until} /></> : <span class="muted">–</span>}</span> },
    { key: "why", title: "Reason", wide: true, sort: reason, cell: (a) => <span class="wrap">{reason(a) ?? <span class="muted">–</span>}</span> },
    { key: "proof", title: "Back to the app", sort: (a) => a.reverted?.at, text: (a) => (a.reverted ? `${isEqual(a.reverted.proof) ? "equal" : "not equal"}, leftovers ${a.reverted.proof?.leftovers}` : ""), cell: (a) => <Proof a={a} show={() => showProof(a)} /> },
    { key: "capture", title: "Capture", sort: (a) => a.capture?.length, text: (a) => a.capture?.state ?? "", cell: (a) => a.capture ? <><a href={`/captures/${a.capture.id}`}>{stateOf(a.capture.state).word}<span class="sr">, capture of {a.device}</span></a>{a.capture.length ? <span class="muted"> {bytes(a.capture.length)}</span> : null}</> : <span class="muted">–</span> },
];

function Proof({ a, show }) {
    if (!a.reverted) return <span class="muted">{["skipped", "cancelled", "queued", "waiting", "offered"].includes(a.state) ? "never left it" : "not yet"}</span>;
    const { proof, verified } = a.reverted;
    const good = isEqual(proof) && proof.leftovers === 0 && verified !== false;
    return (
        <button type="button" class="link" onClick={show}>
            <State name={good ? "done" : "revert_failed"} word={good ? `proven${proof.revert_ms !== undefined ? `, ${proof.revert_ms} ms` : ""}` : "not as before"} />
            <span class="sr"> Show the proof of {a.device}</span>
        </button>
    );
}

export function Run({ id, n }) {
    const run = useResource(at`/campaigns/${id}/runs/${n}`, wants.run(+id, +n));
    const campaign = useResource(at`/campaigns/${id}`, wants.campaigns);
    const [proof, setProof] = useState(null);
    const [ending, setEnding] = useState(false);
    const tab = params.value.get("tab") ?? "devices";
    const base = `/campaigns/${id}/runs/${n}`;
    const table = columns(setProof);
    const r = run.data;
    const several = campaign.data?.runs?.length > 1;
    return (
        <Page title={`Campaign ${id}${several ? `, run ${n}` : ""}`} crumbs={[["Campaigns", "/campaigns"], ...(several ? [[`Campaign ${id}`, `/campaigns/${id}`]] : [])]}
            lead={r && <><State name={r.state} /> <span class="muted">{r.image.asset} {r.image.version} for {duration(r.duration_s)}, {plural(r.assignments.length, "device")} · since <Time at={r.since} /></span></>}
            actions={<>{r && <ExportCsv name={`campaign-${id}-run-${n}`} columns={table} rows={r.assignments} />}{campaign.data && <EndAction campaign={campaign.data} onClick={() => setEnding(true)} />}</>}>
            <Tabs label="Run" current={tab} items={[["devices", "Devices", base], ["captures", "Captures", `/captures?campaign=${id}&run=${n}`], ["definition", "Definition", `${base}?tab=definition`]]} />
            <Loaded of={run} what={`run ${n} of campaign ${id}`} rows={6}>
                {(r) => tab === "definition" ? (campaign.data && <CampaignFacts campaign={campaign.data} />) : (
                    <>
                        <div class="run-bar live-value"><StateBar counts={r.counts} total={r.assignments.length} /></div>
                        <Table label="Devices of the run" columns={table} rows={r.assignments} id={(a) => a.device} rowClass={(a) => (overdue(a) || a.state === "revert_failed" ? "bad-row" : a.state === "running" ? "image-row" : undefined)} />
                        <Command text={OVER.includes(r.state) ? `locum capture download ${id} ${n} --to DIR` : `locum run watch ${id} ${n}`} label="on a command line" />
                    </>
                )}
            </Loaded>
            {proof && <ProofDialog a={proof} close={() => setProof(null)} />}
            {ending && campaign.data && <EndDialog campaign={campaign.data} close={() => setEnding(false)} done={() => { run.reload(); campaign.reload(); }} />}
        </Page>
    );
}

const ENDS = { exited: "the image ended by itself", deadline: "the deadline", killed: "it was killed", cancelled: "a person ended it", runner_lost: "its runner was lost" };

function ProofDialog({ a, close }) {
    const { at: when, proof, verified } = a.reverted;
    return (
        <Dialog title={`Proof of the return of ${a.device}`} close={close} wide>
            <div class="dialog-body">
                <p>Measured by the device after the image was gone and its app ran again, and signed with its own key.</p>
                <Facts rows={[
                    ["all files as before", isEqual(proof) ? <State name="done" word="yes, each hashed again" /> : <State name="failed" word="no" />],
                    ["left over", proof.leftovers === 0 ? <State name="done" word="0 processes, mounts and files" /> : <State name="failed" word={String(proof.leftovers)} />],
                    ["signature", verified === false ? <State name="failed" word="does not verify" /> : <State name="done" word="verified with the device's key" />],
                    ["back", <Time at={when} both />],
                    ["how it ended", ENDS[proof.end] ?? proof.end],
                    ["time without app after the end", proof.revert_ms !== undefined ? `${proof.revert_ms} ms` : null],
                    ["set before", <code class="hash">{proof.before}</code>],
                    ["set after", <code class="hash">{proof.after}</code>],
                    proof.app ? ["app", <>pid {proof.app.pid}, program <code class="hash">{proof.app.exe}</code></>] : null,
                    ["boot", proof.boot_id ? <code class="hash">{proof.boot_id}</code> : null],
                ]} />
            </div>
            <div class="dialog-foot"><button type="button" onClick={close}>Close</button></div>
        </Dialog>
    );
}
