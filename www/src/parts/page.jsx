// What every page is made of: heading, loading, the three kinds of empty, and errors in place.
import { useEffect } from "preact/hooks";
import { absolute } from "../words.js";
import { session } from "../session.js";
import { Command } from "./command.jsx";
import { Icon } from "./icon.jsx";

/* Title, heading and what can be done here. */
export function Page({ title, crumbs = [], lead, actions, children }) {
    useEffect(() => {
        document.title = `${title} · Locum`;
    }, [title]);
    return (
        <>
            {crumbs.length > 0 && (
                <nav class="crumbs" aria-label="Where you are">
                    {crumbs.map(([text, to]) => (
                        <span key={to}>
                            <a href={to}>{text}</a>
                            <span aria-hidden="true"> / </span>
                        </span>
                    ))}
                </nav>
            )}
            <div class="page-head">
                <div class="page-title">
                    <h1 tabindex="-1">{title}</h1>
                    {lead && <div class="lead">{lead}</div>}
                </div>
                {actions && <div class="actions">{actions}</div>}
            </div>
            {children}
        </>
    );
}

export function Section({ title, actions, children, id }) {
    return (
        <section class="section" aria-labelledby={id}>
            <div class="section-head">
                <h2 id={id}>{title}</h2>
                {actions && <div class="actions">{actions}</div>}
            </div>
            {children}
        </section>
    );
}

/* Shows children(data) and around it whatever else there is to say about the resource. */
export function Loaded({ of, what, rows = 3, children }) {
    return (
        <>
            {of.error && <Failure error={of.error} what={what} retry={of.reload} old={of.data && of.at} />}
            {of.data ? children(of.data) : !of.error && of.slow ? <Skeleton rows={rows} what={what} /> : null}
        </>
    );
}

function Skeleton({ rows, what }) {
    return (
        <div class="skeleton" role="status">
            <span class="sr">Loading {what}</span>
            {Array.from({ length: rows }, (_, i) => <span class="skeleton-row" key={i} />)}
        </div>
    );
}

/* Something could not be had or done: what, the request, when, and the way to try again. */
export function Failure({ error, what, retry, old }) {
    if (error.status === 401) return null; // the sign-in is over the page
    if (error.status === 403)
        return (
            <div class="note tone-neutral" role="alert">
                <Icon name="slash" />
                <div>
                    <p><strong>Not allowed: {what}.</strong> {error.message}</p>
                    <p class="muted">You are signed in as {session.value?.operator?.name}. An administrator grants roles.</p>
                </div>
            </div>
        );
    return (
        <div class="note tone-danger" role="alert">
            <Icon name="cross" />
            <div>
                <p><strong>Could not load {what}:</strong> {error.message}</p>
                <p class="muted">
                    {error.hint && <>{error.hint} </>}
                    {absolute(error.time ?? new Date())}
                    {error.requestId && <> · request <code>{error.requestId}</code></>}
                    {old ? <> · shown below: data from {absolute(new Date(old))}</> : null}
                </p>
                {retry && <button type="button" onClick={retry}>Try again</button>}
            </div>
        </div>
    );
}

/* Nothing exists yet: one sentence, one action, the command for the same. */
export function Nothing({ children, action, command }) {
    return (
        <div class="empty">
            <p>{children}</p>
            {action}
            {command && <Command text={command} label="or on a command line" />}
        </div>
    );
}

/* Nothing matches: the filter, and the way out. */
export function NoMatch({ filter, clear, what }) {
    return (
        <div class="empty">
            <p>No {what} match <code>{filter}</code>.</p>
            <button type="button" onClick={clear}>Clear filter</button>
        </div>
    );
}

export function Note({ tone = "attention", icon = "alarm", children }) {
    return (
        <div class={`note tone-${tone}`}>
            <Icon name={icon} />
            <div>{children}</div>
        </div>
    );
}

export function Tabs({ label, items, current }) {
    return (
        <nav class="tabs" aria-label={label}>
            {items.map(([key, text, to]) => (
                <a key={key} href={to} aria-current={key === current ? "page" : undefined}>{text}</a>
            ))}
        </nav>
    );
}

/* Facts in two columns: [[name, value], …]. */
export function Facts({ rows }) {
    return (
        <dl class="facts">
            {rows.filter((row) => row && row[1] !== null && row[1] !== undefined).map(([name, value]) => (
                <div key={name}>
                    <dt>{name}</dt>
                    <dd>{value}</dd>
                </div>
            ))}
        </dl>
    );
}
