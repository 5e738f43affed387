// Release a version to a product or a group: how many devices take it, how many run it, and whether it is proven enough. And the end of a group's release.
import { useState } from "preact/hooks";
import { api, at } from "../api.js";
import { useResource, wants } from "../resource.js";
import { whyNot } from "../session.js";
import { say } from "../status.js";
import { number, plural, shell } from "../words.js";
import { Action } from "../parts/button.jsx";
import { Field, FormDialog } from "../parts/dialog.jsx";
import { Loaded, Note } from "../parts/page.jsx";
import { useWeight } from "../parts/weight.jsx";

export function ReleaseDialog({ asset, version, close, done }) {
    const [group, setGroup] = useState("");
    const [force, setForce] = useState(false);
    const groups = useResource("/groups", wants.groups);
    const product = useResource(at`/products/${asset.product}`, wants.assets);
    const filter = `product:${asset.product} admission:accepted` + (group ? ` group:${group}` : "");
    const preview = (more) => "/preview?filter=" + encodeURIComponent(more ? `${filter} ${more}` : filter);
    const all = useResource(preview());
    const have = useResource(preview(`${asset.name}:${version.version}`));
    const lost = useResource(preview("(connectivity:offline or connectivity:never_seen)"));
    const ready = all.path === preview() && have.data;
    const take = ready ? all.data.count - have.data.count : null;

    const needed = product.data?.settings["release.proven_on"] ?? null;
    const proven = version.proven ?? 0;
    const unproven = needed !== null && proven < needed;
    const weight = useWeight({ name: asset.name, count: ready ? all.data.count : 0, must: force, asks: true });
    const now = (asset.releases ?? []).find((r) => (r.group ?? "") === group)?.version ?? (group ? null : asset.released);
    const why = now === version.version ? `This version is ${group ? "the group's release" : "the release"} already.`
        : unproven && !force ? `Not proven yet: it runs on ${number(proven)} of the ${number(needed)} devices that ${asset.product} asks for.`
        : weight.why;
    const words = [group && `--group ${shell(group)}`, force && "--force", weight.reason && `--reason ${shell(weight.reason)}`].filter(Boolean).join(" ");

    async function submit() {
        const answer = await api.post(at`/assets/${asset.product}/${asset.name}/release`, {
            version: version.version, ...(group && { group }), ...(force && { force }), ...(weight.reason && { reason: weight.reason }),
        });
        say(`Released ${asset.name} ${version.version} for ${plural(answer.devices, "device")}.`);
        done?.();
        close();
    }
    return (
        <FormDialog title={`Release ${asset.name} ${version.version}`} close={close} submit={submit}
            verb={take === null ? `Release ${version.version}` : `Release ${version.version} for ${plural(all.data.count, "device")}`}
            why={why} command={`locum asset release ${shell(`${asset.product}/${asset.name}`)} ${shell(version.version)}${words && ` ${words}`}`}>
            <Field label="For" help={group ? "Only its devices take it: a group comes before the product." : "All devices of the product that no group, rollout or pin holds elsewhere."}>
                {(id, described) => (
                    <select id={id} aria-describedby={described} value={group} onChange={(e) => setGroup(e.currentTarget.value)}>
                        <option value="">product {asset.product}</option>
                        {(groups.data ?? []).map((g) => <option key={g.name} value={g.name}>group {g.name}</option>)}
                    </select>
                )}
            </Field>
            <p>
                {now ? <>Released now: <code>{now}</code>. </> : `Nothing of this asset is released to ${group ? "this group" : "it"} yet. `}
                From their next check-in on, these devices run <code>{version.version}</code>.
                {version.activation === "restart" ? " Their app is stopped and started for it." : " Their app is told and goes on running."}
                {" "}A device that cannot use it goes back by itself and says why.
            </p>
            <Loaded of={all} what="the number of devices" rows={2}>
                {(data) => (
                    <ul class="plain-list">
                        <li><strong>{number(data.count)}</strong> {data.count === 1 ? "device" : "devices"}{data.samples.length > 0 && <span class="muted"> ({data.samples.slice(0, 3).join(", ")}{data.count > 3 ? ", …" : ""})</span>}</li>
                        {have.data && <li><strong>{number(have.data.count)}</strong> run {version.version} already, <strong>{number(take ?? 0)}</strong> take it</li>}
                        {lost.data && <li><strong>{number(lost.data.count)}</strong> not in touch: {lost.data.count === 1 ? "it takes" : "they take"} it when {lost.data.count === 1 ? "it comes" : "they come"} back</li>}
                    </ul>
                )}
            </Loaded>
            {product.data && <Proof asset={asset} version={version} needed={needed} unproven={unproven} reload={product.reload} />}
            {unproven && <label class="check"><input type="checkbox" checked={force} onChange={(e) => setForce(e.currentTarget.checked)} />Release it although it is not proven</label>}
            {weight.fields}
        </FormDialog>
    );
}

/* The product's rule, what this version has, and the way to fulfil it. */
function Proof({ asset, version, needed, unproven, reload }) {
    const proven = version.proven ?? 0;
    const [error, setError] = useState(null);
    const ask = () => api.patch(at`/products/${asset.product}`, { settings: { "release.proven_on": 1 } }).then(reload, setError);
    if (unproven)
        return <Note tone="attention" icon="shield"><p>{asset.product} releases only what is <strong>proven running on {plural(needed, "device")}</strong>; {version.version} is on {number(proven)}. How: open a test device, pin it to {version.version}, and wait until its app has adopted it.</p></Note>;
    return (
        <div class="row proof">
            <p class="muted">Proven running on {plural(proven, "device")}.{needed > 0 ? ` ${asset.product} asks for ${number(needed)}.` : ` ${asset.product} asks for none first.`}{error && <span class="bad"> {error.message}</span>}</p>
            {needed === 0 && <Action why={whyNot("release")} onClick={ask}>Ask for 1 from now on</Action>}
        </div>
    );
}

/* Devices of the group go to what their product's release says. */
export function EndReleaseDialog({ product, asset, group, close, done }) {
    const members = useResource("/preview?filter=" + encodeURIComponent(`product:${product} group:${group}`));
    const weight = useWeight({ name: group, count: members.data?.count, silent: true });
    async function submit() {
        await api.remove(at`/assets/${product}/${asset}/release?group=` + encodeURIComponent(group));
        say(`The release of ${asset} to ${group} has ended.`);
        done?.();
        close();
    }
    return (
        <FormDialog title={`End the release of ${asset} to ${group}`} close={close} submit={submit} danger verb={`End for ${members.data ? plural(members.data.count, "device") : "the group"}`} why={weight.why}
            command={`locum asset release ${shell(`${product}/${asset}`)} --group ${shell(group)} --end`}>
            <p>From their next check-in on, devices of <strong>{group}</strong> run what is released for {product}, if anything is.</p>
            {weight.fields}
        </FormDialog>
    );
}
