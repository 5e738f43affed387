// A real table: sorted by the query string, stacked into cards on a narrow page, exported as it is seen.
import { useRef } from "preact/hooks";
import { params, setParams } from "../router.js";
import { Icon } from "./icon.jsx";

/* columns: [{ key, title, cell(row), sort(row)?, text(row)?, num?, main? }]; rows have a key by `id(row)`. */
export function Table({ label, columns, rows, id, sorted = true, rowClass }) {
    const by = sorted ? params.value.get("sort") : null;
    const order = useRef([]);
    const over = useRef(false);
    const shown = arrange(rows, columns, by, id, order, over.current);
    return (
        <div class="table-box" onPointerEnter={() => (over.current = true)} onPointerLeave={() => (over.current = false)}>
            <table aria-label={label} role="table">
                <thead role="rowgroup">
                    <tr role="row">
                        {columns.map((column) => <Head key={column.key} column={column} by={by} sorted={sorted} />)}
                    </tr>
                </thead>
                <tbody role="rowgroup">
                    {shown.map((row) => (
                        <tr key={id(row)} role="row" class={rowClass?.(row)}>
                            {columns.map((column) => (
                                <td key={column.key} role="cell" data-label={column.title} class={[column.num && "num", column.main && "main", column.wide && "wide"].filter(Boolean).join(" ") || undefined}>
                                    {column.cell(row)}
                                </td>
                            ))}
                        </tr>
                    ))}
                </tbody>
            </table>
        </div>
    );
}

function Head({ column, by, sorted }) {
    const down = by === `-${column.key}`;
    const mine = by === column.key || down;
    const can = sorted && column.sort;
    return (
        <th role="columnheader" scope="col" class={column.num ? "num" : undefined} aria-sort={mine ? (down ? "descending" : "ascending") : undefined}>
            {can ? (
                <button type="button" class="sort" onClick={() => setParams({ sort: by === column.key ? `-${column.key}` : down ? null : column.key })}>
                    {column.title}
                    <span aria-hidden="true">{mine ? (down ? " ↓" : " ↑") : ""}</span>
                </button>
            ) : column.title}
        </th>
    );
}

/* Sorts the rows; while the pointer is over the table, rows that are there stay where they are. */
function arrange(rows, columns, by, id, order, frozen) {
    const column = by && columns.find((one) => one.key === by.replace(/^-/, "") && one.sort);
    let out = rows;
    if (column) {
        const sign = by.startsWith("-") ? -1 : 1;
        out = [...rows].sort((a, b) => sign * compare(column.sort(a), column.sort(b)));
    }
    const key = by ?? "";
    if (frozen && order.current.by === key) {
        const place = new Map(order.current.ids.map((one, i) => [one, i]));
        out = [...out].sort((a, b) => (place.get(id(a)) ?? Infinity) - (place.get(id(b)) ?? Infinity) || 0);
    }
    order.current = { by: key, ids: out.map(id) };
    return out;
}

function compare(a, b) {
    if (a === b) return 0;
    if (a === null || a === undefined) return 1;
    if (b === null || b === undefined) return -1;
    return typeof a === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
}

/* Saves what is shown as a CSV file (RFC 4180). */
export function ExportCsv({ name, columns, rows }) {
    function save() {
        const quote = (value) => {
            const text = String(value ?? "");
            /* A leading = + - @ would be run as a formula by a spreadsheet. */
            const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
            return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
        };
        const wanted = columns.filter((column) => column.text || column.sort);
        const lines = [wanted.map((column) => column.title), ...rows.map((row) => wanted.map((column) => (column.text ?? column.sort)(row)))];
        const blob = new Blob([lines.map((line) => line.map(quote).join(",") + "\r\n").join("")], { type: "text/csv" });
        const link = document.createElement("a");
        link.href = URL.createObjectURL(blob);
        link.download = `${name}.csv`;
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    }
    return <button type="button" onClick={save}><Icon name="down" />Export CSV</button>;
}

/* More rows than are shown. */
export function More({ shown, total, limit, what }) {
    if (shown >= total) return null;
    return (
        <p class="more">
            {shown.toLocaleString("en")} of {total === Infinity ? "more" : total.toLocaleString("en")} {what} shown.{" "}
            {limit < 1000
                ? <button type="button" onClick={() => setParams({ limit: Math.min(1000, limit * 2) })}>Show more</button>
                : "Narrow the filter to see the others."}
        </p>
    );
}
