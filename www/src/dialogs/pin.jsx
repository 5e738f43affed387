// Hold one device at a version of an asset, or let it go.
import { useState } from "preact/hooks";
import { api, at } from "../api.js";
import { useResource } from "../resource.js";
import { whyNot } from "../session.js";
import { say } from "../status.js";
import { shell } from "../words.js";
import { Action } from "../parts/button.jsx";
import { Field, FormDialog } from "../parts/dialog.jsx";
import { Loaded } from "../parts/page.jsx";

export function PinDialog({ device, asset, close, done }) {
    const detail = useResource(at`/assets/${device.product}/${asset}`);
    return <Loaded of={detail} what={`the versions of ${asset}`}>{(a) => <Form device={device} asset={a} close={close} done={done} />}</Loaded>;
}

function Form({ device, asset, close, done }) {
    const held = device.pins?.find((pin) => pin.asset === asset.name);
    const versions = asset.versions.filter((v) => !v.withdrawn);
    const [version, setVersion] = useState(held?.version ?? versions[0]?.version ?? "");
    const online = device.connectivity === "online";
    const [when, setWhen] = useState(online ? "now" : "reset");
    const [reason, setReason] = useState("");
    const why = !version ? "No version is offered any more." : when === "now" && !online ? "The device is not online: a pin for now needs it in touch. Choose its next start." : null;
    async function submit() {
        await api.post(at`/devices/${device.name}/pins`, { asset: asset.name, version, when, ...(reason.trim() && { reason: reason.trim() }) });
        say(`${device.name} is pinned to ${asset.name} ${version}${when === "reset" ? ", from its next start on" : ""}.`);
        done();
        close();
    }
    return (
        <FormDialog title={`Pin ${asset.name} on ${device.name}`} close={close} submit={submit} verb={`Pin to ${version}`} why={why}
            command={`locum device pin ${shell(device.name)} ${shell(`${device.product}/${asset.name}`)} ${shell(version)}${when === "reset" ? " --on-reset" : ""}${reason.trim() ? ` --reason ${shell(reason.trim())}` : ""}`}>
            <p>While it is pinned, no release and no rollout changes this asset on this device.</p>
            <Field label="Version">
                {(id) => <select id={id} value={version} onChange={(e) => setVersion(e.currentTarget.value)}>{versions.map((v) => <option key={v.version} value={v.version}>{v.version}{v.version === asset.released ? " (released)" : ""}</option>)}</select>}
            </Field>
            <div class="choices" role="radiogroup" aria-label="When">
                <label class="check"><input type="radio" name="when" checked={when === "now"} onChange={() => setWhen("now")} />Now</label>
                <label class="check"><input type="radio" name="when" checked={when === "reset"} onChange={() => setWhen("reset")} />At its next start</label>
            </div>
            <Field label="Reason (optional)" help="Goes to the audit log." value={reason} autocomplete="off" maxlength="500" onInput={(e) => setReason(e.currentTarget.value)} />
        </FormDialog>
    );
}

/* Pin, or unpin: the latter is undone by pinning again, so nothing is asked. */
export function PinButtons({ device, asset, open, done }) {
    const [busy, setBusy] = useState(false);
    const held = device.pins?.find((pin) => pin.asset === asset);
    const why = whyNot("support") ?? (device.admission !== "accepted" ? `The device is ${device.admission}.` : null);
    async function unpin() {
        setBusy(true);
        try {
            await api.remove(at`/devices/${device.name}/pins/${asset}`);
            say(`${device.name} is no longer pinned to ${asset} ${held.version}.`);
            done();
        } catch (error) {
            say(error.message);
        }
        setBusy(false);
    }
    return (
        <span class="actions">
            <Action why={why} onClick={() => open(asset)}>{held ? "Change pin…" : "Pin…"}<span class="sr"> {asset}</span></Action>
            {held && <Action why={why} busy={busy} onClick={unpin}>Unpin<span class="sr"> {asset}</span></Action>}
        </span>
    );
}
