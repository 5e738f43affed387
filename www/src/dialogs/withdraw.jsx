// Withdraw a version: offered to nobody from then on; who runs it goes on running it and is named.
import { api, at } from "../api.js";
import { useResource, wants } from "../resource.js";
import { say } from "../status.js";
import { plural, shell } from "../words.js";
import { FormDialog } from "../parts/dialog.jsx";
import { Loaded } from "../parts/page.jsx";
import { useWeight } from "../parts/weight.jsx";

export function WithdrawDialog({ asset, version, close, done }) {
    const weight = useWeight({ name: version.version, destroys: true });
    const released = (asset.releases ?? []).filter((r) => r.version === version.version);
    async function submit() {
        await api.post(at`/assets/${asset.product}/${asset.name}/versions/${version.version}/withdraw`, { reason: weight.reason });
        say(`${asset.name} ${version.version} is withdrawn.`);
        done?.();
        close();
    }
    return (
        <FormDialog title={`Withdraw ${asset.name} ${version.version}`} close={close} submit={submit} danger verb={`Withdraw ${version.version}`} why={weight.why}
            command={`locum asset withdraw ${shell(`${asset.product}/${asset.name}`)} ${shell(version.version)} --reason ${shell(weight.reason || "TEXT")}`}>
            <p>No device is offered it any more, by release, pin or rollout. Its files and its history stay. This cannot be undone: publish the same files as a new version.</p>
            {released.length > 0 && <p>It is released now{released.some((r) => r.group) && ` (${released.map((r) => r.group ?? asset.product).join(", ")})`}: devices that do not run it yet get what was released before it.</p>}
            <p><strong>{plural(version.devices ?? 0, "device")}</strong> {version.devices === 1 ? "runs" : "run"} it and {version.devices === 1 ? "goes" : "go"} on until another version is released.</p>
            {version.devices > 0 && <RunningIt asset={asset} version={version.version} />}
            {weight.fields}
        </FormDialog>
    );
}

/* The devices that run a version, by name. */
export function RunningIt({ asset, version }) {
    const devices = useResource(at`/assets/${asset.product}/${asset.name}/versions/${version}/devices`, wants.devices);
    return (
        <Loaded of={devices} what="who runs it" rows={1}>
            {(names) => <ul class="names">{names.slice(0, 50).map((one) => <li key={one}><a href={`/devices/${encodeURIComponent(one)}`}>{one}</a></li>)}{names.length > 50 && <li class="muted">and {plural(names.length - 50, "more")}</li>}</ul>}
        </Loaded>
    );
}
