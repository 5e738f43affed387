// One device in one run: the steps it took, how long each was, and how it came back. Live.
import { useState } from "preact/hooks";
import { at } from "../api.js";
import { useResource, wants } from "../resource.js";
import { absolute, bytes, clockTime, duration } from "../words.js";
import { reasonText } from "../parts/captures_table.jsx";
import { Command } from "../parts/command.jsx";
import { Facts, Loaded, Page, Section } from "../parts/page.jsx";
import { ProofFacts } from "../parts/proof.jsx";
import { State } from "../parts/state.jsx";
import { Table } from "../parts/table.jsx";
import { Time } from "../parts/time.jsx";
import { RunActions, RunDialog } from "../dialogs/run.jsx";
import { stateName } from "./campaigns.jsx";
import { ReturnsIn, reason } from "./run.jsx";

const took = (ms) => (ms === null || ms === undefined ? null : ms < 1000 ? `${ms} ms` : ms < 120000 ? `${(ms / 1000).toFixed(1)} s` : duration(ms / 1000));

const STEPS = [
    { key: "state", title: "Step", main: true, cell: (s) => <State name={s.state} /> },
    { key: "at", title: "Began", cell: (s) => <time datetime={s.at} title={absolute(new Date(s.at))} class="num">{clockTime(new Date(s.at))}</time> },
    { key: "took", title: "Took", num: true, cell: (s) => took(s.duration_ms) ?? <span class="muted">{s.last ? "–" : "now"}</span> },
    { key: "bytes", title: "Bytes", num: true, cell: (s) => (s.bytes ? bytes(s.bytes) : <span class="muted">–</span>) },
    { key: "text", title: "What", wide: true, cell: (s) => <span class="wrap">{s.text ?? <span class="muted">–</span>}</span> },
];
const ENDED = ["done", "skipped", "failed", "cancelled"];

export function RunDevice({ id, n, device }) {
    const assignment = useResource(at`/campaigns/${id}/runs/${n}/devices/${device}`, wants.run(+id, +n));
    const run = useResource(at`/campaigns/${id}/runs/${n}`, wants.run(+id, +n));
    const campaign = useResource(at`/campaigns/${id}`, wants.campaigns);
    const [act, setAct] = useState(null);
    const a = assignment.data;
    const r = run.data;
    return (
        <Page title={device} crumbs={[["Campaigns", "/campaigns"], [`Campaign ${id}`, `/campaigns/${id}`], [`Run ${n}`, `/campaigns/${id}/runs/${n}`]]}
            lead={a && <><State name={a.state} /> {a.alarm && a.alarm !== a.state && <State name={a.alarm} />} <span class="muted">since <Time at={a.since} />{r && `, ${r.image.asset} ${r.image.version}`}</span></>}
            actions={a && r && <><a class="button" href={`/devices/${encodeURIComponent(device)}`}>Device</a><RunActions run={r} a={a} waits={campaign.data && stateName(campaign.data) === "awaiting_approval"} open={setAct} /></>}>
            <Loaded of={assignment} what={`${device} in run ${n} of campaign ${id}`} rows={6}>
                {(a) => (
                    <>
                        <Facts rows={[
                            a.alarm && !a.reverted || !ENDED.includes(a.state) ? [a.started_at ? "returns in" : "next", <ReturnsIn a={a} />] : null,
                            a.ends_at ? ["deadline", <Time at={a.ends_at} both />] : null,
                            reason(a, r) ? ["reason", reason(a, r)] : null,
                            ["capture", a.capture ? <><a href={`/captures/${a.capture.id}`}>Capture {a.capture.id}</a> <State name={a.capture.state} /> {bytes(a.capture.length)}{a.capture.reason && `: ${reasonText(a.capture.reason)}`}</> : <span class="muted">none yet</span>],
                        ]} />
                        <Section title="Steps" id="steps">
                            {a.steps?.length ? <Table label="Steps" columns={STEPS} rows={a.steps.map((s, i) => ({ ...s, n: i, last: i === a.steps.length - 1 && ENDED.includes(s.state) }))} id={(s) => s.n} sorted={false} /> : <p class="muted">It has taken no step yet.</p>}
                        </Section>
                        {a.reverted && <Section title="Proof of the return" id="proof"><ProofFacts reverted={a.reverted} by={r?.ended_by} /></Section>}
                        <Command text={`locum run show ${id} ${n} --json`} label="the run on a command line" />
                    </>
                )}
            </Loaded>
            {act && a && r && <RunDialog name={act} run={r} a={a} close={() => setAct(null)} done={() => { assignment.reload(); run.reload(); }} />}
        </Page>
    );
}
