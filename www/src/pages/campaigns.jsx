// All campaigns, newest first.
import { useResource, wants } from "../resource.js";
import { params, setParams } from "../router.js";
import { query } from "../api.js";
import { duration, number, plural } from "../words.js";
import { FilterBox } from "../parts/filter.jsx";
import { Icon } from "../parts/icon.jsx";
import { Loaded, NoMatch, Nothing, Page } from "../parts/page.jsx";
import { State, StateBar } from "../parts/state.jsx";
import { ExportCsv, More, Table } from "../parts/table.jsx";
import { Time } from "../parts/time.jsx";

const COLUMNS = [
    { key: "id", title: "Campaign", main: true, sort: (c) => c.id, cell: (c) => <a href={c.runs === 1 ? `/campaigns/${c.id}/runs/1` : `/campaigns/${c.id}`}>{c.id}: {c.image.asset} {c.image.version}</a> },
    { key: "state", title: "State", sort: (c) => c.state, cell: (c) => <><State name={c.state} />{c.at && c.state === "scheduled" && <span class="small muted"> <Time at={c.at} /></span>}</> },
    { key: "devices", title: "Devices", num: true, sort: (c) => c.devices, cell: (c) => number(c.devices) },
    { key: "counts", title: "How far", wide: true, text: (c) => Object.entries(c.counts ?? {}).map(([k, n]) => `${k} ${n}`).join(" "), cell: (c) => <span class="live-value"><StateBar counts={c.counts ?? {}} total={c.devices} /></span> },
    { key: "duration", title: "For", num: true, sort: (c) => c.duration_s, cell: (c) => duration(c.duration_s) },
    { key: "by", title: "Created", num: true, sort: (c) => c.created_at, cell: (c) => <><Time at={c.created_at} /><div class="small muted">{c.created_by}</div></> },
];

export const CampaignsTable = ({ rows }) => <Table label="Campaigns" columns={COLUMNS} rows={rows} id={(c) => c.id} />;

export function Campaigns() {
    const limit = Math.min(1000, Number(params.value.get("limit")) || 200);
    const filter = params.value.get("filter") ?? "";
    const campaigns = useResource("/campaigns" + query({ limit }), wants.campaigns, { list: true });
    const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = (campaigns.data?.rows ?? []).filter((c) => words.every((word) => `${c.id} ${c.image.product}/${c.image.asset} ${c.image.version} ${c.state} ${c.created_by} ${c.ticket ?? ""}`.toLowerCase().includes(word)));
    const create = <a class="button primary" href="/campaigns/new"><Icon name="plus" />New campaign</a>;
    return (
        <Page title="Campaigns" actions={campaigns.data?.rows.length > 0 && <><ExportCsv name="campaigns" columns={COLUMNS} rows={rows} />{create}</>}>
            {campaigns.data?.rows.length > 0 && <FilterBox label="Search in the campaigns shown" placeholder="Search: image, state, person, ticket" count={plural(rows.length, "campaign")} />}
            <Loaded of={campaigns} what="the campaigns" rows={6}>
                {({ rows: all, total }) =>
                    !all.length ? <Nothing action={create} command="locum campaign create --image demo/raw-counters --device NAME --duration 30s">No campaign has been started yet. A campaign sends a temporary diagnostic image to devices; each returns to its app by itself.</Nothing>
                    : !rows.length ? <NoMatch filter={filter} what="campaigns" clear={() => setParams({ filter: null })} />
                    : <><CampaignsTable rows={rows} /><More shown={all.length} total={total} limit={limit} what="campaigns" /></>}
            </Loaded>
        </Page>
    );
}
