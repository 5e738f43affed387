import { params, setParams } from "../router.js";
import { bytes, plural } from "../words.js";
import { Action } from "./button.jsx";
import { State } from "./state.jsx";
import { Table } from "./table.jsx";
import { Time } from "./time.jsx";

export const COMPARE_LEAST = 2;
export const COMPARE_MOST = 8;

export const CAPTURE_COLUMNS = [
    { key: "id", title: "Capture", main: true, sort: (c) => c.id, cell: (c) => <a href={`/captures/${c.id}`}>{c.image} {c.version}<span class="sr">, capture {c.id}</span></a>, text: (c) => c.id },
    { key: "device", title: "Device", sort: (c) => c.device, cell: (c) => <a href={`/devices/${encodeURIComponent(c.device)}`}>{c.device}</a> },
    { key: "state", title: "State", sort: (c) => c.state, cell: (c) => <><State name={c.state} />{c.hold && <span class="tag">held</span>}{c.reason && <div class="small muted wrap">{reasonText(c.reason)}</div>}</> },
    { key: "run", title: "Campaign", sort: (c) => c.campaign, cell: (c) => <a href={`/campaigns/${c.campaign}/runs/${c.run}`}>{c.campaign}, run {c.run}</a>, text: (c) => `${c.campaign}/${c.run}` },
    { key: "files", title: "Files", num: true, sort: (c) => c.file_count, cell: (c) => plural(c.file_count ?? 0, "file") },
    { key: "length", title: "Size", num: true, sort: (c) => c.length, cell: (c) => bytes(c.length) },
    { key: "at", title: "When", num: true, sort: (c) => c.created_at, cell: (c) => <Time at={c.created_at} /> },
];

/* A reason is a sentence, or a code with one. */
export const reasonText = (reason) => (typeof reason === "object" && reason ? (reason.text ?? reason.code) : reason);

/* The captures that are chosen stand in the query string as `c`. */
const chosen = () => params.value.getAll("c");
const choose = (id, on) => setParams({ c: on ? [...chosen(), String(id)] : chosen().filter((one) => one !== String(id)) });

const CHOICE = {
    key: "choose", title: "Compare",
    cell: (c) => <label class="check choice"><input type="checkbox" checked={chosen().includes(String(c.id))} onChange={(e) => choose(c.id, e.currentTarget.checked)} aria-label={`Compare capture ${c.id} of ${c.device}`} /></label>,
};

/* Compares what is chosen in the table below it. */
export function CompareAction() {
    const ids = chosen();
    const why = ids.length < COMPARE_LEAST ? `Choose ${COMPARE_LEAST} to ${COMPARE_MOST} captures in the list.` : ids.length > COMPARE_MOST ? `At most ${COMPARE_MOST} fit into one plot; ${ids.length} are chosen.` : null;
    if (why) return <Action icon="capture" why={why}>{ids.length ? `Compare ${plural(ids.length, "capture")}` : "Compare"}</Action>;
    return <a class="button" href={"/compare?" + ids.map((id) => `c=${encodeURIComponent(id)}`).join("&")}>Compare {plural(ids.length, "capture")}</a>;
}

export function CapturesTable({ rows, choice }) {
    return <Table label="Captures" columns={choice ? [CHOICE, ...CAPTURE_COLUMNS] : CAPTURE_COLUMNS} rows={rows} id={(c) => c.id} />;
}
