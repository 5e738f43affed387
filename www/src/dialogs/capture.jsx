// Keep a capture whatever its age, or delete it: what is gone is gone, so the reason is asked for.
import { api, at, query } from "../api.js";
import { go } from "../router.js";
import { whyNot } from "../session.js";
import { say } from "../status.js";
import { bytes, plural, shell } from "../words.js";
import { Action } from "../parts/button.jsx";
import { FormDialog } from "../parts/dialog.jsx";
import { useWeight } from "../parts/weight.jsx";

export function CaptureActions({ capture: c, open }) {
    const support = whyNot("support");
    return (
        <>
            <Action icon="shield" why={support} onClick={() => open("hold")}>{c.hold ? "End the hold…" : "Hold…"}</Action>
            <Action why={support ?? (c.hold ? "It is held: end the hold first." : null)} onClick={() => open("delete")}>Delete…</Action>
        </>
    );
}

export function HoldDialog({ capture: c, close, done }) {
    const weight = useWeight({ name: c.device, must: true });
    async function submit() {
        await api.put(at`/captures/${c.id}/hold`, { hold: !c.hold, reason: weight.reason });
        say(c.hold ? "The hold has ended." : "The capture is held.");
        done();
        close();
    }
    return (
        <FormDialog title={c.hold ? `End the hold of capture ${c.id}` : `Hold capture ${c.id}`} close={close} submit={submit} verb={c.hold ? "End the hold" : "Hold capture"} why={weight.why}
            command={`locum capture hold ${c.id}${c.hold ? " --off" : ""} --reason ${shell(weight.reason || "TEXT")}`}>
            <p>{c.hold ? "It is deleted when its time comes, as every other." : "It stays until a person ends the hold, whatever its age."}</p>
            {weight.fields}
        </FormDialog>
    );
}

export function DeleteDialog({ capture: c, close, ending }) {
    const weight = useWeight({ name: c.device, destroys: true });
    async function submit() {
        await ending(() => api.remove(at`/captures/${c.id}` + query({ reason: weight.reason })));
        say(`Capture ${c.id} of ${c.device} deleted.`);
        close();
        go(`/captures?campaign=${c.campaign}&run=${c.run}`, { replace: true });
    }
    return (
        <FormDialog title={`Delete capture ${c.id}`} close={close} submit={submit} danger verb={`Delete ${plural(c.file_count, "file")}, ${bytes(c.length)}`} why={weight.why} command={`locum capture delete ${c.id} --reason ${shell(weight.reason || "TEXT")}`}>
            <p>What {c.device} collected in campaign {c.campaign}, run {c.run}, is gone for good. That it was there, and who deleted it, stays in the audit log.</p>
            {weight.fields}
        </FormDialog>
    );
}
