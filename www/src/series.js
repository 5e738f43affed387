// A time series as devices write it: CSV with a header, first column `time` in Unix seconds, others `name` or `name [unit]`.
const COLUMNS_MOST = 64;
const ROWS_A_TURN = 20000; // then the page gets a turn
const TIME_MOST = 8.64e12; // what a date can hold

/* Resolves to { names, units, columns: [Float64Array, …] } with the time first, or { error }. */
export async function parseSeries(text) {
    const end = text.indexOf("\n");
    const header = (end < 0 ? text : text.slice(0, end)).replace(/\r$/, "").split(",").map((name) => name.trim().replace(/^"(.*)"$/, "$1"));
    if (header[0] !== "time") return { error: "its first column is not “time”." };
    if (header.length < 2) return { error: "it has no column beside the time." };
    if (header.length > COLUMNS_MOST) return { error: `it has more than ${COLUMNS_MOST} columns.` };
    const columns = header.map(() => []);
    let skipped = 0;
    let rows = 0;
    for (let at = end + 1; end >= 0 && at < text.length; rows++) {
        let stop = text.indexOf("\n", at);
        if (stop < 0) stop = text.length;
        const cells = text.slice(at, stop).split(",");
        at = stop + 1;
        const time = cells[0].trim() === "" ? NaN : Number(cells[0]);
        if (!(Math.abs(time) <= TIME_MOST) || cells.length !== header.length) skipped += cells.length > 1 || cells[0].trim() !== "";
        else columns.forEach((column, i) => column.push(cells[i].trim() === "" ? null : finite(Number(cells[i]))));
        if (rows % ROWS_A_TURN === ROWS_A_TURN - 1) await new Promise((done) => setTimeout(done));
    }
    if (!columns[0].length) return { error: "it has no rows with numbers." };
    const times = columns[0];
    if (times.some((t, i) => i > 0 && t < times[i - 1])) {
        /* The clock was set back meanwhile: a plot needs time that rises. */
        const order = times.map((_, i) => i).sort((a, b) => times[a] - times[b]);
        columns.forEach((column, i) => (columns[i] = order.map((row) => column[row])));
    }
    const named = header.map((name) => /^(.*?)\s*\[(.*)\]$/.exec(name) ?? [name, name, ""]);
    return { names: named.map((part) => part[1]), units: named.map((part) => part[2]), columns, skipped };
}

const finite = (n) => (Number.isFinite(n) ? n : null);

/* Groups columns by unit, so that each plot has one scale. Columns are indices. */
export function byUnit(series) {
    const groups = new Map();
    for (let i = 1; i < series.names.length; i++) {
        const unit = series.units[i];
        if (!groups.has(unit)) groups.set(unit, []);
        groups.get(unit).push(i);
    }
    return [...groups].map(([unit, columns]) => ({ unit, columns }));
}

/* Least, mean and greatest of a column. */
export function facts(column) {
    let least = Infinity;
    let most = -Infinity;
    let sum = 0;
    let n = 0;
    for (const value of column) {
        if (value === null) continue;
        if (value < least) least = value;
        if (value > most) most = value;
        sum += value;
        n++;
    }
    return n ? { least, most, mean: sum / n, n } : { least: null, most: null, mean: null, n: 0 };
}
