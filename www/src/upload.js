// Files on their way into the object store: picked or dropped, hashed in a worker, sent in pieces from where the server stopped.
import { signal } from "@preact/signals";
import { api, at } from "./api.js";
import { hashWorkerUrl } from "./trusted.js";

const PIECE = 4 << 20;
const TRIES = 5;

/* Everything that was dropped, as [{ path, file }]: one folder gives its contents, files their base names. */
export async function droppedFiles(transfer) {
    const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    if (!entries.length) return pickedFiles(transfer.files); // a drop that has files but no folders
    const lone = entries.length === 1 && entries[0].isDirectory;
    const out = [];
    for (const entry of entries) await walk(entry, lone ? "" : entry.name, out);
    return out;
}

async function walk(entry, path, out) {
    if (entry.isFile) {
        out.push({ path: path || entry.name, file: await new Promise((done, failed) => entry.file(done, failed)) });
        return;
    }
    const reader = entry.createReader();
    for (;;) {
        const some = await new Promise((done, failed) => reader.readEntries(done, failed));
        if (!some.length) return;
        for (const child of some) await walk(child, path ? `${path}/${child.name}` : child.name, out);
    }
}

/* What a file field holds; a folder field's paths lose the folder's own name. */
export const pickedFiles = (list) =>
    [...list].map((file) => ({ path: file.webkitRelativePath ? file.webkitRelativePath.split("/").slice(1).join("/") : file.name, file }));

/* A set of files being uploaded, one after the other. `files` is a signal of
 * { path, size, state: waiting | hashing | sending | sent | failed, done, sha256, program, error }. */
export function uploadSet() {
    const files = signal([]);
    const abort = new AbortController();
    let worker = null;
    let next = 1;
    let busy = false;

    const change = (id, more) => (files.value = files.value.map((one) => (one.id === id ? { ...one, ...more } : one)));

    function hash(one) {
        worker ??= new Worker(hashWorkerUrl());
        return new Promise((done, failed) => {
            worker.onmessage = ({ data }) => {
                if (data.error) failed(new Error(data.error));
                else if (data.sha256) done(data);
                else change(one.id, { done: data.done });
            };
            worker.postMessage({ id: one.id, file: one.file });
        });
    }

    async function sendAll(one, sha256) {
        let { held, complete } = await api.get(at`/objects/${sha256}`, { signal: abort.signal });
        let tries = 0;
        while (!complete) {
            change(one.id, { done: held });
            try {
                const piece = one.file.slice(held, Math.min(held + PIECE, one.size));
                ({ held, complete } = await api.upload(sha256, held, one.size, piece, abort.signal));
                tries = 0;
            } catch (error) {
                if (error.name === "AbortError" || (error.status && error.status !== 409 && error.status !== 503) || ++tries === TRIES) throw error;
                await new Promise((done) => setTimeout(done, 300 * 2 ** tries));
                ({ held, complete } = await api.get(at`/objects/${sha256}`, { signal: abort.signal }));
            }
        }
    }

    async function work() {
        if (busy) return;
        busy = true;
        for (;;) {
            const one = files.value.find((file) => file.state === "waiting");
            if (!one || abort.signal.aborted) break;
            try {
                change(one.id, { state: "hashing", done: 0 });
                const { sha256, program } = await hash(one);
                change(one.id, { state: "sending", done: 0, sha256, program: one.program ?? program });
                await sendAll(one, sha256);
                change(one.id, { state: "sent", done: one.size });
            } catch (error) {
                if (error.name !== "AbortError") change(one.id, { state: "failed", error: error.message });
            }
        }
        busy = false;
    }

    return {
        files,
        /* A path that is there already gets the new bytes. */
        add(list) {
            const paths = new Set(list.map((one) => one.path));
            const kept = files.value.filter((one) => !paths.has(one.path));
            files.value = [...kept, ...list.map(({ path, file }) => ({ id: next++, path, file, size: file.size, state: "waiting", done: 0 }))];
            work();
        },
        remove: (id) => (files.value = files.value.filter((one) => one.id !== id)),
        change,
        retry(id) {
            change(id, { state: "waiting", error: null });
            work();
        },
        end() {
            abort.abort();
            worker?.terminate();
        },
    };
}
