// What a person does to devices of one run: return them now, let them stay longer, or not begin at all.
import { useState } from "preact/hooks";
import { api, at } from "../api.js";
import { useLimits } from "../limits.js";
import { whyNot } from "../session.js";
import { say } from "../status.js";
import { phases } from "../states.js";
import { duration, plural, shell } from "../words.js";
import { Action } from "../parts/button.jsx";
import { Field, FormDialog } from "../parts/dialog.jsx";
import { Phases, useWeight } from "../parts/weight.jsx";

const STARTING = ["waiting", "offered", "scheduled_on_device", "downloading", "verifying"];
const OVER = ["done", "skipped", "cancelled", "failed"];

/* Why not for one assignment. */
const WHY = {
    "return-now": (a) => (a.state === "running" || a.alarm ? null : a.state === "cancelling" || a.state === "reverting" ? "It is on its way back." : OVER.includes(a.state) || a.state === "uploading" ? "It is back already." : "It has not begun: cancel it instead."),
    extend: (a) => (a.alarm ? "Its time is over." : ["queued", "running", ...STARTING].includes(a.state) ? null : "It is not on the image any more."),
    cancel: (a) => (a.state === "queued" || STARTING.includes(a.state) ? null : OVER.includes(a.state) ? "It is over." : "It has begun: return it now instead."),
};
const TITLES = { "return-now": ["Return now…", "turn"], extend: ["Extend…", "clock"], cancel: ["Cancel…", "slash"] };

/* a: one assignment; without it, all of the run. waits: the campaign waits for its second person, who approves what is shown now. */
export function RunActions({ run, a, waits, open }) {
    const p = phases(run.counts);
    const ended = ["completed", "aborted", "expired"].includes(run.state) ? `The run is ${run.state}.` : null;
    const all = { "return-now": p.in_progress + p.not_begun ? null : "No device is left to return.", extend: waits ? "It waits for approval: it begins as it was asked for." : p.in_progress + p.not_begun ? null : "No device is left to extend." };
    return (a ? ["return-now", "extend", "cancel"] : ["return-now", "extend"]).map((name) => (
        <Action key={name} icon={TITLES[name][1]} why={whyNot("support") ?? (a ? (waits && name === "extend" ? all.extend : WHY[name](a)) : ended ?? all[name])} onClick={() => open(name)}>{TITLES[name][0]}</Action>
    ));
}

export function RunDialog({ name, ...more }) {
    return name === "extend" ? <Extend {...more} /> : <Bring name={name} {...more} />;
}

function Bring({ name, run, a, close, done }) {
    const p = phases(run.counts);
    const n = a ? 1 : p.in_progress + p.not_begun;
    const weight = useWeight({ name: run.image.asset, count: n, asks: true });
    const whom = a ? a.device : plural(n, "device");
    const back = name === "return-now";
    async function submit() {
        await api.post(at`/campaigns/${run.campaign}/runs/${run.number}/` + name, { ...(a && { devices: [a.device] }), ...(weight.reason && { reason: weight.reason }) });
        say(back ? `${whom} ${n === 1 ? "returns" : "return"} now.` : `${whom} is cancelled.`);
        done?.();
        close();
    }
    return (
        <FormDialog title={back ? `Return ${whom} now` : `Cancel ${whom}`} close={close} submit={submit} danger verb={back ? `Return ${whom} now` : `Cancel for ${whom}`} why={weight.why}
            command={`locum run return-now ${run.campaign} ${run.number}${a ? ` --device ${shell(a.device)}` : ""}${weight.reason ? ` --reason ${shell(weight.reason)}` : ""}`}>
            {a ? <p>{back ? "The image is ended, the app comes back and is proven, and what was collected until then is sent." : "It does not begin; nothing happens to the device."}</p> : (
                <Phases rows={[["not begun", p.not_begun, (one) => `${one ? "does" : "do"} not begin; nothing happens to ${one ? "it" : "them"}`],
                    ["in progress", p.in_progress, (one) => (one ? "returns to its app now and sends what was collected" : "return to their app now and send what was collected")], ["finished", p.finished, (one) => (one ? "stays as it is" : "stay as they are")]]} />
            )}
            {weight.fields}
        </FormDialog>
    );
}

function Extend({ run, a, close, done }) {
    const now = a?.duration_s ?? run.duration_s;
    const limits = useLimits({ product: run.image.product, name: run.image.asset }, run.image.version);
    const [text, setText] = useState("");
    const p = phases(run.counts);
    const n = a ? 1 : p.not_begun + p.in_progress;
    const weight = useWeight({ name: run.image.asset, count: n, silent: true });
    const minutes = Number(text);
    const seconds = Math.round(minutes * 60);
    const bad = text === "" ? null : !(minutes > 0) ? "A number of minutes." : limits && now + seconds > limits.max_runtime_s ? `The image allows ${duration(limits.max_runtime_s)} in all: ${duration(limits.max_runtime_s - now)} more at most.` : null;
    const whom = a ? a.device : plural(n, "device");
    async function submit() {
        await api.post(at`/campaigns/${run.campaign}/runs/${run.number}/extend`, { duration_s: now + seconds, ...(a && { devices: [a.device] }) });
        say(`${whom} ${n === 1 ? "stays" : "stay"} ${duration(seconds)} longer.`);
        done?.();
        close();
    }
    return (
        <FormDialog title={`Extend for ${whom}`} close={close} submit={submit} verb={text && !bad ? `Extend for ${whom} to ${duration(now + seconds)}` : `Extend for ${whom}`} why={(text === "" ? "Say how much longer." : bad) ?? weight.why}
            command={`locum run extend ${run.campaign} ${run.number} --duration ${seconds > 0 ? `${now + seconds}s` : "TIME"}${a ? ` --device ${shell(a.device)}` : ""}`}>
            <p>Now {duration(now)} from {a ? "its" : "each device's own"} start on{limits ? `; the image was signed for ${duration(limits.max_runtime_s)} at most` : ""}. A device that is not in touch keeps the time that it has.</p>
            <Field label="Minutes longer" inputmode="decimal" value={text} bad={bad} autocomplete="off" onInput={(e) => setText(e.currentTarget.value.trim())} />
            {weight.fields}
        </FormDialog>
    );
}
