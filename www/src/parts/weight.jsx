// How much is asked before something is done: what is heavy wants the name typed, and a reason that goes to the audit log.
import { useState } from "preact/hooks";
import { number } from "../words.js";
import { Field } from "./dialog.jsx";

const MANY = 1000;

/* name: what to type. count: devices that it touches. destroys: heavy whatever the count. asks: the reason is always asked for;
 * must: and may not be empty; silent: no reason is kept, so none is asked for. Returns { why, reason, fields }. */
export function useWeight({ name, count = 0, destroys = false, asks = false, must = false, silent = false }) {
    const [typed, setTyped] = useState("");
    const [reason, setReason] = useState("");
    const many = count > MANY;
    const heavy = many || destroys;
    const why = (heavy || must) && !silent && !reason.trim() ? "Give a reason; it goes to the audit log." : heavy && typed !== name ? `Type ${name} to go on.` : null;
    return {
        why,
        reason: reason.trim(),
        fields: (asks || must || heavy) && (
            <>
                {!silent && <Field label={heavy || must ? "Reason" : "Reason (optional)"} help="Goes to the audit log." value={reason} autocomplete="off" maxlength="500" onInput={(e) => setReason(e.currentTarget.value)} />}
                {heavy && <Field label={`Type ${name}`} help={many ? `It is for ${number(count)} devices.` : undefined} value={typed} autocomplete="off" onInput={(e) => setTyped(e.currentTarget.value.trim())} />}
            </>
        ),
    };
}

/* What happens to devices that have not begun, are in it, or have finished: [[which, number, (one) => words], …]. */
export function Phases({ rows }) {
    return (
        <dl class="phases">
            {rows.map(([which, n, words]) => <div key={which}><dt>{which}</dt><dd><strong>{number(n)}</strong> {words(n === 1)}</dd></div>)}
        </dl>
    );
}
