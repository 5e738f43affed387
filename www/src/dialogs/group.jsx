// A group, new or changed: by a filter or by name, with who is in it and what changes before anything is saved.
import { useState } from "preact/hooks";
import { api, at } from "../api.js";
import { go } from "../router.js";
import { say } from "../status.js";
import { NAME, number, plural, shell } from "../words.js";
import { DevicePicker, FilterPicker, usePreview } from "../parts/choose_devices.jsx";
import { Field, FormDialog } from "../parts/dialog.jsx";
import { useWeight } from "../parts/weight.jsx";

export const groupHref = (name) => `/groups/${encodeURIComponent(name)}`;

/* of: the group that is changed, with its members; without it a new one. */
export function GroupDialog({ of = null, filter: proposed = "", close, done }) {
    const [name, setName] = useState(of?.name ?? "");
    const [by, setBy] = useState(of && of.filter === null ? "names" : "filter");
    const [filter, setFilter] = useState(of?.filter ?? proposed);
    const [names, setNames] = useState(of && of.filter === null ? of.members : []);
    const preview = usePreview(by === "filter" && filter.trim() ? filter.trim() : null, of?.name);
    const change = by === "filter" ? (preview.data?.added ? preview.data : null) : of && listChange(of.members, names);
    /* Devices of a group take its releases: those that come or go are touched. */
    const weight = useWeight({ name, count: of?.releases.length && change ? change.added.count + change.removed.count : 0, silent: true });
    const badName = name && !NAME.test(name) ? "Small letters, digits, dot, dash, underscore; at most 64." : null;
    const why = (!name ? "Give a name." : badName)
        ?? (by === "names" && !names.length ? "Choose at least one device." : null)
        ?? (by === "filter" && !filter.trim() ? "Write a filter." : null)
        ?? (by === "filter" && preview.error ? preview.error.message : null)
        ?? (by === "filter" && !preview.data ? "Counting the devices…" : null) ?? weight.why;
    const what = by === "filter" ? { filter: filter.trim() } : { devices: names };

    async function submit() {
        if (of) await api.put(at`/groups/${name}`, { ...what, ...(by === "filter" && { expect_count: preview.data.count }) });
        else await api.post("/groups", { name, ...what });
        say(of ? `Group ${name} saved.` : `Group ${name} made.`);
        done?.();
        close();
        go(groupHref(name));
    }

    const words = by === "filter" ? `--filter ${shell(filter.trim() || "F")}` : `--device ${names.length ? names.map(shell).join(" ") : "NAME…"}`;
    return (
        <FormDialog title={of ? `Change group ${of.name}` : "New group"} close={close} submit={submit} wide verb={of ? `Save ${name}` : `Make group ${name}`} why={why}
            command={of ? null : `locum group create ${shell(name || "NAME")} ${words}`}>
            {!of && <Field label="Name" value={name} autocomplete="off" bad={badName} onInput={(e) => setName(e.currentTarget.value.trim())} />}
            <div class="choices" role="radiogroup" aria-label="Members">
                <label class="check"><input type="radio" name="members" checked={by === "filter"} onChange={() => setBy("filter")} />By filter: members come and go by themselves</label>
                <label class="check"><input type="radio" name="members" checked={by === "names"} onChange={() => setBy("names")} />Fixed: chosen by name</label>
            </div>
            {by === "filter" ? <FilterPicker filter={filter} setFilter={setFilter} preview={filter.trim() ? preview : { data: null, error: { message: "" } }} /> : <DevicePicker product={null} names={names} setNames={setNames} />}
            {of && change && <Change of={of} change={change} />}
            {weight.fields}
        </FormDialog>
    );
}

const side = (list) => ({ count: list.length, samples: list.slice(0, 5) });
const listChange = (before, after) => ({ added: side(after.filter((one) => !before.includes(one))), removed: side(before.filter((one) => !after.includes(one))) });

function Change({ of, change }) {
    const { added, removed } = change;
    const names = ({ count, samples }) => count > 0 && <span class="muted">: {samples.join(", ")}{count > samples.length && ", …"}</span>;
    return (
        <ul class="plain-list difference" aria-label="What changes" role="list">
            {!added.count && !removed.count ? <li class="muted">The members stay as they are.</li> : (
                <>
                    <li><strong>+ {number(added.count)}</strong> {added.count === 1 ? "comes" : "come"} in{names(added)}</li>
                    <li><strong>− {number(removed.count)}</strong> {removed.count === 1 ? "goes" : "go"} out{names(removed)}</li>
                </>
            )}
            {of.releases.length > 0 && (added.count > 0 || removed.count > 0) && <li class="muted">{plural(of.releases.length, "release")} of this group {of.releases.length === 1 ? "follows" : "follow"} its members at their next check-in.</li>}
        </ul>
    );
}

export function DeleteGroupDialog({ group, close, ending, done }) {
    const weight = useWeight({ name: group.name, destroys: true, silent: true });
    const released = group.releases.length;
    async function submit() {
        await ending(() => api.remove(at`/groups/${group.name}` + (released ? "?force=true" : "")));
        say(`Group ${group.name} deleted.`);
        close();
        done();
    }
    return (
        <FormDialog title={`Delete group ${group.name}`} close={close} submit={submit} danger verb={`Delete ${group.name}`} why={weight.why} command={`locum group delete ${shell(group.name)}${released ? " --force" : ""}`}>
            <p>The {plural(group.devices, "device")} in it stay as they are.{released > 0 && ` ${plural(released, "release")} to this group ${released === 1 ? "ends" : "end"}: its devices go to what is released for their product.`}</p>
            {released > 0 && <ul class="plain-list">{group.releases.map((r) => <li key={r.product + r.asset}>{r.product}/{r.asset} <code>{r.version}</code></li>)}</ul>}
            {weight.fields}
        </FormDialog>
    );
}
