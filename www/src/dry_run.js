// What would happen: asked a moment after the last change of a form, and again, not often, when devices or groups change.
import { useEffect, useRef, useState } from "preact/hooks";
import { api } from "./api.js";
import { listen } from "./live.js";

const SETTLE_MS = 400;
const AGAIN_MS = 5000;

/* body: the text that would be posted to `path`, or null. Returns { plan, error, fresh }; old ones stay until the next has come. */
export function useDryRun(path, body) {
    const [state, setState] = useState({ plan: null, error: null, of: null });
    const newest = useRef(null);
    const [tick, setTick] = useState(0);
    useEffect(() => {
        let timer = null;
        const stop = listen((type) => {
            if (["device", "group", "reset"].includes(type)) timer ??= setTimeout(() => { timer = null; setTick((n) => n + 1); }, AGAIN_MS);
        });
        return () => { clearTimeout(timer); stop(); };
    }, []);
    useEffect(() => {
        newest.current = body;
        if (!body) return;
        const timer = setTimeout(() => {
            const mine = (next) => newest.current === body && setState({ plan: null, error: null, of: body, ...next });
            api.post(path, { ...JSON.parse(body), dry_run: true }).then((plan) => mine({ plan }), (error) => mine({ error }));
        }, SETTLE_MS);
        return () => clearTimeout(timer);
    }, [path, body, tick]);
    return { ...state, fresh: state.of === body };
}
