// What a person does to a rollout, each with what happens to devices that have not begun, are in it, or have finished, counted now.
import { useState } from "preact/hooks";
import { api, at } from "../api.js";
import { useResource, wants } from "../resource.js";
import { whyNot } from "../session.js";
import { say } from "../status.js";
import { stateOf } from "../states.js";
import { ROLLOUT_OVER, rolloutState, stepPhases } from "../rollout_words.js";
import { number, plural, shell } from "../words.js";
import { Action } from "../parts/button.jsx";
import { FormDialog } from "../parts/dialog.jsx";
import { Phases, useWeight } from "../parts/weight.jsx";

const MOVING = ["running", "soaking"];
const is = (one) => (one ? "is" : "are");
const stay = (one) => (one ? "stays as it is" : "stay as they are");
const goOn = (one) => (one ? "goes on" : "go on");
const failedOf = (r) => r.counts.failed ?? 0;
const appliedOf = (r) => r.counts.applied ?? 0;

/* from: the states that allow it. touches: how many devices it is for. words: one sentence a phase. anyState: meant as well when
 * it has gone on since it was looked at, from running to soaking for example. */
const ACTS = {
    start: {
        verb: "Start", past: "starts", icon: "play", from: ["draft", "scheduled"], primary: true,
        touches: (r, p) => p.not_begun,
        words: [(one) => `${is(one)} asked, stage by stage`, goOn, stay],
    },
    resume: {
        verb: "Resume", past: "goes on", icon: "play", from: ["paused", "held"], primary: true,
        touches: (r, p) => p.not_begun + p.in_progress,
        words: [(one) => `${is(one)} asked when ${one ? "its" : "their"} stage comes`, goOn, (one, r) => `${stay(one)}${r.state === "held" && failedOf(r) ? "; the failures so far are accepted" : ""}`],
    },
    advance: {
        verb: "Advance", past: "goes to its next stage", icon: "skip", from: [...MOVING, "held", "awaiting_approval"],
        touches: (r) => r.stages[r.stage]?.devices ?? 0,
        none: (r) => (r.stage >= r.stages.length ? "This is the last stage." : null),
        lead: (r) => `Stage ${r.stage + 1} begins now, for ${plural(r.stages[r.stage]?.devices ?? 0, "device")}, whatever the gates say of stage ${r.stage}.`,
        words: [(one) => `${is(one)} asked, those of the next stage now`, goOn, stay],
    },
    abort: {
        verb: "Abort", past: "is aborted", icon: "slash", danger: true, anyState: true, not: [...ROLLOUT_OVER, "aborting", "rolling_back"],
        touches: (r, p) => p.not_begun,
        words: [(one) => `${is(one)} skipped: nothing happens to ${one ? "it" : "them"}`, (one) => `${goOn(one)} to an end: nothing is cut off half-way`, stay],
    },
    "roll-back": {
        verb: "Roll back", past: "is rolled back", icon: "turn", danger: true, anyState: true, not: ["draft", "scheduled", "rolling_back", "rolled_back"],
        touches: (r, p) => p.in_progress + appliedOf(r),
        words: [(one) => `${is(one)} skipped: nothing happens to ${one ? "it" : "them"}`, (one) => `${one ? "goes" : "go"} back to what ${one ? "it" : "they"} ran before`, (one, r) => `${one ? "is" : "are"} over: ${number(appliedOf(r))} that took it ${appliedOf(r) === 1 ? "goes" : "go"} back as well`],
    },
    retry: {
        verb: "Retry failed", past: "tries the failed again", icon: "turn", from: [...MOVING, "held", "paused", "awaiting_approval"],
        touches: failedOf,
        none: (r) => (failedOf(r) ? null : "No device has failed."),
        words: [stay, goOn, (one, r) => `${is(one)} over: ${number(failedOf(r))} that failed ${failedOf(r) === 1 ? "is" : "are"} asked again`],
    },
};

