// Who changed what: newest first, each entry chained to the one before by its hash.
import { useResource, wants } from "../resource.js";
import { params } from "../router.js";
import { query } from "../api.js";
import { Loaded, NoMatch, Nothing, Page } from "../parts/page.jsx";
import { AUDIT_COLUMNS, AuditTable } from "../parts/audit_table.jsx";
import { FilterBox } from "../parts/filter.jsx";
import { ExportCsv, More } from "../parts/table.jsx";
import { setParams } from "../router.js";
import { plural } from "../words.js";

export function Audit() {
    const limit = Math.min(1000, Number(params.value.get("limit")) || 200);
    const wanted = params.value.get("filter") ?? "";
    const audit = useResource("/audit" + query({ limit }), wants.audit, { list: true });
    const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = (audit.data?.rows ?? []).filter((row) => {
        const text = AUDIT_COLUMNS.map((column) => column.text(row)).join(" ").toLowerCase();
        return words.every((word) => text.includes(word));
    });
    return (
        <Page title="Audit log" lead="Every change, by whom and when. Each entry carries the hash of the one before, so that none can be removed unseen."
            actions={rows.length > 0 && <ExportCsv name="audit" columns={AUDIT_COLUMNS} rows={rows} />}>
            <FilterBox label="Search in the entries shown" placeholder="Search: publish, cam-1, admin …" count={audit.data && plural(rows.length, "entry", "entries")} />
            <Loaded of={audit} what="the audit log" rows={8}>
                {({ rows: all, total }) =>
                    all.length === 0 ? <Nothing>Nothing has been changed yet.</Nothing>
                    : rows.length === 0 ? <NoMatch filter={wanted} what="entries" clear={() => setParams({ filter: null })} />
                    : <><AuditTable rows={rows} /><More shown={all.length} total={total} limit={limit} what="entries" /></>}
            </Loaded>
        </Page>
    );
}
