// All requests to the console go through here: paths are encoded by `at`, errors become ApiError, a lost session is told to session.js.
import { signal } from "@preact/signals";

const BASE = "/api/v1";

/* Raised by one whenever the server says that nobody is signed in. */
export const unauthorised = signal(0);

export class ApiError extends Error {
    constructor(status, error) {
        super(error.message);
        this.status = status;
        this.code = error.code;
        this.requestId = error.request_id ?? null;
        this.hint = error.hint ?? null;
        this.time = new Date();
    }
}

/* at`/devices/${name}/tags`: a path whose values are percent-encoded, one segment each. */
export function at(parts, ...values) {
    return parts.reduce((path, part, i) => path + encodeURIComponent(values[i - 1]) + part);
}

/* A query string of the members that are set; lists repeat the name. */
export function query(members) {
    const out = new URLSearchParams();
    for (const [name, value] of Object.entries(members))
        for (const one of Array.isArray(value) ? value : [value])
            if (one !== null && one !== undefined && one !== "") out.append(name, one);
    const text = out.toString();
    return text ? "?" + text : "";
}

async function failure(response) {
    let error = null;
    try {
        error = (await response.json()).error;
    } catch {
        /* a front or a proxy answered, not the console */
    }
    return new ApiError(response.status, error ?? { code: "system", message: `The server answered ${response.status}.` });
}

/* One request; resolves to the Response when its status is a success. */
export async function send(method, path, { body, bytes, headers, signal: abort } = {}) {
    let response;
    try {
        response = await fetch(BASE + path, {
            method,
            headers: { ...(body !== undefined && { "Content-Type": "application/json" }), ...headers },
            body: body !== undefined ? JSON.stringify(body) : bytes,
            signal: abort,
            credentials: "same-origin",
            cache: "no-store",
        });
    } catch (cause) {
        if (cause.name === "AbortError") throw cause;
        throw new ApiError(0, { code: "system", message: "The server cannot be reached." });
    }
    if (response.ok) return response;
    const error = await failure(response);
    if (error.status === 401 && !path.startsWith("/session")) unauthorised.value++;
    throw error;
}

async function json(method, path, options) {
    const response = await send(method, path, options);
    return response.status === 204 ? null : response.json();
}

export const api = {
    get: (path, options) => json("GET", path, options),
    post: (path, body) => json("POST", path, { body: body ?? {} }),
    put: (path, body) => json("PUT", path, { body }),
    patch: (path, body) => json("PATCH", path, { body }),
    remove: (path) => json("DELETE", path),
    /* Raw bytes of an object, or of a part of it. */
    upload: (sha256, offset, length, bytes, abort) =>
        json("PUT", at`/objects/${sha256}` + query({ offset, length }), {
            bytes,
            signal: abort,
            headers: { "Content-Type": "application/octet-stream" },
        }),
    /* The first `limit` bytes of a file: { bytes, total }. */
    async part(path, limit, abort) {
        const response = await send("GET", path, { headers: { Range: `bytes=0-${limit - 1}` }, signal: abort });
        const bytes = new Uint8Array(await response.arrayBuffer());
        const total = Number(/\/(\d+)$/.exec(response.headers.get("Content-Range") ?? "")?.[1] ?? bytes.length);
        return { bytes, total };
    },
    /* A list with the number that match. */
    async list(path, options) {
        const response = await send("GET", path, options);
        const rows = await response.json();
        return { rows, total: Number(response.headers.get("X-Total") ?? rows.length), next: response.headers.get("X-Next") };
    },
};

/* The address of a file for a download link. */
export const href = (path) => BASE + path;
