// Web hooks: which addresses are told what, and what became of each delivery. For administrators.
import { useEffect, useState } from "preact/hooks";
import { at, query } from "../api.js";
import { useResource } from "../resource.js";
import { params, setParams } from "../router.js";
import { whyNot } from "../session.js";
import { number, shell } from "../words.js";
import { Action } from "../parts/button.jsx";
import { Command } from "../parts/command.jsx";
import { Facts, Loaded, Note, Nothing, Page, Section } from "../parts/page.jsx";
import { State } from "../parts/state.jsx";
import { ExportCsv, More, Table } from "../parts/table.jsx";
import { Left, Time } from "../parts/time.jsx";
import { DeleteHookDialog, NewHookDialog, hookHref } from "../dialogs/hook.jsx";

const ATTEMPTS = 8; // as often the server tries
const AGAIN_MS = 2000;
const wantsHooks = (type) => type === "audit";
/* Deliveries have no event of their own: what causes them has. */
const wantsLog = (type) => ["assignment", "run", "campaign", "rollout"].includes(type);

const Denied = ({ why }) => <Note tone="neutral" icon="slash"><p>{why}</p></Note>;

const COLUMNS = [
    { key: "name", title: "Hook", main: true, sort: (h) => h.name, cell: (h) => <a href={hookHref(h.name)}>{h.name}</a> },
    { key: "url", title: "Address", wide: true, sort: (h) => h.url, cell: (h) => <code class="wrap">{h.url}</code> },
    { key: "events", title: "Is told", text: (h) => h.events.join(" "), cell: (h) => <span class="tags">{h.events.map((one) => <span key={one} class="tag">{one}</span>)}</span> },
    { key: "waiting", title: "Waiting", num: true, sort: (h) => h.waiting, cell: (h) => number(h.waiting) },
    { key: "failed", title: "Given up", num: true, sort: (h) => h.failed, cell: (h) => (h.failed ? <State name="failed" word={number(h.failed)} /> : "0") },
    { key: "at", title: "Made", num: true, sort: (h) => h.created_at, cell: (h) => <><Time at={h.created_at} /><div class="small muted">{h.created_by}</div></> },
];

export function Hooks() {
    const denied = whyNot("admin");
    const hooks = useResource(denied ? null : "/hooks", wantsHooks);
    const create = <Action primary icon="plus" why={denied} onClick={() => setParams({ new: "1" })}>New web hook</Action>;
    return (
        <Page title="Web hooks" lead="Addresses that are told of alarms, rollouts and campaigns, signed, until they have taken it." actions={hooks.data?.length > 0 && create}>
            {denied && <Denied why={denied} />}
            <Loaded of={hooks} what="the web hooks" rows={3}>
                {(list) => list.length ? <Table label="Web hooks" columns={COLUMNS} rows={list} id={(h) => h.name} />
                    : <Nothing action={create} command="locum hook create NAME --to URL --event alarm">Nobody is told yet when a device does not come back.</Nothing>}
            </Loaded>
            {params.value.get("new") === "1" && !denied && <NewHookDialog close={() => setParams({ new: null })} done={hooks.reload} />}
        </Page>
    );
}

const taken = (d) => d.status >= 200 && d.status < 300;
const outcome = (d) => (taken(d) ? `taken, ${d.status}` : d.next_at ? (d.attempt ? `tried ${d.attempt} of ${ATTEMPTS} times` : "waiting") : `given up after ${d.attempt} times`);

const LOG = [
    { key: "at", title: "When", main: true, text: (d) => d.at, cell: (d) => <Time at={d.at} /> },
    { key: "event", title: "Event", text: (d) => d.event, cell: (d) => <details class="inline-details"><summary>{d.event}<span class="sr"> {d.id}: what is sent</span></summary><code class="wrap small">{d.body}</code></details> },
    { key: "state", title: "Outcome", text: outcome, cell: (d) => <State name={taken(d) ? "done" : d.next_at ? (d.attempt ? "late" : "waiting") : "failed"} word={outcome(d)} /> },
    { key: "next", title: "Next attempt", text: (d) => d.next_at, cell: (d) => (d.next_at ? <Left at={d.next_at} /> : <span class="muted">–</span>) },
    { key: "error", title: "Why not", wide: true, text: (d) => d.error, cell: (d) => <span class="wrap">{d.error ?? (d.status && !taken(d) ? `it answered ${d.status}` : <span class="muted">–</span>)}</span> },
    { key: "id", title: "Delivery", num: true, text: (d) => d.id, cell: (d) => <code>{d.id}</code> },
];

export function Hook({ name }) {
    const denied = whyNot("admin");
    const limit = Math.min(1000, Number(params.value.get("limit")) || 200);
    const hooks = useResource(denied ? null : "/hooks", wantsHooks);
    const log = useResource(denied ? null : at`/hooks/${name}/log` + query({ limit }), wantsLog, { list: true });
    const [open, setOpen] = useState(false);
    const hook = hooks.data?.find((one) => one.name === name);
    const rows = log.data?.rows ?? [];
    const waits = rows.some((d) => d.next_at);
    useEffect(() => {
        if (!waits) return;
        const timer = setInterval(log.reload, AGAIN_MS);
        return () => clearInterval(timer);
    }, [waits, log.reload]);
    return (
        <Page title={`Web hook ${name}`} crumbs={[["Web hooks", "/settings/hooks"]]}
            actions={<>{rows.length > 0 && <ExportCsv name={`hook-${name}`} columns={LOG} rows={rows} />}<Action why={denied ?? (hook ? null : "It is not there.")} onClick={() => setOpen(true)}>Delete…</Action></>}>
            {denied && <Denied why={denied} />}
            {hook && <Facts rows={[["address", <code class="wrap">{hook.url}</code>], ["is told", hook.events.join(", ")], ["made", <><Time at={hook.created_at} both /> by {hook.created_by}</>]]} />}
            <Section title="Deliveries" id="log">
                <Loaded of={log} what={`the log of ${name}`} rows={4}>
                    {({ rows, next }) => rows.length ? (
                        <>
                            <Table label={`Deliveries of ${name}`} columns={LOG} rows={rows} id={(d) => d.id} sorted={false} />
                            {next && <More shown={rows.length} total={Infinity} limit={limit} what="deliveries" />}
                        </>
                    ) : <p class="muted">Nothing has happened yet that it is told of.</p>}
                </Loaded>
                <Command text={`locum hook log ${shell(name)}`} label="the same on a command line" />
            </Section>
            {open && hook && <DeleteHookDialog hook={hook} close={() => setOpen(false)} ending={log.ending} />}
        </Page>
    );
}
