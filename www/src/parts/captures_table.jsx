import { bytes, plural } from "../words.js";
import { State } from "./state.jsx";
import { Table } from "./table.jsx";
import { Time } from "./time.jsx";

export const CAPTURE_COLUMNS = [
    { key: "id", title: "Capture", main: true, sort: (c) => c.id, cell: (c) => <a href={`/captures/${c.id}`}>{c.image} {c.version}<span class="sr">, capture {c.id}</span></a>, text: (c) => c.id },
    { key: "device", title: "Device", sort: (c) => c.device, cell: (c) => <a href={`/devices/${encodeURIComponent(c.device)}`}>{c.device}</a> },
    { key: "state", title: "State", sort: (c) => c.state, cell: (c) => <><State name={c.state} />{c.reason && <div class="small muted wrap">{reasonText(c.reason)}</div>}</> },
    { key: "run", title: "Campaign", sort: (c) => c.campaign, cell: (c) => <a href={`/campaigns/${c.campaign}/runs/${c.run}`}>{c.campaign}, run {c.run}</a>, text: (c) => `${c.campaign}/${c.run}` },
    { key: "files", title: "Files", num: true, sort: (c) => c.file_count, cell: (c) => plural(c.file_count ?? 0, "file") },
    { key: "length", title: "Size", num: true, sort: (c) => c.length, cell: (c) => bytes(c.length) },
    { key: "at", title: "When", num: true, sort: (c) => c.created_at, cell: (c) => <Time at={c.created_at} /> },
];

/* A reason is a sentence, or a code with one. */
export const reasonText = (reason) => (typeof reason === "object" && reason ? (reason.text ?? reason.code) : reason);

export function CapturesTable({ rows }) {
    return <Table label="Captures" columns={CAPTURE_COLUMNS} rows={rows} id={(c) => c.id} />;
}
