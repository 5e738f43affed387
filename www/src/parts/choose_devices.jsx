// Which devices: by name from a list, or all that match a filter, counted while it is typed.
import { useEffect, useState } from "preact/hooks";
import { query } from "../api.js";
import { useResource, wants } from "../resource.js";
import { plural } from "../words.js";
import { DeviceState } from "./device_cells.jsx";
import { Field } from "./dialog.jsx";
import { Loaded, Nothing } from "./page.jsx";

/* Counts a moment after the last key. */
export function usePreview(filter, group = null) {
    const [settled, setSettled] = useState(filter);
    useEffect(() => {
        const timer = setTimeout(() => setSettled(filter), 250);
        return () => clearTimeout(timer);
    }, [filter]);
    const preview = useResource(settled ? "/preview" + query({ filter: settled, group }) : null, wants.devices);
    return settled === filter && preview.path === (settled ? "/preview" + query({ filter: settled, group }) : null) ? preview : { data: null, error: settled === filter ? preview.error : null };
}

export function FilterPicker({ filter, setFilter, preview }) {
    return (
        <>
            <Field label="Filter" data-filter value={filter} maxlength="1024" spellcheck={false} autocomplete="off" bad={preview.error?.message} help="For example product:demo tag:lab -connectivity:offline" onInput={(e) => setFilter(e.currentTarget.value)} />
            <p role="status" class="preview">
                {preview.data ? <><strong>{plural(preview.data.count, "device")}</strong> {preview.data.count === 1 ? "matches" : "match"} now{preview.data.samples.length > 0 && <span class="muted">: {preview.data.samples.join(", ")}{preview.data.count > preview.data.samples.length ? ", …" : ""}</span>}</> : preview.error ? "" : <span class="muted">counting…</span>}
            </p>
        </>
    );
}

export function DevicePicker({ product, names, setNames }) {
    const [search, setSearch] = useState("");
    const devices = useResource("/devices" + query({ filter: `${product ? `product:${product} ` : ""}admission:accepted`, limit: 1000 }), wants.devices);
    const toggle = (name) => setNames(names.includes(name) ? names.filter((one) => one !== name) : [...names, name]);
    return (
        <Loaded of={devices} what="the devices" rows={3}>
            {(list) => {
                const shown = list.filter((d) => d.name.includes(search.trim())).slice(0, 100);
                const unknown = names.filter((name) => !list.some((d) => d.name === name));
                return (
                    <>
                        {list.length > 8 && <Field label="Find" data-filter type="search" value={search} onInput={(e) => setSearch(e.currentTarget.value)} />}
                        {!list.length && <Nothing action={<a class="button" href="/devices">Devices</a>}>No accepted device{product && ` of ${product}`} yet.</Nothing>}
                        <ul class="picker" aria-label="Devices">
                            {shown.map((d) => (
                                <li key={d.name}>
                                    <label class="check"><input type="checkbox" checked={names.includes(d.name)} onChange={() => toggle(d.name)} />{d.name}</label>
                                    <DeviceState device={d} />
                                    {d.image && <span class="small muted">on {d.image.image} now: it waits until that has returned</span>}
                                </li>
                            ))}
                        </ul>
                        {unknown.length > 0 && <p class="bad">Not accepted devices{product && ` of ${product}`}: {unknown.join(", ")} <button type="button" onClick={() => setNames(names.filter((n) => !unknown.includes(n)))}>Leave out</button></p>}
                        <p class="muted" role="status">{plural(names.length, "device")} chosen{list.length > shown.length && `; ${shown.length} of ${list.length} shown`}</p>
                    </>
                );
            }}
        </Loaded>
    );
}
