// All groups of devices.
import { useResource, wants } from "../resource.js";
import { params, setParams } from "../router.js";
import { whyNot } from "../session.js";
import { number, plural } from "../words.js";
import { Action } from "../parts/button.jsx";
import { FilterBox } from "../parts/filter.jsx";
import { Loaded, NoMatch, Nothing, Page } from "../parts/page.jsx";
import { ExportCsv, Table } from "../parts/table.jsx";
import { Time } from "../parts/time.jsx";
import { GroupDialog, groupHref } from "../dialogs/group.jsx";
import { assetHref } from "./assets.jsx";

export const Releases = ({ of, none = "–" }) => of.length
    ? <span class="tags">{of.map((r) => <a key={r.product + r.asset} class="tag" href={assetHref(r.product, r.asset)}>{r.asset} {r.version}</a>)}</span>
    : <span class="muted">{none}</span>;

const COLUMNS = [
    { key: "name", title: "Group", main: true, sort: (g) => g.name, cell: (g) => <a href={groupHref(g.name)}>{g.name}</a> },
    { key: "devices", title: "Devices", num: true, sort: (g) => g.devices, cell: (g) => <span class="live-value">{number(g.devices)}</span> },
    { key: "by", title: "Members", wide: true, sort: (g) => g.filter ?? "", cell: (g) => (g.filter === null ? "fixed, by name" : <code class="wrap">{g.filter}</code>) },
    { key: "releases", title: "Releases", text: (g) => g.releases.map((r) => `${r.product}/${r.asset} ${r.version}`).join(" "), cell: (g) => <Releases of={g.releases} /> },
    { key: "at", title: "Made", num: true, sort: (g) => g.created_at, cell: (g) => <><Time at={g.created_at} /><div class="small muted">{g.created_by}</div></> },
];

export function Groups() {
    const groups = useResource("/groups", wants.groups);
    const filter = params.value.get("filter") ?? "";
    const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = (groups.data ?? []).filter((g) => words.every((word) => `${g.name} ${g.filter ?? ""}`.toLowerCase().includes(word)));
    const some = groups.data?.length > 0;
    const create = <Action primary icon="plus" why={whyNot("support")} onClick={() => setParams({ new: "1" })}>New group</Action>;
    return (
        <Page title="Groups" actions={some && <><ExportCsv name="groups" columns={COLUMNS} rows={rows} />{create}</>}>
            {some && <FilterBox label="Filter groups" placeholder="Filter: name or filter" count={plural(rows.length, "group")} />}
            <Loaded of={groups} what="the groups" rows={4}>
                {(all) =>
                    !all.length ? <Nothing action={create} command="locum group create lab --filter tag:lab">No group has been made yet. A group is tried first: release to it before the whole product.</Nothing>
                    : !rows.length ? <NoMatch filter={filter} what="groups" clear={() => setParams({ filter: null })} />
                    : <Table label="Groups" columns={COLUMNS} rows={rows} id={(g) => g.name} />}
            </Loaded>
            {params.value.get("new") === "1" && !whyNot("support") && <GroupDialog filter={params.value.get("with") ?? ""} close={() => setParams({ new: null, with: null })} done={groups.reload} />}
        </Page>
    );
}
