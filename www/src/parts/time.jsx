// A moment: how long ago, and exactly when on the second look.
import { now } from "../clock.js";
import { absolute, ago, countdown, duration } from "../words.js";

export function Time({ at, both = false, none = "–" }) {
    if (!at) return <span class="muted">{none}</span>;
    const t = new Date(at);
    return (
        <time datetime={at} title={absolute(t)} class="time">
            {ago(t, now.value)}
            {both && <span class="muted"> · {absolute(t)}</span>}
        </time>
    );
}

/* Time left until `at`; past it, by how much when `over` says how to call that, else that it is now; `before` stands before a time that is left: "in 5:00", but "now". */
export function Left({ at, over, before = "" }) {
    if (!at) return <span class="muted">–</span>;
    const s = (new Date(at) - now.value) / 1000;
    return (
        <time datetime={at} title={absolute(new Date(at))} class="time num">
            {s >= 0 && before}{s > 7200 ? duration(s) : s >= 0 ? countdown(s) : over === undefined ? "now" : `${over} ${countdown(-s)}`.trim()}
        </time>
    );
}
