import { Table } from "./table.jsx";
import { Time } from "./time.jsx";
import { Short } from "./command.jsx";

export const AUDIT_COLUMNS = [
    { key: "at", title: "When", cell: (row) => <Time at={row.at} />, text: (row) => row.at },
    { key: "operator", title: "Who", main: true, cell: (row) => row.operator || <span class="muted">server</span>, text: (row) => row.operator },
    { key: "action", title: "What", cell: (row) => row.action.replaceAll("_", " "), text: (row) => row.action },
    { key: "object", title: "Object", cell: (row) => <code>{row.object}</code>, text: (row) => row.object },
    { key: "detail", title: "Detail", wide: true, cell: (row) => detail(row.detail) && <span class="wrap">{detail(row.detail)}</span>, text: (row) => detail(row.detail) },
    { key: "hash", title: "Chain", cell: (row) => <Short text={row.hash} size={10} />, text: (row) => row.hash },
];

const detail = (value) => (value && typeof value === "object" ? Object.entries(value).map(([k, v]) => `${k}: ${typeof v === "object" ? JSON.stringify(v) : v}`).join(", ") : (value ?? ""));

export function AuditTable({ rows, brief }) {
    return <Table label="Audit log" columns={brief ? AUDIT_COLUMNS.filter((column) => column.key !== "hash") : AUDIT_COLUMNS} rows={rows} id={(row) => row.id} sorted={false} />;
}
