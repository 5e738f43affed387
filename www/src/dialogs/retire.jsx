// Ends a device's membership: it cannot come back with its key, so the name is typed.
import { useState } from "preact/hooks";
import { api, at } from "../api.js";
import { say } from "../status.js";
import { Field, FormDialog } from "../parts/dialog.jsx";

export function RetireDialog({ device, close, done }) {
    const [typed, setTyped] = useState("");
    async function submit() {
        await api.post(at`/devices/${device.name}/retire`);
        say(`${device.name} retired.`);
        done();
        close();
    }
    return (
        <FormDialog title={`Retire ${device.name}`} close={close} submit={submit} danger verb={`Retire ${device.name}`} why={typed === device.name ? null : "Type the device's name to go on."} command={`locum device retire ${device.name}`}>
            <p>The device keeps running what it has, but gets no more orders and cannot check in. To come back it must enrol anew. {device.image ? "It is on a diagnostic image now: that still returns by itself." : ""}</p>
            <Field label={`Type ${device.name}`} value={typed} autocomplete="off" onInput={(e) => setTyped(e.currentTarget.value)} />
        </FormDialog>
    );
}
