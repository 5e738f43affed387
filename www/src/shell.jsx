// Header and navigation: on every page the devices on a diagnostic image, how live the page is, and the account.
import { useEffect, useRef, useState } from "preact/hooks";
import { path } from "./router.js";
import { counts, liveState, paused, setPaused, waiting } from "./live.js";
import { api } from "./api.js";
import { roleWord, session, signOut } from "./session.js";
import { clockTime, plural } from "./words.js";
import { say } from "./status.js";
import { Icon, Logo } from "./parts/icon.jsx";
import { showKeys } from "./keys.jsx";
import { PasswordDialog } from "./dialogs/password.jsx";
import { THEMES, applyTheme, theme } from "./theme.js";

const ITEMS = [
    ["/", "Overview", "overview"],
    ["/devices", "Devices", "device"],
    ["/groups", "Groups", "group"],
    ["/assets", "Assets", "asset"],
    ["/rollouts", "Rollouts", "rollout"],
    ["/images", "Images", "image"],
    ["/campaigns", "Campaigns", "campaign"],
    ["/captures", "Captures", "capture"],
    ["/audit", "Audit log", "audit"],
    ["/settings", "Settings", "settings"],
];

export function Navigation() {
    const here = path.value;
    const current = ITEMS.findLast(([to]) => (to === "/" ? here === "/" : here === to || here.startsWith(to + "/")))?.[0];
    return (
        <nav class="side" id="navigation" aria-label="Main">
            {ITEMS.map(([to, text, icon]) => (
                <a key={to} href={to} aria-current={to === current ? "page" : undefined}>
                    <Icon name={icon} />
                    {text}
                </a>
            ))}
        </nav>
    );
}

export function Header() {
    const [open, setOpen] = useState(false);
    const here = path.value;
    useEffect(() => setOpen(false), [here]);
    useEffect(() => {
        document.documentElement.classList.toggle("nav-open", open);
    }, [open]);
    return (
        <header class="top">
            <button type="button" class="plain nav-button" aria-expanded={open} aria-controls="navigation" aria-label="Navigation" onClick={() => setOpen(!open)}>
                <Icon name="menu" />
            </button>
            <a class="brand" href="/"><Logo size={20} />Locum</a>
            <span class="grow" />
            <ImageChip />
            <Live />
            <Account />
        </header>
    );
}

/* How many devices are on a diagnostic image, red as soon as one is overdue. */
function ImageChip() {
    const [summary, setSummary] = useState(null);
    const told = counts.value;
    useEffect(() => {
        /* After the page's own requests. */
        const timer = setTimeout(() => api.get("/summary").then(setSummary, () => {}), 400);
        return () => clearTimeout(timer);
    }, [session.value?.operator?.name, liveState.value.state === "live"]);
    const { on_image: on, overdue } = told ?? summary ?? {};
    if (on === undefined) return <span class="chip" aria-hidden="true" />;
    const tone = overdue ? "danger" : on ? "diagnostic" : "neutral";
    return (
        <a class={overdue ? "chip loud live-value" : `chip tone-${tone} live-value`} href={overdue ? "/" : "/devices?filter=-image%3Anone"}>
            <Icon name={overdue ? "alarm" : on ? "play" : "dash"} />
            <span>
                <span class="chip-long">{plural(on, "device")} on a diagnostic image{overdue ? `, ${overdue} overdue` : ""}</span>
                <span class="chip-short" aria-hidden="true">{overdue ? `${overdue} overdue` : `${on} on image`}</span>
            </span>
        </a>
    );
}

function Live() {
    const { state, since } = liveState.value;
    const stale = state === "offline";
    useEffect(() => {
        document.documentElement.classList.toggle("stale", stale);
    }, [stale]);
    const words = {
        live: "Live",
        connecting: "Connecting",
        paused: `Paused (${waiting.value} waiting)`,
        reconnecting: `Reconnecting since ${clockTime(since)}`,
        offline: `Offline, data from ${clockTime(since)}`,
    }[state];
    const tone = { live: "success", paused: "attention", reconnecting: "attention", offline: "danger" }[state] ?? "neutral";
    const icon = { live: "dot", paused: "pause", reconnecting: "turn", offline: "ring" }[state] ?? "dash";
    const can = state === "live" || state === "paused";
    const next = paused.value ? "Resume live updates" : "Pause live updates";
    return (
        <button type="button" class={`chip live tone-${tone}`} data-live={state} aria-disabled={can ? undefined : "true"}
            title={can ? `${next} (.)` : "The stream of changes is not connected; it is tried again by itself."}
            onClick={() => can && setPaused(!paused.value)}>
            <Icon name={icon} />
            <span class="live-words">{words}</span>
            <span class="sr">{can ? `. ${next}` : ""}</span>
        </button>
    );
}

function Account() {
    const [open, setOpen] = useState(false);
    const [password, setPassword] = useState(false);
    const [chosen, setChosen] = useState(theme());
    const box = useRef();
    const button = useRef();
    const who = session.value;
    useEffect(() => {
        if (!open) return;
        const outside = (event) => !box.current?.contains(event.target) && setOpen(false);
        const escape = (event) => {
            if (event.key !== "Escape") return;
            setOpen(false);
            button.current?.focus();
        };
        document.addEventListener("pointerdown", outside);
        document.addEventListener("keydown", escape);
        return () => {
            document.removeEventListener("pointerdown", outside);
            document.removeEventListener("keydown", escape);
        };
    }, [open]);
    return (
        <div class="account" ref={box}>
            <button type="button" class="plain" ref={button} aria-expanded={open} aria-controls="account" aria-label={`Account ${who?.operator?.name ?? ""}`} onClick={() => setOpen(!open)}>
                <Icon name="person" />
                <span class="account-name">{who?.operator?.name ?? ""}</span>
            </button>
            {open && (
                <div class="menu" id="account">
                    <p><strong>{who?.operator?.name}</strong><br /><span class="muted">{roleWord(who?.operator?.role)}</span></p>
                    <label class="menu-row">
                        Colours
                        <select value={chosen} onChange={(event) => { setChosen(event.currentTarget.value); applyTheme(event.currentTarget.value); }}>
                            {THEMES.map(([value, text]) => <option key={value} value={value}>{text}</option>)}
                        </select>
                    </label>
                    <button type="button" class="plain" onClick={() => { setOpen(false); setPassword(true); }}>Change password</button>
                    <button type="button" class="plain" onClick={() => { setOpen(false); showKeys(); }}>Keyboard shortcuts</button>
                    <button type="button" class="plain" onClick={() => signOut().catch((error) => say(`Not signed out: ${error.message}`))}>Sign out</button>
                    <p class="muted small">Locum {who?.version}</p>
                </div>
            )}
            {password && <PasswordDialog close={() => setPassword(false)} />}
        </div>
    );
}
