// What pages and dialogs say about rollouts: phases, settings in words, the command for the same.
export { STEP_ORDER, looks, stepState } from "./states.js";
import { bytes, duration, number, plural, shell } from "./words.js";

/* "90s", "10m", "1h", "2d" as seconds; null when it is none of these. */
export function seconds(text) {
    const parts = /^(\d{1,9})\s*(s|m|h|d)?$/.exec(String(text).trim());
    return parts ? Number(parts[1]) * { s: 1, m: 60, h: 3600, d: 86400 }[parts[2] ?? "s"] : null;
}

export function short(s) {
    for (const [unit, size] of [["d", 86400], ["h", 3600], ["m", 60]]) if (s && s % size === 0) return `${s / size}${unit}`;
    return `${s}s`;
}

export const rolloutState = (state) => (state === "running" ? "rolling_out" : state);
const OVER = ["applied", "already_current", "skipped", "failed", "superseded", "rolled_back"];

export function stepPhases(counts = {}) {
    const out = { not_begun: 0, in_progress: 0, finished: 0 };
    for (const [state, n] of Object.entries(counts)) out[state === "pending" ? "not_begun" : OVER.includes(state) ? "finished" : "in_progress"] += n;
    return out;
}

export const ROLLOUT_OVER = ["completed", "aborted", "rolled_back"];

/* Whom it is for. */
export const whom = (by, devices) => by?.group ? `group ${by.group}` : by?.filter ? by.filter : plural(by?.devices ?? devices ?? 0, "device");

/* The definition as rows of Facts; `r` is a rollout or what is sent to make one. */
export function settingsWords(r) {
    return [
        ["soak", r.soak_s ? `${duration(r.soak_s)}: a device counts once it has run it so long` : "none"],
        ["device deadline", `${duration(r.device_deadline_s)}; silence counts as failure`],
        r.stage_deadline_s && ["stage deadline", duration(r.stage_deadline_s)],
        ["most failures", r.max_failures ? `${r.max_failures} of a stage, then it is ${r.auto_roll_back ? "rolled back" : "held"} by itself` : "no limit"],
        r.min_successes && ["fewest successes", `${number(r.min_successes)} of a stage`],
        ["next stage", r.approval ? "begins when a person approves it" : "begins by itself"],
        r.window && ["window", `${r.window.replace("-", "–")} in each device's own time zone: downloaded ahead, taken up inside`],
        r.parallel && ["most at once", plural(r.parallel, "device")],
        r.rate && ["bandwidth", `${bytes(r.rate)}/s for each device`],
        ["tries again", r.retries ? `${number(r.retries)}, after 1, 2, 4 … minutes` : "none"],
        ["late joiners", r.late_joiners ? "yes: a device that comes to match later joins the last stage" : "no: only devices that match at the start"],
    ];
}

export function createCommand(r, names) {
    return [
        `locum rollout create ${shell(`${r.product}/${r.asset}`)} ${shell(r.version || "V")}`,
        r.group ? `--group ${shell(r.group)}` : r.filter !== undefined ? `--filter ${shell(r.filter || "F")}` : `--device ${names.length ? names.map(shell).join(" ") : "NAME…"}`,
        `--stages ${r.stages.join(",")}`, r.soak_s && `--soak ${short(r.soak_s)}`, `--max-failures ${r.max_failures ?? "any"}`, r.min_successes && `--min-successes ${r.min_successes}`,
        `--device-deadline ${short(r.device_deadline_s)}`, r.window && `--window ${r.window}`, r.at && `--at ${r.at}`, r.parallel && `--parallel ${r.parallel}`, r.auto_roll_back && "--auto-roll-back",
        r.approval && "--approval", r.late_joiners && "--late-joiners", r.retries > 0 && `--retries ${r.retries}`, r.rate && `--rate ${r.rate}`, r.ends_at && `--ends-at ${r.ends_at}`,
        r.stage_deadline_s && `--stage-deadline ${short(r.stage_deadline_s)}`, r.draft && "--draft", r.ticket && `--ticket ${shell(r.ticket)}`, r.reason && `--reason ${shell(r.reason)}`,
    ].filter(Boolean).join(" ");
}
