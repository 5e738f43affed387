// Release a version: says before how many devices take it, and how many run it already.
import { api, at } from "../api.js";
import { useResource } from "../resource.js";
import { say } from "../status.js";
import { number, plural, shell } from "../words.js";
import { FormDialog } from "../parts/dialog.jsx";
import { Loaded } from "../parts/page.jsx";

export function ReleaseDialog({ asset, version, close, done }) {
    const filter = `product:${asset.product} admission:accepted`;
    const preview = (more) => "/preview?filter=" + encodeURIComponent(more ? `${filter} ${more}` : filter);
    const all = useResource(preview());
    const have = useResource(preview(`${asset.name}:${version.version}`));
    const lost = useResource(preview("(connectivity:offline or connectivity:never_seen)"));
    const take = all.data && have.data ? all.data.count - have.data.count : null;
    async function submit() {
        const answer = await api.post(at`/assets/${asset.product}/${asset.name}/release`, { version: version.version });
        say(`Released ${asset.name} ${version.version} for ${plural(answer.devices, "device")}.`);
        done?.();
        close();
    }
    return (
        <FormDialog title={`Release ${asset.name} ${version.version}`} close={close} submit={submit}
            verb={take === null ? `Release ${version.version}` : `Release ${version.version} for ${plural(all.data.count, "device")}`}
            why={asset.released === version.version ? "This version is the release already." : null}
            command={`locum asset release ${shell(`${asset.product}/${asset.name}`)} ${shell(version.version)}`}>
            <p>
                {asset.released ? <>Released now: <code>{asset.released}</code>. </> : "Nothing of this asset is released yet. "}
                From their next check-in on, devices of <strong>{asset.product}</strong> run <code>{version.version}</code>.
                {version.activation === "restart" ? " Their app is stopped and started for it." : " Their app is told and goes on running."}
                {" "}A device that cannot use it goes back by itself and says why.
            </p>
            <Loaded of={all} what="the number of devices" rows={2}>
                {(data) => (
                    <ul class="plain-list">
                        <li><strong>{number(data.count)}</strong> {data.count === 1 ? "device" : "devices"} of {asset.product}{data.samples.length > 0 && <span class="muted"> ({data.samples.slice(0, 3).join(", ")}{data.count > 3 ? ", …" : ""})</span>}</li>
                        {have.data && <li><strong>{number(have.data.count)}</strong> run {version.version} already, <strong>{number(take)}</strong> take it</li>}
                        {lost.data && <li><strong>{number(lost.data.count)}</strong> not in touch: {lost.data.count === 1 ? "it takes" : "they take"} it when {lost.data.count === 1 ? "it comes" : "they come"} back</li>}
                    </ul>
                )}
            </Loaded>
        </FormDialog>
    );
}
