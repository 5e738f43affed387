// The overview: what needs a person first, then how the fleet is, what runs now, and who did what last.
import { useState } from "preact/hooks";
import { useResource, wants } from "../resource.js";
import { counts } from "../live.js";
import { session, whyNot } from "../session.js";
import { STEP_ORDER, looks } from "../states.js";
import { bytes, number, plural } from "../words.js";
import { Page, Loaded, Note, Section } from "../parts/page.jsx";
import { State, StateBar } from "../parts/state.jsx";
import { Time } from "../parts/time.jsx";
import { Icon } from "../parts/icon.jsx";
import { Command } from "../parts/command.jsx";
import { Action } from "../parts/button.jsx";
import { ClaimDialog } from "../dialogs/claim.jsx";
import { AuditTable } from "../parts/audit_table.jsx";

export function Overview() {
    const summary = useResource("/summary", wants.summary);
    return (
        <Page title="Overview">
            <Loaded of={summary} what="the overview" rows={6}>
                {(now) => (
                    <>
                        {now.needs_person.some(loud) && <NeedsPerson items={now.needs_person} />}
                        {Object.values(now.first_steps).includes(false) && <FirstSteps done={now.first_steps} />}
                        {!now.needs_person.some(loud) && <NeedsPerson items={now.needs_person} />}
                        <Fleet devices={now.devices} on_image={now.on_image} overdue={now.overdue} />
                        <Running runs={now.running} rollouts={now.rollouts ?? []} />
                        <Next items={now.next} />
                        <Section title="Last changes" id="last" actions={<a href="/audit">Audit log</a>}>
                            {now.last_audit.length ? <AuditTable brief rows={now.last_audit} /> : <p class="muted">Nothing has been changed yet.</p>}
                        </Section>
                        <Storage storage={now.storage} starter={now.starter_mode} />
                    </>
                )}
            </Loaded>
        </Page>
    );
}

function FirstSteps({ done }) {
    const [claim, setClaim] = useState(false);
    const url = session.value?.device_url ?? "https://HOST:8443";
    const steps = [
        ["asset", "Publish a first version of an asset", "The files of a model, an app or data go into the git-versioned repository.", "locum asset publish demo/detector --version 1.0.0 --kind model model.bin", <a class="button" href="/assets?publish=1">Publish</a>],
        ["device", "Enrol a device", "A one-time claim code is all that the device needs to know and trust this server.", `locum-agent enrol --server ${url} --claim CODE --state /var/lib/locum`, <Action why={whyNot("support")} onClick={() => setClaim(true)}>Make a claim code</Action>],
        ["release", "Release the version", "Devices of the product fetch it at their next check-in and prove that it runs.", "locum asset release demo/detector 1.0.0", <a class="button" href="/assets">Choose a version</a>],
        ["campaign", "Send a diagnostic image", "It runs for a while, collects data, and the app comes back by itself.", "locum campaign create --image demo/raw-counters --device NAME --duration 30s", <a class="button" href="/campaigns/new">New campaign</a>],
    ];
    const left = steps.filter(([key]) => !done[key]).length;
    return (
        <Section title="First steps" id="first">
            <p class="muted">{left === 4 ? "Four steps from nothing to data from a device." : `${plural(left, "step")} left.`}</p>
            <ol class="steps">
                {steps.map(([key, title, why, command, action]) => (
                    <li key={key} class={done[key] ? "step done" : "step"}>
                        <span class="step-mark">{done[key] ? <State name="done" /> : <State name="queued" word="to do" />}</span>
                        <div>
                            <h3>{title}</h3>
                            {!done[key] && (
                                <>
                                    <p>{why}</p>
                                    <div class="step-do">{action}<Command text={command} /></div>
                                </>
                            )}
                        </div>
                    </li>
                ))}
            </ol>
            {claim && <ClaimDialog close={() => setClaim(false)} />}
        </Section>
    );
}

/* Loudest first; what is not here comes after these. */
const URGENT = ["overdue", "revert_failed", "lost"];
const KINDS = { held_rollout: "pause", approval: "shield", failed_capture: "up", storage: "asset", pending: "question" };
const loud = (item) => URGENT.includes(item.kind);

