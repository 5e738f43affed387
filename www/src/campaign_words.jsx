// What pages and dialogs say about campaigns: the schedule as a sentence, the command for the same.
import { collectWords, list } from "./image_words.js";
import { absolute, bytes, duration, plural, shell } from "./words.js";

export const DAYS = [["mon", "Monday"], ["tue", "Tuesday"], ["wed", "Wednesday"], ["thu", "Thursday"], ["fri", "Friday"], ["sat", "Saturday"], ["sun", "Sunday"]];

const nth = (n) => (n === "last" ? "last day" : `${n}${["th", "st", "nd", "rd"][(n % 100 - n % 10 !== 10) * (n % 10 < 4) * (n % 10)]}`);

/* "weekly:mon,thu" as "Weekly on Monday and Thursday". */
function repeatWords(repeat) {
    const [how, which = ""] = repeat.split(":");
    const days = which.split(",").filter(Boolean);
    if (how === "weekly") return `Weekly on ${list(days.map((day) => DAYS.find(([key]) => key === day)?.[1] ?? day))}`;
    if (how === "monthly") return `Monthly on the ${list(days.map(nth))}`;
    return "Daily";
}

/* When it begins, in one sentence without its full stop. A repeating one lives on each device's own clock. */
export function scheduleSentence(c) {
    const window = c.window && `between ${c.window.replace("-", " and ")} of each device's own time`;
    const [day, time] = (c.at_local ?? c.at ?? "").split("T");
    if (!c.repeat) return [c.at ? `At ${absolute(new Date(c.at))}` : "At once", window && `then at the first moment ${window}`].filter(Boolean).join(", ");
    return [repeatWords(c.repeat), window || (time && `at ${time.slice(0, 5)} of each device's own time`), day && `from ${day} on`, c.until && `until ${c.until.length > 10 ? absolute(new Date(c.until)) : c.until}`,
        c.count && `${plural(c.count, "time")} at most`, c.blackout?.length && `not on ${list(c.blackout)}`].filter(Boolean).join(", ");
}

/* Rows of Facts for a campaign, or for what is sent to make one. */
export function settingsWords(c, limits) {
    return [
        ["when", scheduleSentence(c)],
        ["for how long", duration(c.duration_s)],
        ["at once", c.parallel ? `${plural(c.parallel, "device")} at most` : "all"],
        ["most failures", c.max_failures ? `${c.max_failures} of a run; more pause it until a person resumes it` : "no limit"],
        c.collect && limits && c.collect.length < limits.collect.length && ["narrowed", `leaves out ${list(limits.collect.filter((one) => !c.collect.includes(one)).map(collectWords))}`],
        c.redact?.length > 0 && ["blotted out", <>on the device, before anything leaves it: {c.redact.map((one, i) => <span key={one}>{i > 0 && ", "}<code class="wrap">{one}</code></span>)}</>],
        c.max_output > 0 && ["writes", `${bytes(c.max_output)} at most`],
    ].filter(Boolean);
}

export function createCommand(c, names, span) {
    return ["locum campaign create", `--image ${shell(c.image)}`,
        c.filter !== undefined ? `--filter ${shell(c.filter || "F")}` : `--device ${names.length ? names.map(shell).join(" ") : "NAME…"}`, `--duration ${span}`,
        c.at && `--at ${c.at}`, c.window && `--window ${c.window}`, c.repeat && `--repeat ${c.repeat}`, c.until && `--until ${c.until}`, c.count && `--count ${c.count}`, c.blackout && c.blackout.map((day) => `--blackout ${day}`).join(" "),
        c.parallel && `--parallel ${c.parallel}`, c.max_failures && `--max-failures ${c.max_failures}`, c.collect && `--collect ${c.collect.map(shell).join(" ")}`,
        c.redact && `--redact ${shell(c.redact.length > 1 ? c.redact.map((one) => `(${one})`).join("|") : c.redact[0])}`, c.max_output && `--max-output ${c.max_output}`, c.ticket && `--ticket ${shell(c.ticket)}`, c.reason && `--reason ${shell(c.reason)}`].filter(Boolean).join(" ");
}
