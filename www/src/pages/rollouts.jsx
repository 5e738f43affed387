// All rollouts, newest first.
import { query } from "../api.js";
import { useResource, wants } from "../resource.js";
import { params, setParams } from "../router.js";
import { STEP_ORDER, looks, rolloutState, whom } from "../rollout_words.js";
import { number, plural } from "../words.js";
import { FilterBox } from "../parts/filter.jsx";
import { Icon } from "../parts/icon.jsx";
import { Loaded, NoMatch, Nothing, Page } from "../parts/page.jsx";
import { State, StateBar } from "../parts/state.jsx";
import { ExportCsv, More, Table } from "../parts/table.jsx";
import { Time } from "../parts/time.jsx";

const COLUMNS = [
    { key: "id", title: "Rollout", main: true, sort: (r) => r.id, cell: (r) => <><a href={`/rollouts/${r.id}`}>{r.id}: {r.asset} {r.version}</a><div class="small muted wrap">{whom(r.by, r.devices)}</div></> },
    { key: "state", title: "State", sort: (r) => r.state, cell: (r) => <><State name={rolloutState(r.state)} />{r.reason && <div class="small wrap">{r.reason.text}</div>}</> },
    { key: "stage", title: "Stage", num: true, sort: (r) => r.stage, cell: (r) => `${r.stage || "–"} of ${r.stages.length}` },
    { key: "counts", title: "How far", wide: true, text: (r) => Object.entries(r.counts).map(([k, n]) => `${k} ${n}`).join(" "), cell: (r) => <span class="live-value"><StateBar counts={looks(r.counts)} total={r.devices} order={STEP_ORDER} /></span> },
    { key: "devices", title: "Devices", num: true, sort: (r) => r.devices, cell: (r) => number(r.devices) },
    { key: "by", title: "Created", num: true, sort: (r) => r.created_at, cell: (r) => <><Time at={r.created_at} /><div class="small muted">{r.created_by}</div></> },
];

export function Rollouts() {
    const limit = Math.min(1000, Number(params.value.get("limit")) || 200);
    const filter = params.value.get("filter") ?? "";
    const rollouts = useResource("/rollouts" + query({ limit }), wants.rollouts, { list: true });
    const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = (rollouts.data?.rows ?? []).filter((r) => words.every((word) => `${r.id} ${r.product}/${r.asset} ${r.version} ${r.state} ${r.created_by} ${whom(r.by, r.devices)} ${r.ticket ?? ""}`.toLowerCase().includes(word)));
    const create = <a class="button primary" href="/rollouts/new"><Icon name="plus" />New rollout</a>;
    const some = rollouts.data?.rows.length > 0;
    return (
        <Page title="Rollouts" actions={some && <><ExportCsv name="rollouts" columns={COLUMNS} rows={rows} />{create}</>}>
            {some && <FilterBox label="Search in the rollouts shown" placeholder="Search: asset, version, state, group, person" count={plural(rows.length, "rollout")} />}
            <Loaded of={rollouts} what="the rollouts" rows={6}>
                {({ rows: all, total }) =>
                    !all.length ? <Nothing action={create} command="locum rollout create demo/detector 1.1.0 --group lab --stages 10%,100% --soak 10m --max-failures 5%">No rollout has been made yet. A rollout moves one asset through devices in stages, and stops by itself when it goes wrong.</Nothing>
                    : !rows.length ? <NoMatch filter={filter} what="rollouts" clear={() => setParams({ filter: null })} />
                    : <><Table label="Rollouts" columns={COLUMNS} rows={rows} id={(r) => r.id} /><More shown={all.length} total={total} limit={limit} what="rollouts" /></>}
            </Loaded>
        </Page>
    );
}
