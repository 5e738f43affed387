// Data of the server in a component: fetched when the path changes, again when a live event says so, old data kept meanwhile.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { api } from "./api.js";
import { listen } from "./live.js";

const SKELETON_MS = 150; // nothing is drawn before that
const AGAIN_MS = 250;    // the least time between two fetches of the same thing

/* path: null fetches nothing. wants(type, data): which events change it. list: the answer is { rows, total, next }.
 * Returns { data, error, slow, at, reload, ending }. ending(work): work ends the thing itself, which is not asked for again unless that fails. */
export function useResource(path, wants = null, { list = false } = {}) {
    const [state, setState] = useState({ data: null, error: null, slow: false, at: 0, path: null });
    const run = useRef({});
    const wanted = useRef(wants);
    wanted.current = wants;

    const load = useCallback(() => {
        const mine = run.current;
        if (!path || mine.over) return;
        if (mine.busy) {
            mine.again = true;
            return;
        }
        mine.busy = true;
        mine.at = Date.now();
        const slow = setTimeout(() => mine.alive && setState((s) => ({ ...s, slow: !s.data })), SKELETON_MS);
        const get = list ? api.list : api.get;
        get(path, { signal: mine.abort.signal })
            .then((data) => mine.alive && setState({ data, error: null, slow: false, at: Date.now(), path }))
            .catch((error) => mine.alive && error.name !== "AbortError" && setState((s) => ({ ...s, error, slow: false })))
            .finally(() => {
                clearTimeout(slow);
                mine.busy = false;
                if (!mine.again || !mine.alive) return;
                mine.again = false;
                mine.timer = setTimeout(load, Math.max(0, AGAIN_MS - (Date.now() - mine.at)));
            });
    }, [path, list]);

    useEffect(() => {
        const mine = { alive: true, abort: new AbortController() };
        run.current = mine;
        load();
        const stop = listen((type, data) => {
            if (type !== "reset" && !wanted.current?.(type, data)) return;
            clearTimeout(mine.timer);
            mine.timer = setTimeout(load, Math.max(0, AGAIN_MS - (Date.now() - (mine.at ?? 0))));
        });
        return () => {
            mine.alive = false;
            mine.abort.abort();
            clearTimeout(mine.timer);
            stop();
        };
    }, [load]);

    const ending = useCallback(async (work) => {
        const mine = run.current;
        mine.over = true;
        try {
            return await work();
        } catch (error) {
            mine.over = false;
            load();
            throw error;
        }
    }, [load]);

    return { ...state, reload: load, ending };
}

/* Which events change what: wants.devices, and so on. */
export const wants = {
    devices: (type) => type === "device",
    device: (name) => (type, data) => (type === "device" && data.name === name) || (type === "assignment" && data.device === name),
    assets: (type) => type === "asset" || type === "device",
    asset: (product, asset) => (type, data) =>
        (type === "asset" && data.product === product && (data.asset ?? data.name) === asset) || type === "device",
    groups: (type) => ["group", "device", "asset"].includes(type),
    why: (name) => (type, data) => ["group", "asset", "rollout"].includes(type) || (type === "device" && data.name === name),
    rollouts: (type) => type === "rollout",
    rollout: (id) => (type, data) => type === "rollout" && +data.id === id,
    campaigns: (type) => ["campaign", "run", "assignment"].includes(type),
    run: (id, n) => (type, data) =>
        (type === "assignment" && +data.campaign === id && +data.run === n) ||
        (type === "run" && +data.campaign === id && +data.number === n) ||
        (type === "capture" && (data.campaign === undefined || +data.campaign === id)),
    captures: (type) => type === "capture",
    audit: (type) => type === "audit",
    summary: (type) => type !== "counts",
};
