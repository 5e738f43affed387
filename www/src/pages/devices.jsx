// The fleet: filtered by the query string, live, with what each device runs now.
import { useState } from "preact/hooks";
import { query } from "../api.js";
import { params, setParams } from "../router.js";
import { useResource, wants } from "../resource.js";
import { whyNot } from "../session.js";
import { plural, shell } from "../words.js";
import { Action } from "../parts/button.jsx";
import { DeviceState, RunsNow, Seen, notAsWanted } from "../parts/device_cells.jsx";
import { FilterBox } from "../parts/filter.jsx";
import { Loaded, NoMatch, Nothing, Page } from "../parts/page.jsx";
import { ExportCsv, More, Table } from "../parts/table.jsx";
import { AdmitButtons } from "../dialogs/admit.jsx";
import { ClaimDialog } from "../dialogs/claim.jsx";

const SUGGESTIONS = ["connectivity:online", "connectivity:offline", "admission:pending", "-image:none", "product:", "tag:", "seen:<5m", "name~"];

const COLUMNS = [
    { key: "name", title: "Device", main: true, sort: (d) => d.name, cell: (d) => <a href={`/devices/${encodeURIComponent(d.name)}`}>{d.name}</a> },
    { key: "state", title: "State", sort: (d) => (d.admission === "accepted" ? d.connectivity : d.admission), cell: (d) => <DeviceState device={d} /> },
    { key: "runs", title: "Runs now", wide: true, sort: (d) => d.image?.image ?? "", text: (d) => (d.image ? `diagnostic ${d.image.image} ${d.image.version}` : Object.entries(d.running ?? {}).map(([n, a]) => `${n} ${a.version}`).join(" ")), cell: (d) => <><RunsNow device={d} />{notAsWanted(d) && <div class="small muted wrap">{notAsWanted(d)}</div>}</> },
    { key: "product", title: "Product", sort: (d) => d.product, cell: (d) => <>{d.product}{d.hardware && <span class="muted"> {d.hardware}</span>}</> },
    { key: "tags", title: "Tags", sort: (d) => d.tags.join(" "), cell: (d) => (d.tags.length ? <span class="tags">{d.tags.map((tag) => <a key={tag} class="tag" href={"/devices" + query({ filter: `tag:${tag}` })}>{tag}</a>)}</span> : <span class="muted">–</span>) },
    { key: "seen", title: "Last seen", num: true, sort: (d) => d.last_seen, cell: (d) => <Seen device={d} /> },
];
const ADMIT = { key: "admit", title: "Decide", cell: (d) => <AdmitButtons device={d} /> };

export function Devices() {
    const [claim, setClaim] = useState(false);
    const filter = params.value.get("filter") ?? "";
    const limit = Math.min(1000, Number(params.value.get("limit")) || 200);
    const devices = useResource("/devices" + query({ filter, limit }), wants.devices, { list: true });
    const wrong = devices.error?.status === 400 ? devices.error.message : null;
    const rows = devices.data?.rows ?? [];
    const undecided = rows.some((d) => d.admission === "pending" || d.clone_suspected);
    const columns = undecided ? [...COLUMNS, ADMIT] : COLUMNS;
    const why = whyNot("support");
    const enrol = <Action primary icon="plus" why={why} onClick={() => setClaim(true)}>Enrol a device</Action>;
    return (
        <Page title="Devices" actions={(rows.length > 0 || filter) && <><ExportCsv name="devices" columns={COLUMNS} rows={rows} />{enrol}</>}>
            <FilterBox label="Filter devices" placeholder="Filter: product:demo connectivity:online detector:<1.2.0" error={wrong} list={SUGGESTIONS}
                count={devices.data && !wrong && plural(devices.data.total, "device")} />
            <Loaded of={wrong ? { ...devices, error: null } : devices} what="the devices" rows={8}>
                {({ total }) =>
                    rows.length ? (
                        <>
                            <Table label="Devices" columns={columns} rows={rows} id={(d) => d.name} rowClass={(d) => (d.overdue ? "bad-row" : d.image ? "image-row" : undefined)} />
                            <More shown={rows.length} total={total} limit={limit} what="devices" />
                        </>
                    ) : filter ? (
                        <NoMatch filter={filter} what="devices" clear={() => setParams({ filter: null })} />
                    ) : (
                        <Nothing action={enrol} command={`locum device claim --product ${shell("demo")}`}>No device has enrolled yet. Make a claim code and run one line on the device.</Nothing>
                    )
                }
            </Loaded>
            {claim && <ClaimDialog close={() => setClaim(false)} />}
        </Page>
    );
}
