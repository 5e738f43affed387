// All campaigns, newest first, or by the day of their next times.
import { useEffect, useState } from "preact/hooks";
import { useResource, wants } from "../resource.js";
import { params, setParams } from "../router.js";
import { api, at, query } from "../api.js";
import { absolute, clockTime, duration, number, plural } from "../words.js";
import { FilterBox } from "../parts/filter.jsx";
import { Icon } from "../parts/icon.jsx";
import { Failure, Loaded, NoMatch, Nothing, Page, Section, Tabs } from "../parts/page.jsx";
import { State, StateBar } from "../parts/state.jsx";
import { ExportCsv, More, Table } from "../parts/table.jsx";
import { Time } from "../parts/time.jsx";

/* A draft that a second person must agree to is more than a draft. */
export const stateName = (c) => (c.approval && !c.approval.by && c.state === "draft" ? "awaiting_approval" : c.state);

const COLUMNS = [
    { key: "id", title: "Campaign", main: true, sort: (c) => c.id, cell: (c) => <a href={c.runs === 1 ? `/campaigns/${c.id}/runs/1` : `/campaigns/${c.id}`}>{c.id}: {c.image.asset} {c.image.version}</a> },
    { key: "state", title: "State", sort: (c) => c.state, cell: (c) => <><State name={stateName(c)} />{c.approval && !c.approval.by && c.state !== "ended" ? <div class="small muted">by another person</div> : c.next_at && c.state !== "ended" && <div class="small muted">next <Time at={c.next_at} /></div>}</> },
    { key: "devices", title: "Devices", num: true, sort: (c) => c.devices, cell: (c) => number(c.devices) },
    { key: "counts", title: "How far", wide: true, text: (c) => Object.entries(c.counts ?? {}).map(([k, n]) => `${k} ${n}`).join(" "), cell: (c) => <span class="live-value"><StateBar counts={c.counts ?? {}} total={c.devices} /></span> },
    { key: "duration", title: "For", num: true, sort: (c) => c.duration_s, cell: (c) => duration(c.duration_s) },
    { key: "by", title: "Created", num: true, sort: (c) => c.created_at, cell: (c) => <><Time at={c.created_at} /><div class="small muted">{c.created_by}</div></> },
];

/* Next times as days of the reader's own calendar: [[day, [{ campaign, utc, local }]]]. */
function calendar(campaigns) {
    const days = new Map();
    const times = campaigns.filter((c) => c.state !== "ended").flatMap((c) => (c.occurrences ?? []).map((one) => ({ campaign: c, ...one })));
    for (const one of times.sort((a, b) => a.utc.localeCompare(b.utc))) {
        const day = absolute(new Date(one.utc)).slice(0, 10);
        if (!days.has(day)) days.set(day, []);
        days.get(day).push(one);
    }
    return [...days];
}

const DAY = new Intl.DateTimeFormat("en-GB", { weekday: "long", day: "numeric", month: "long", year: "numeric" });

const CALENDAR = [
    { key: "at", title: "Begins", cell: (o) => <><strong class="num">{clockTime(new Date(o.utc)).slice(0, 5)}</strong> <span class="muted small"><Time at={o.utc} /></span></> },
    { key: "campaign", title: "Campaign", main: true, cell: ({ campaign: c }) => <a href={`/campaigns/${c.id}`}>{c.id}: {c.image.asset} {c.image.version}</a> },
    { key: "devices", title: "Devices", num: true, cell: ({ campaign: c }) => number(c.devices) },
    { key: "for", title: "For", num: true, cell: ({ campaign: c }) => duration(c.duration_s) },
    { key: "local", title: "On the devices", wide: true, cell: (o) => <span class="num">{o.utc.slice(11, 16)} UTC; {o.local.map((l) => `${l.time.slice(11, 16)} ${l.zone}`).join(", ")}</span> },
    { key: "state", title: "State", cell: ({ campaign: c }) => <State name={stateName(c)} /> },
];

const ASKED_MOST = 50; // campaigns whose times are asked for

function Calendar({ campaigns }) {
    const open = campaigns.filter((c) => c.state !== "ended").slice(0, ASKED_MOST);
    const key = open.map((c) => `${c.id} ${c.state} ${c.next_at}`).join();
    const [shown, setShown] = useState(null);
    const [error, setError] = useState(null);
    useEffect(() => {
        let over = false;
        Promise.all(open.map((c) => api.get(at`/campaigns/${c.id}`))).then((list) => !over && (setError(null), setShown(list)), (cause) => !over && setError(cause));
        return () => (over = true);
    }, [key]);
    if (error) return <Failure error={error} what="the next times" retry={() => location.reload()} />;
    if (!shown) return null;
    const days = calendar(shown);
    if (!days.length) return <Nothing action={<a class="button" href="/campaigns/new">New campaign</a>}>Nothing is to come. Campaigns with a time, a window or a repetition stand here by day.</Nothing>;
    return days.map(([day, rows]) => <Section key={day} title={DAY.format(new Date(`${day}T12:00:00`))} id={`day-${day}`}><Table label={day} columns={CALENDAR} rows={rows} id={(o) => `${o.campaign.id} ${o.utc}`} sorted={false} /></Section>);
}

export const CampaignsTable = ({ rows }) => <Table label="Campaigns" columns={COLUMNS} rows={rows} id={(c) => c.id} />;

export function Campaigns() {
    const limit = Math.min(1000, Number(params.value.get("limit")) || 200);
    const filter = params.value.get("filter") ?? "";
    const campaigns = useResource("/campaigns" + query({ limit }), wants.campaigns, { list: true });
    const view = params.value.get("view") === "calendar" ? "calendar" : "list";
    const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = (campaigns.data?.rows ?? []).filter((c) => words.every((word) => `${c.id} ${c.image.product}/${c.image.asset} ${c.image.version} ${c.state} ${c.created_by} ${c.ticket ?? ""}`.toLowerCase().includes(word)));
    const create = <a class="button primary" href="/campaigns/new"><Icon name="plus" />New campaign</a>;
    return (
        <Page title="Campaigns" actions={campaigns.data?.rows.length > 0 && <><ExportCsv name="campaigns" columns={COLUMNS} rows={rows} />{create}</>}>
            {campaigns.data?.rows.length > 0 && <Tabs label="Show as" current={view} items={[["list", "List", "/campaigns"], ["calendar", "Calendar", "/campaigns?view=calendar"]]} />}
            {campaigns.data?.rows.length > 0 && view === "list" && <FilterBox label="Search in the campaigns shown" placeholder="Search: image, state, person, ticket" count={plural(rows.length, "campaign")} />}
            <Loaded of={campaigns} what="the campaigns" rows={6}>
                {({ rows: all, total }) =>
                    !all.length ? <Nothing action={create} command="locum campaign create --image demo/raw-counters --device NAME --duration 30s">No campaign has been started yet. A campaign sends a temporary diagnostic image to devices; each returns to its app by itself.</Nothing>
                    : view === "calendar" ? <Calendar campaigns={all} />
                    : !rows.length ? <NoMatch filter={filter} what="campaigns" clear={() => setParams({ filter: null })} />
                    : <><CampaignsTable rows={rows} /><More shown={all.length} total={total} limit={limit} what="campaigns" /></>}
            </Loaded>
        </Page>
    );
}
