// Single keys, one table. They never fire in fields or with a dialog open, can be switched off, and none of them destroys anything.
import { render } from "preact";
import { useState } from "preact/hooks";
import { go } from "./router.js";
import { paused, setPaused } from "./live.js";
import { say } from "./status.js";
import { copyText } from "./parts/command.jsx";
import { Dialog } from "./parts/dialog.jsx";

const KEYS = [
    ["?", "show these keys", () => showKeys()],
    ["/", "go to the filter", () => document.querySelector("[data-filter]")?.focus()],
    [".", "pause or resume live updates", () => setPaused(!paused.peek())],
    ["y", "copy the link of this page", () => copyText(location.href).then(() => say("Link copied."))],
    ["j", "next row", () => moveRow(1)],
    ["k", "previous row", () => moveRow(-1)],
    ["g o", "overview", () => go("/")],
    ["g d", "devices", () => go("/devices")],
    ["g g", "groups", () => go("/groups")],
    ["g a", "assets", () => go("/assets")],
    ["g r", "rollouts", () => go("/rollouts")],
    ["g i", "images", () => go("/images")],
    ["g c", "campaigns", () => go("/campaigns")],
    ["g p", "captures", () => go("/captures")],
    ["g l", "audit log", () => go("/audit")],
    ["g s", "settings", () => go("/settings")],
];
const on = () => localStorage.getItem("locum.keys") !== "off";

function moveRow(step) {
    const links = [...document.querySelectorAll("main tbody tr")].map((row) => row.querySelector("a, button, input")).filter(Boolean);
    const at = links.findIndex((one) => one.closest("tr") === document.activeElement?.closest?.("tr"));
    links[Math.max(0, Math.min(links.length - 1, at < 0 ? 0 : at + step))]?.focus();
}

export function startKeys() {
    let first = null;
    let timer;
    document.addEventListener("keydown", (event) => {
        if (!on() || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
        if (event.target.closest?.("input, textarea, select, [contenteditable]") || document.querySelector("dialog[open]")) return;
        const pressed = first ? `${first} ${event.key}` : event.key;
        clearTimeout(timer);
        first = null;
        const found = KEYS.find(([key]) => key === pressed);
        if (found) {
            event.preventDefault();
            found[2]();
        } else if (event.key === "g") {
            first = "g";
            timer = setTimeout(() => (first = null), 1000);
        }
    });
}

function Keys({ close }) {
    const [enabled, setEnabled] = useState(on());
    return (
        <Dialog title="Keyboard shortcuts" close={close}>
            <div class="dialog-body">
                <table class="keys">
                    <thead class="sr"><tr><th scope="col">Key</th><th scope="col">What it does</th></tr></thead>
                    <tbody>
                        {KEYS.map(([key, what]) => <tr key={key}><td>{key.split(" ").map((one) => <kbd key={one}>{one}</kbd>)}</td><td>{what}</td></tr>)}
                        <tr><td><kbd>Esc</kbd></td><td>close a dialog or menu</td></tr>
                    </tbody>
                </table>
                <label class="check">
                    <input type="checkbox" checked={enabled} onChange={(event) => { localStorage.setItem("locum.keys", event.currentTarget.checked ? "on" : "off"); setEnabled(event.currentTarget.checked); }} />
                    Single keys are on
                </label>
            </div>
        </Dialog>
    );
}

export function showKeys() {
    const place = document.createElement("div");
    document.body.append(place);
    const close = () => {
        render(null, place);
        place.remove();
    };
    render(<Keys close={close} />, place);
}
