// Let an enrolled device in, or turn it away: undone by the other button, so nothing is asked first.
import { useState } from "preact/hooks";
import { api, at } from "../api.js";
import { whyNot } from "../session.js";
import { say } from "../status.js";
import { Action } from "../parts/button.jsx";

export function AdmitButtons({ device, done }) {
    const [busy, setBusy] = useState(false);
    const why = whyNot("support");
    async function decide(verb, past) {
        setBusy(true);
        try {
            await api.post(at`/devices/${device.name}/` + verb);
            say(`${device.name} ${past}.`);
            done?.();
        } catch (error) {
            say(error.message);
        }
        setBusy(false);
    }
    if (device.clone_suspected)
        return (
            <span class="actions">
                <Action why={why} busy={busy} onClick={() => decide("accept", "is trusted again")}>It is the real device</Action>
                <Action why={why} busy={busy} onClick={() => decide("reject", "turned away")}>Reject</Action>
            </span>
        );
    if (device.admission === "retired" || device.admission === "accepted") return null;
    return (
        <span class="actions">
            <Action why={why} busy={busy} onClick={() => decide("accept", "accepted")}>Accept<span class="sr"> {device.name}</span></Action>
            {device.admission === "pending" && <Action why={why} busy={busy} onClick={() => decide("reject", "rejected")}>Reject<span class="sr"> {device.name}</span></Action>}
        </span>
    );
}
