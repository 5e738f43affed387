// What would happen: asked a moment after the last change of a form, and again when devices change.
import { useEffect, useRef, useState } from "preact/hooks";
import { api } from "./api.js";
import { useResource, wants } from "./resource.js";

const SETTLE_MS = 400;

/* body: the text that would be posted to `path`, or null. Returns { plan, error, fresh }; old ones stay until the next has come. */
export function useDryRun(path, body) {
    const [state, setState] = useState({ plan: null, error: null, of: null });
    const newest = useRef(null);
    const tick = useResource(body && "/summary", wants.devices).at;
    useEffect(() => {
        newest.current = body;
        if (!body) return;
        const timer = setTimeout(() => {
            const mine = (next) => newest.current === body && setState({ plan: null, error: null, of: body, ...next });
            api.post(path, { ...JSON.parse(body), dry_run: true }).then((plan) => mine({ plan }), (error) => mine({ error }));
        }, SETTLE_MS);
        return () => clearTimeout(timer);
    }, [body, tick]);
    return { ...state, fresh: state.of === body };
}
