// The one Trusted Types policy: the only script addresses that this console ever makes are its own two workers.
const ALLOWED = new Set([LIVE_WORKER, HASH_WORKER]);

const policy = globalThis.trustedTypes?.createPolicy("locum", {
    createScriptURL(url) {
        if (!ALLOWED.has(url)) throw new TypeError(`not one of our workers: ${url}`);
        return url;
    },
});

export const liveWorkerUrl = () => policy?.createScriptURL(LIVE_WORKER) ?? LIVE_WORKER;
export const hashWorkerUrl = () => policy?.createScriptURL(HASH_WORKER) ?? HASH_WORKER;
