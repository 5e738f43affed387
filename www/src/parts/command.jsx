// A command line to copy: the same thing that the page does, for scripts.
import { useState } from "preact/hooks";
import { say } from "../status.js";
import { Icon } from "./icon.jsx";

export async function copyText(text) {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    /* A page over plain HTTP from another machine has no clipboard interface. */
    const field = document.createElement("textarea");
    field.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
}

export function CopyButton({ text, label = "Copy", of = "the command" }) {
    const [done, setDone] = useState(false);
    async function copy() {
        await copyText(text);
        setDone(true);
        say("Copied.");
        setTimeout(() => setDone(false), 2000);
    }
    return (
        <button type="button" class="copy" onClick={copy}>
            <Icon name={done ? "check" : "copy"} />
            {done ? "Copied" : label}
            <span class="sr"> {of}</span>
        </button>
    );
}

export function Command({ text, label }) {
    return (
        <div class="command">
            {label && <span class="command-label">{label}</span>}
            <div class="command-line">
                <code>{text}</code>
                <CopyButton text={text} />
            </div>
        </div>
    );
}

/* A version, hash or id: short, whole on the second look. */
export function Short({ text, size = 12 }) {
    if (!text) return <span class="muted">–</span>;
    return <code title={text}>{text.length > size ? text.slice(0, size) + "…" : text}</code>;
}
