// Numbers, times and lengths as people read them.
const count = new Intl.NumberFormat("en");
export const number = (n) => count.format(n);
export const plural = (n, one, many = one + "s") => `${number(n)} ${n === 1 ? one : many}`;

export function bytes(n) {
    if (n === null || n === undefined) return "–";
    if (n < 1024) return `${n} B`;
    const units = ["KiB", "MiB", "GiB", "TiB"];
    let i = -1;
    do {
        n /= 1024;
        i++;
    } while (n >= 1024 && i < units.length - 1);
    return `${n < 10 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}

/* Seconds as "45 s", "12 min", "3 h 20 min". */
export function duration(s) {
    s = Math.max(0, Math.round(s));
    if (s < 120) return `${s} s`;
    if (s < 7200) return s % 60 && s < 600 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${Math.round(s / 60)} min`;
    if (s < 172800) return s % 3600 ? `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min` : `${s / 3600} h`;
    return `${Math.round(s / 86400)} days`;
}

/* Seconds as a clock that counts down: 0:24, 11:24, 1:02:03. */
export function countdown(s) {
    s = Math.max(0, Math.ceil(s));
    const two = (n) => String(n).padStart(2, "0");
    const h = Math.floor(s / 3600);
    return h ? `${h}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}` : `${Math.floor(s / 60)}:${two(s % 60)}`;
}

export function ago(then, now) {
    const s = Math.round((now - then) / 1000);
    if (s < -1) return `in ${duration(-s)}`;
    if (s < 5) return "just now";
    return s < 120 ? `${s} s ago` : s < 7200 ? `${Math.round(s / 60)} min ago` : `${duration(s).replace(/ \d+ min$/, "")} ago`;
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const clockTime = (t) => clock.format(t);

/* 2026-11-21 10:41:07 UTC+1, in the reader's zone. */
export function absolute(t) {
    const two = (n) => String(n).padStart(2, "0");
    const shift = -t.getTimezoneOffset();
    const zone = shift === 0 ? "UTC" : `UTC${shift < 0 ? "−" : "+"}${Math.floor(Math.abs(shift) / 60)}${shift % 60 ? ":" + two(Math.abs(shift) % 60) : ""}`;
    return `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())} ${clockTime(t)} ${zone}`;
}

export const utc = (t) => t.toISOString().slice(0, 19).replace("T", " ") + " UTC";

/* A word of a command line, quoted when a shell would mind. */
export const shell = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${String(word).replaceAll("'", `'\\''`)}'`);

/* The next version to propose: last number plus one. */
export function nextVersion(version) {
    const parts = /^(\d+)\.(\d+)\.(\d+)/.exec(version ?? "");
    return parts ? `${parts[1]}.${parts[2]}.${+parts[3] + 1}` : "1.0.0";
}

export const SEMVER = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/;
export const NAME = /^(?!.*\.\.)(?!.*\.lock$)(?!.*\.$)[a-z0-9][a-z0-9._-]{0,63}$/;