function whyOff(act, r) {
    const word = stateOf(rolloutState(r.state)).word;
    if (whyNot("release")) return whyNot("release");
    if (act.from ? !act.from.includes(r.state) : act.not.includes(r.state)) return `It is ${word}.`;
    return act.none?.(r) ?? null;
}

export function RolloutActions({ rollout: r, open, reload }) {
    const [busy, setBusy] = useState(false);
    const stoppable = [...MOVING, "scheduled", "awaiting_approval"].includes(r.state);
    /* Undone by Resume, so nothing is asked. */
    async function pause() {
        setBusy(true);
        try {
            await api.post(at`/rollouts/${r.id}/pause`);
            say(`Rollout ${r.id} is paused: nobody new is asked.`);
            reload();
        } catch (error) {
            say(error.message);
        }
        setBusy(false);
    }
    const button = (key) => <Action key={key} icon={ACTS[key].icon} danger={ACTS[key].danger} why={whyOff(ACTS[key], r)} onClick={() => open(key)}>{ACTS[key].verb}…</Action>;
    return (
        <>
            {["draft", "scheduled"].includes(r.state) && button("start")}
            {["paused", "held"].includes(r.state) ? button("resume")
                : <Action icon="pause" busy={busy} why={whyNot("release") ?? (stoppable ? null : `It is ${stateOf(rolloutState(r.state)).word}.`)} onClick={pause}>Pause</Action>}
            {["advance", "retry", "abort", "roll-back"].map(button)}
            <a class="button" href={`/rollouts/new?clone=${r.id}`}>Clone</a>
        </>
    );
}

export function ActDialog({ verb, rollout, close, done }) {
    const act = ACTS[verb];
    const fresh = useResource(at`/rollouts/${rollout.id}`, wants.rollout(rollout.id));
    const r = fresh.data ?? rollout;
    const p = stepPhases(r.counts);
    const count = act.touches(r, p);
    const weight = useWeight({ name: r.asset, count, asks: true });
    async function submit() {
        await api.post(at`/rollouts/${r.id}/` + verb, { ...(!act.anyState && { expect: r.state }), ...(weight.reason && { reason: weight.reason }) });
        say(`Rollout ${r.id} ${act.past}.`);
        done?.();
        close();
    }
    return (
        <FormDialog title={`${act.verb}: rollout ${r.id}, ${r.asset} ${r.version}`} close={close} submit={submit} danger={act.danger} verb={`${act.verb} for ${plural(count, "device")}`} why={whyOff(act, r) ?? weight.why}
            command={`locum rollout ${verb} ${r.id}${weight.reason ? ` --reason ${shell(weight.reason)}` : ""}`}>
            {act.lead && <p>{act.lead(r)}</p>}
            <Phases rows={[["not begun", p.not_begun], ["in progress", p.in_progress], ["finished", p.finished]].map(([which, n], i) => [which, n, (one) => act.words[i](one, r)])} />
            {weight.fields}
        </FormDialog>
    );
}

export function ExcludeDialog({ rollout: r, devices, close, done }) {
    const weight = useWeight({ name: r.asset, count: devices.length, silent: true });
    async function submit() {
        await api.post(at`/rollouts/${r.id}/exclude`, { devices });
        say(`${plural(devices.length, "device")} left out of rollout ${r.id}.`);
        done();
        close();
    }
    return (
        <FormDialog title={`Exclude from rollout ${r.id}`} close={close} submit={submit} verb={`Exclude ${plural(devices.length, "device")}`} why={weight.why}
            command={`locum rollout exclude ${r.id} --device ${devices.map(shell).join(" ")}`}>
            <p>They are skipped: who has not begun stays as it is, who is on the way goes back.</p>
            <ul class="names">{devices.slice(0, 50).map((one) => <li key={one}>{one}</li>)}{devices.length > 50 && <li class="muted">and {plural(devices.length - 50, "more")}</li>}</ul>
            {weight.fields}
        </FormDialog>
    );
}
