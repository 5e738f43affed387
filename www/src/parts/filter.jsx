// The filter of a list, kept in the query string: what is typed waits a moment, Enter does not.
import { useEffect, useRef, useState } from "preact/hooks";
import { params, setParams } from "../router.js";

const WAIT_MS = 250;

export function FilterBox({ name = "filter", label, placeholder, count, error, list = [] }) {
    const value = params.value.get(name) ?? "";
    const [text, setText] = useState(value);
    const typed = useRef(value);
    const timer = useRef();
    useEffect(() => {
        if (value !== typed.current) setText((typed.current = value));
    }, [value]);
    useEffect(() => () => clearTimeout(timer.current), []);
    function apply(next) {
        clearTimeout(timer.current);
        typed.current = next;
        setParams({ [name]: next.trim() || null, limit: null });
    }
    return (
        <form class="filter" role="search" onSubmit={(event) => { event.preventDefault(); apply(text); }}>
            <input
                type="search" class="filter-input" data-filter aria-label={label} placeholder={placeholder} value={text} maxlength="1024" list={list.length ? "filters" : undefined}
                autocomplete="off" spellcheck={false} aria-invalid={error ? "true" : undefined} aria-describedby="filter-says"
                onInput={(event) => {
                    const next = event.currentTarget.value;
                    setText(next);
                    clearTimeout(timer.current);
                    timer.current = setTimeout(() => apply(next), WAIT_MS);
                }}
            />
            {list.length > 0 && <datalist id="filters">{list.map((one) => <option key={one} value={one} />)}</datalist>}
            <span id="filter-says" class={error ? "bad" : "muted"}>{error ?? count}</span>
        </form>
    );
}
