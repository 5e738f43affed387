// The time of day as a signal that ticks once a second while the page is seen.
import { signal } from "@preact/signals";

export const now = signal(Date.now());

const tick = () => (now.value = Date.now());
setInterval(() => document.visibilityState === "visible" && tick(), 1000);
document.addEventListener("visibilitychange", tick);
