// What the page knows about being live: the four states, the pause switch, and who wants to hear which events.
import { computed, signal } from "@preact/signals";
import { now } from "./clock.js";
import { liveWorkerUrl } from "./trusted.js";
import { openStream } from "./stream.js";

const STALE_MS = 30000;

const stream = signal({ state: "connecting", since: Date.now() });
export const paused = signal(false);
export const waiting = signal(0);
/* The last `counts` event: { on_image, overdue, online }. */
export const counts = signal(null);

/* live | paused | reconnecting | offline, and since when. */
export const liveState = computed(() => {
    const { state, since } = stream.value;
    if (state === "live") return paused.value ? { state: "paused", since } : { state: "live", since };
    if (state === "connecting" && now.value - since < 3000) return { state: "connecting", since };
    return { state: now.value - since > STALE_MS ? "offline" : "reconnecting", since };
});

const listeners = new Set();
let post = null;

/* Calls hear(type, data) for every event, and hear("reset") when anything may have changed. Returns the way to stop. */
export function listen(hear) {
    listeners.add(hear);
    return () => listeners.delete(hear);
}

const tell = (type, data) => listeners.forEach((hear) => hear(type, data));

export function setPaused(on) {
    paused.value = on;
    if (on) return;
    if (waiting.peek()) tell("reset");
    waiting.value = 0;
}

function received(message) {
    if (message.kind === "state") {
        const back = message.state === "live" && stream.peek().state !== "connecting" && stream.peek().state !== "live";
        stream.value = message;
        if (back) tell("reset");
        return;
    }
    for (const { type, data } of message.events) {
        if (type === "counts") counts.value = data;
        else if (paused.peek()) waiting.value++;
        else tell(type, data);
    }
}

function startWorker() {
    const worker = new SharedWorker(liveWorkerUrl(), { name: "locum" });
    worker.port.onmessage = ({ data }) => received(data);
    post = (message) => worker.port.postMessage(message);
    addEventListener("pagehide", () => post("bye"));
    addEventListener("pageshow", (event) => event.persisted && location.reload());
}

/* Without SharedWorker the tab that gets the lock reads the stream for all. */
function startLeader() {
    const channel = new BroadcastChannel("locum");
    channel.onmessage = ({ data }) => typeof data === "object" && received(data);
    post = (message) => channel.postMessage(message);
    navigator.locks.request("locum", () => {
        const mine = openStream("/api/v1/events", (message) => {
            received(message);
            channel.postMessage(message);
        });
        channel.onmessage = ({ data }) => data === "hello" ? channel.postMessage(mine.status()) : mine.wake(data === "restart");
        post = (message) => mine.wake(message === "restart");
        return new Promise(() => {});
    });
    channel.postMessage("hello");
}

/* Opens the stream, or tells it that somebody has signed in. */
export function startLive() {
    if (post) return post("restart");
    if (globalThis.SharedWorker) startWorker();
    else startLeader();
    addEventListener("online", () => post("wake"));
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && post("wake"));
}
