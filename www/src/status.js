// The one polite status region: what has just happened, said once, gone by itself.
import { signal } from "@preact/signals";

export const status = signal(null); // { text, to, link, tone }
let timer = null;

export function say(text, more = {}) {
    status.value = { text, ...more };
    clearTimeout(timer);
    timer = setTimeout(() => (status.value = null), 8000);
}
