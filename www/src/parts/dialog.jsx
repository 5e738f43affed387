// A dialog over the page: the browser keeps the focus inside, Esc closes, and the focus goes back to where it was.
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { Action } from "./button.jsx";
import { Command } from "./command.jsx";
import { Icon } from "./icon.jsx";

export function Dialog({ title, close, wide, children }) {
    const box = useRef();
    const id = useId();
    useEffect(() => {
        const before = document.activeElement;
        box.current.showModal();
        return () => before?.focus?.();
    }, []);
    return (
        <dialog
            ref={box}
            class={wide ? "wide" : undefined}
            aria-labelledby={id}
            onClose={close}
            onCancel={(event) => {
                event.preventDefault();
                close();
            }}
        >
            <div class="dialog-head">
                <h2 id={id}>{title}</h2>
                <button type="button" class="plain" aria-label="Close" onClick={close}><Icon name="cross" /></button>
            </div>
            {children}
        </dialog>
    );
}

/* A dialog with a form: `submit` does it and may fail; the failure is shown and nothing that was typed is lost. */
export function FormDialog({ title, close, submit, verb, why, danger, command, wide, children }) {
    const [error, setError] = useState(null);
    const [busy, setBusy] = useState(false);
    const reason = useId();
    async function send(event) {
        event.preventDefault();
        if (busy || why) return;
        setBusy(true);
        setError(null);
        try {
            await submit();
        } catch (cause) {
            setError(cause);
        }
        setBusy(false);
    }
    return (
        <Dialog title={title} close={close} wide={wide}>
            <form onSubmit={send} noValidate>
                <div class="dialog-body">{children}</div>
                {command && <Command text={command} label="the same on a command line" />}
                <FormError error={error} />
                <div class="dialog-foot">
                    <button type="button" onClick={close}>Cancel</button>
                    <Action type="submit" primary={!danger} danger={danger} why={why} saidBy={reason} busy={busy}>{busy ? "Working…" : verb}</Action>
                </div>
                {why && <p class="why-line muted" id={reason}>{why}</p>}
            </form>
        </Dialog>
    );
}

export function FormError({ error }) {
    if (!error || error.status === 401) return null;
    return (
        <div class="note tone-danger" role="alert">
            <Icon name="cross" />
            <div>
                <p>{error.message}</p>
                {(error.hint || error.requestId) && <p class="muted">{error.hint} {error.requestId && <>request <code>{error.requestId}</code></>}</p>}
            </div>
        </div>
    );
}

/* A labelled field; `bad` is the sentence why its value cannot be. */
export function Field({ label, help, bad, children, ...input }) {
    const id = useId();
    const described = [help && id + "h", bad && id + "b"].filter(Boolean).join(" ") || undefined;
    return (
        <div class="field">
            <label for={id}>{label}</label>
            {children ? children(id, described) : <input id={id} aria-describedby={described} aria-invalid={bad ? "true" : undefined} {...input} />}
            {help && <p class="help" id={id + "h"}>{help}</p>}
            {bad && <p class="bad" id={id + "b"}>{bad}</p>}
        </div>
    );
}
