// Every state's word, tone and icon. A state that is not here is shown by its own name, neutral.
const S = (tone, icon, word) => ({ tone, icon, word });

export const STATES = {
    /* connectivity */
    online: S("success", "dot", "online"),
    late: S("attention", "clock", "late"),
    offline: S("neutral", "ring", "offline"),
    never_seen: S("neutral", "dash", "never seen"),
    /* admission */
    pending: S("attention", "question", "pending"),
    accepted: S("success", "check", "accepted"),
    rejected: S("neutral", "slash", "rejected"),
    retired: S("neutral", "slash", "retired"),
    /* assets on a device, rollouts */
    idle: S("neutral", "dash", "idle"),
    downloaded: S("active", "down", "downloaded"),
    updating: S("active", "turn", "updating"),
    current: S("success", "check", "current"),
    /* assignments */
    queued: S("neutral", "ring", "queued"),
    waiting: S("neutral", "clock", "waiting"),
    offered: S("scheduled", "clock", "offered"),
    scheduled_on_device: S("scheduled", "clock", "scheduled on device"),
    downloading: S("active", "down", "downloading"),
    verifying: S("active", "shield", "verifying"),
    running: S("diagnostic", "play", "running"),
    reverting: S("active", "turn", "reverting"),
    uploading: S("active", "up", "uploading"),
    done: S("success", "check", "done"),
    skipped: S("neutral", "skip", "skipped"),
    failed: S("danger", "cross", "failed"),
    cancelling: S("attention", "slash", "cancelling"),
    cancelled: S("neutral", "slash", "cancelled"),
    overdue: S("danger", "alarm", "overdue"),
    lost: S("danger", "question", "lost"),
    revert_failed: S("danger", "alarm", "revert failed"),
    /* campaigns and runs */
    draft: S("neutral", "dash", "draft"),
    scheduled: S("scheduled", "clock", "scheduled"),
    active: S("diagnostic", "play", "active"),
    paused: S("attention", "pause", "paused"),
    finishing: S("active", "turn", "finishing"),
    completed: S("success", "check", "completed"),
    ended: S("neutral", "stop", "ended"),
    aborted: S("neutral", "slash", "aborted"),
    expired: S("attention", "clock", "expired"),
    /* rollouts and their assignments */
    not_begun: S("neutral", "ring", "pending"),
    awaiting_approval: S("attention", "question", "awaiting approval"),
    rolling_out: S("active", "play", "running"),
    soaking: S("active", "clock", "soaking"),
    held: S("attention", "alarm", "held"),
    aborting: S("attention", "slash", "aborting"),
    rolling_back: S("attention", "turn", "rolling back"),
    rolled_back: S("neutral", "turn", "rolled back"),
    confirming: S("active", "shield", "confirming"),
    applied: S("success", "check", "applied"),
    already_current: S("success", "dot", "already current"),
    superseded: S("neutral", "skip", "superseded"),
    withdrawn: S("neutral", "slash", "withdrawn"),
    /* captures */
    complete: S("success", "check", "complete"),
    partial: S("attention", "half", "partial"),
    none: S("neutral", "slash", "nothing collected"),
    /* the app on a device */
    starting: S("active", "turn", "starting"),
    stopped: S("neutral", "stop", "stopped"),
};

export const stateOf = (name) => STATES[name] ?? S("neutral", "dash", String(name ?? "unknown").replaceAll("_", " "));

/* Assignment states in the order in which they happen, for bars and summaries. */
export const ASSIGNMENT_ORDER = [
    "queued", "waiting", "offered", "scheduled_on_device", "downloading", "verifying", "running", "reverting", "uploading",
    "cancelling", "done", "skipped", "cancelled", "failed", "lost", "revert_failed",
];
const NOT_BEGUN = ["queued", "waiting", "offered", "scheduled_on_device"];
const OVER = ["done", "skipped", "cancelled", "failed", "lost"];

/* { not_begun, in_progress, finished } of a `counts` member. */
export function phases(counts = {}) {
    const out = { not_begun: 0, in_progress: 0, finished: 0 };
    for (const [state, n] of Object.entries(counts))
        out[NOT_BEGUN.includes(state) ? "not_begun" : OVER.includes(state) ? "finished" : "in_progress"] += n;
    return out;
}

/* Results of an update, after LwM2M's object 5. */
export const RESULTS = [
    "", "updated", "not enough storage", "out of memory", "connection lost", "integrity check failed", "unsupported package",
    "invalid address", "update failed", "unsupported protocol", "cancelled", "deferred",
];

/* `pending` is another word for devices that want to be let in: a rollout's has its own look. */
export const stepState = (state) => (state === "pending" ? "not_begun" : state);
export const looks = (counts = {}) => Object.fromEntries(Object.entries(counts).map(([state, n]) => [stepState(state), n]));
export const STEP_ORDER = ["applied", "already_current", "confirming", "updating", "downloaded", "downloading", "offered", "rolling_back", "not_begun", "rolled_back", "superseded", "skipped", "failed"];

/* In bars what is done stands first, and who has not begun leaves the rest of the bar empty. */
export const BAR_ORDER = [
    "done", "uploading", "reverting", "running", "verifying", "downloading", "offered", "scheduled_on_device", "waiting", "cancelling",
    "skipped", "cancelled", "failed", "lost", "revert_failed", "queued",
];
