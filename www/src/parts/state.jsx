// A state: its own shape, its word, its colour.
import { stateOf, BAR_ORDER } from "../states.js";
import { number } from "../words.js";
import { Icon } from "./icon.jsx";

export function State({ name, word, tone }) {
    const state = stateOf(name);
    return (
        <span class={`state tone-${tone ?? state.tone}`}>
            <Icon name={state.icon} />
            {word ?? state.word}
        </span>
    );
}

/* How many are in which state: one bar and the same in words. */
export function StateBar({ counts, total, order = BAR_ORDER }) {
    const present = order.filter((state) => counts[state]);
    const sum = total || present.reduce((n, state) => n + counts[state], 0) || 1;
    return (
        <span class="statebar">
            <svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
                {present.map((state, i) => {
                    const before = present.slice(0, i).reduce((n, s) => n + counts[s], 0);
                    return <rect key={state} x={(100 * before) / sum} y="0" width={(100 * counts[state]) / sum} height="6" class={state === "not_begun" || state === "queued" ? "fill-rest" : `fill-${stateOf(state).tone}`} />;
                })}
            </svg>
            <span class="statebar-words">
                {present.length ? present.map((state) => <State key={state} name={state} word={`${number(counts[state])} ${stateOf(state).word}`} />) : <span class="muted">no devices yet</span>}
            </span>
        </span>
    );
}

/* A share, as a small bar; the words beside it say the same. */
export function Share({ part, whole, tone = "success" }) {
    const share = whole > 0 ? Math.min(1, part / whole) : 0;
    return (
        <svg class="bar share" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
            <rect x="0" y="0" width={100 * share} height="6" class={`fill-${tone}`} />
        </svg>
    );
}
