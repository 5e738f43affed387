// A button that is never hidden: when it cannot be used it says why.
import { useId } from "preact/hooks";
import { Icon } from "./icon.jsx";

/* saidBy: the id of an element that says `why` in plain sight already. */
export function Action({ why, saidBy, primary, danger, icon, onClick, type = "button", busy, children, ...rest }) {
    const id = useId();
    const off = why || busy;
    return (
        <span class="action">
            <button
                type={type}
                class={primary ? "primary" : danger ? "danger" : undefined}
                aria-disabled={off ? "true" : undefined}
                aria-describedby={why ? (saidBy ?? id) : undefined}
                onClick={(event) => (off ? event.preventDefault() : onClick?.(event))}
                {...rest}
            >
                {icon && <Icon name={icon} />}
                {children}
            </button>
            {why && !saidBy && <span class="why" id={id} role="tooltip">{why}</span>}
        </span>
    );
}