function NeedsPerson({ items }) {
    return (
        <Section title="Needs a person" id="needs">
            {items.length === 0 ? (
                <p class="calm"><State name="done" word="Nothing needs a person." /></p>
            ) : (
                <ul class="needs">
                    {[...items].sort((a, b) => loud(b) - loud(a)).map((item) => (
                        <li key={item.kind + item.text} class={loud(item) ? "tone-danger loud" : "tone-attention"}>
                            <Icon name={loud(item) ? "alarm" : KINDS[item.kind] ?? "question"} />
                            <a href={item.link}>{item.text}</a>
                            <Time at={item.since} />
                        </li>
                    ))}
                </ul>
            )}
        </Section>
    );
}

const TILES = [
    ["online", "connectivity:online"],
    ["late", "connectivity:late"],
    ["offline", "connectivity:offline"],
    ["never_seen", "connectivity:never_seen"],
    ["pending", "admission:pending"],
];

/* What the header says is said here too, in the same moment. */
function Fleet({ devices, ...then }) {
    const { on_image: onImage, overdue } = counts.value ?? then;
    const tile = (key, n, filter, state) => (
        <li key={key}>
            <a class="tile" href={"/devices" + (filter ? "?filter=" + encodeURIComponent(filter) : "")}>
                <span class="tile-number num live-value">{number(n)}</span>
                {state}
            </a>
        </li>
    );
    return (
        <Section title="Devices" id="fleet">
            <ul class="tiles">
                {tile("total", devices.total, "", <span>in all</span>)}
                {TILES.map(([key, filter]) => tile(key, devices[key], filter, <State name={key} tone={devices[key] ? undefined : "neutral"} />))}
                {tile("image", onImage, "-image:none", <State name={overdue ? "overdue" : "running"} tone={overdue ? "danger" : onImage ? "diagnostic" : "neutral"} word={overdue ? `on image, ${overdue} overdue` : "on an image"} />)}
            </ul>
        </Section>
    );
}

function Running({ runs, rollouts }) {
    return (
        <Section title="Running now" id="running" actions={<><a href="/rollouts">All rollouts</a><a href="/campaigns">All campaigns</a></>}>
            {runs.length + rollouts.length === 0 ? (
                <p class="muted">No campaign and no rollout is running.</p>
            ) : (
                <ul class="runs">
                    {runs.map((run) => (
                        <li key={`${run.campaign}/${run.number}`}>
                            <a href={`/campaigns/${run.campaign}/runs/${run.number}`}>{run.image.asset} {run.image.version}</a>
                            <span class="muted">campaign {run.campaign}, run {run.number}</span>
                            <StateBar counts={run.counts} />
                        </li>
                    ))}
                    {rollouts.map((r) => (
                        <li key={r.id}>
                            <a href={`/rollouts/${r.id}`}>{r.asset} {r.version}</a>
                            <span class="muted">rollout {r.id}{r.stages && `, stage ${r.stage} of ${r.stages.length}`}</span>
                            <StateBar counts={looks(r.counts)} order={STEP_ORDER} total={r.devices} />
                        </li>
                    ))}
                </ul>
            )}
        </Section>
    );
}

function Next({ items }) {
    if (!items) return null;
    return (
        <Section title="Next 24 hours" id="next" actions={<a href="/campaigns?view=calendar">Calendar</a>}>
            {items.length === 0 ? <p class="muted">Nothing is planned.</p> : (
                <ul class="needs">
                    {items.map((item) => <li key={item.at + item.link} class="tone-scheduled"><Icon name="clock" /><a href={item.link}>{item.what}</a><Time at={item.at} both /></li>)}
                </ul>
            )}
        </Section>
    );
}

function Storage({ storage, starter }) {
    return (
        <Section title="Server" id="server">
            <p class="small">
                Assets {bytes(storage.objects)} · captures {bytes(storage.captures)} · {bytes(storage.free)} free
            </p>
            {starter && (
                <Note tone="neutral" icon="key">
                    <p><strong>Starter mode.</strong> All signing keys lie on this server, so that the first minute is easy. Whoever takes over the server can then publish to your devices.</p>
                </Note>
            )}
        </Section>
    );
}
