// The limits of a diagnostic image in words, as the operator reads them before sending it.
import { bytes, duration } from "./words.js";

const MODES = {
    replace: "The device's app is stopped and the image runs instead of it.",
    beside: "The image runs beside the app, which goes on.",
    override: "The app itself runs with some of its assets replaced.",
};
const MODE_WORDS = { replace: "instead of the app", beside: "beside the app", override: "the app, with other assets" };
export const modeWord = (mode) => MODE_WORDS[mode] ?? mode;
export const MODE_LIST = Object.keys(MODES);
export const modeSentence = (mode) => MODES[mode] ?? mode;

const COLLECT = { proc: "the device's /proc, with the rights of its own user", app: "how many files the app has open, and how much it reads and writes", "app-logs": "the app's log" };
const CAPABILITIES = { net_raw: "send and receive raw network packets", syslog: "read the kernel's log", dac_read_search: "read every file of the device" };

export const collectWords = (what) => COLLECT[what] ?? (what.startsWith("file:") ? `the file ${what.slice(5)}` : what);
export const list = (words) => (words.length < 2 ? words.join("") : words.slice(0, -1).join(", ") + " and " + words.at(-1));

/* [[what, sentence], …] for the limits of an image; with the seconds asked for when they are known. */
export function imageWords(limits, seconds) {
    const reads = (limits.collect ?? []).map(collectWords);
    const more = (limits.capabilities ?? []).map((what) => CAPABILITIES[what] ?? what);
    const outputs = (limits.outputs ?? []).map((one) => `${one.path} (${one.type === "timeseries" ? "time series" : one.type})`);
    return [
        ["what happens", modeSentence(limits.mode)],
        ["for how long", seconds === undefined ? `As long as the campaign says, ${duration(limits.max_runtime_s)} at most, counted on the device.` : `${duration(seconds)}, counted on the device; the image may run ${duration(limits.max_runtime_s)} at most.`],
        ["the return", `At the end it gets ${duration(limits.grace_s)} to stop and is then killed; the app is back ${limits.grace_s + 1} s after the deadline at the latest, with or without a network, and the device proves it.`],
        ["it reads", reads.length ? `Only ${list(reads)}.` : "Nothing of the device."],
        ["it writes", `At most ${bytes(limits.max_output)}, into memory only${outputs.length ? ": " + list(outputs) : ""}.`],
        ["it uses", `At most ${bytes(limits.max_memory)} of memory and ${limits.max_pids} processes, as a user of its own.`],
        ["network", limits.network === "host" ? "It may use the device's network." : "None."],
        more.length ? ["special rights", `It may ${list(more)}.`] : null,
    ].filter(Boolean);
}
