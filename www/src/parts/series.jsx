// A time series: one plot per unit, the facts of every column as a table, and the rows for who cannot see a plot.
import { useState } from "preact/hooks";
import { byUnit, facts } from "../series.js";
import { absolute, duration, number, plural } from "../words.js";
import { Plot } from "./plot.jsx";

const ROWS_MOST = 200;

export function Series({ series, name }) {
    const [asTable, setAsTable] = useState(false);
    const times = series.columns[0];
    const span = times.at(-1) - times[0];
    return (
        <>
            <div class="row">
                <p class="small">
                    {plural(times.length, "sample")} over {span < 120 ? `${span.toFixed(1)} s` : duration(span)} from {absolute(new Date(times[0] * 1000))}
                    {span > 0 && <span class="muted">, {(((times.length - 1) / span) || 0).toFixed(1)} a second</span>}
                    {series.skipped > 0 && <span class="muted">; {plural(series.skipped, "row")} without numbers left out</span>}
                </p>
                <span class="segmented" role="group" aria-label="Show as">
                    <button type="button" aria-pressed={!asTable} onClick={() => setAsTable(false)}>Plot</button>
                    <button type="button" aria-pressed={asTable} onClick={() => setAsTable(true)}>Table</button>
                </span>
            </div>
            {asTable ? <Rows series={series} /> : byUnit(series).map((group) => <UnitPlot key={group.unit} series={series} group={group} name={name} />)}
            <FactsTable series={series} />
        </>
    );
}

function UnitPlot({ series, group, name }) {
    const says = `${group.columns.map((i) => series.names[i]).slice(0, 8).join(", ")}${group.columns.length > 8 ? ` and ${group.columns.length - 8} more` : ""}`;
    const unit = group.unit !== "1" && group.unit;
    return (
        <Plot of={series} lines={group.columns.map((i) => ({ label: series.names[i], times: series.columns[0], values: series.columns[i] }))}
            unit={unit} says={`${says} in ${name}`} caption={unit ? <>in <strong>{unit}</strong></> : <strong>no unit</strong>} />
    );
}

export const short = (value) => (value === null ? "–" : Math.abs(value) >= 1e5 && Math.abs(value) < 1e13 ? number(Math.round(value)) : Math.abs(value) >= 1e13 || (value !== 0 && Math.abs(value) < 1e-3) ? value.toExponential(3) : String(Number(value.toPrecision(6))));

function FactsTable({ series }) {
    return (
        <div class="table-box scrolls" role="region" aria-label="Figures of the columns" tabIndex={0}>
            <table aria-label="Columns of the time series" class="plain-table">
                <thead><tr><th scope="col">Column</th><th scope="col">Unit</th><th scope="col" class="num">Least</th><th scope="col" class="num">Mean</th><th scope="col" class="num">Greatest</th></tr></thead>
                <tbody>
                    {series.names.slice(1).map((name, i) => {
                        const { least, most, mean } = facts(series.columns[i + 1]);
                        return <tr key={name + i}><th scope="row">{name}</th><td>{series.units[i + 1] || "–"}</td><td class="num">{short(least)}</td><td class="num">{short(mean)}</td><td class="num">{short(most)}</td></tr>;
                    })}
                </tbody>
            </table>
        </div>
    );
}

function Rows({ series }) {
    const [from, setFrom] = useState(0);
    const times = series.columns[0];
    const last = Math.min(times.length, from + ROWS_MOST);
    const indices = Array.from({ length: last - from }, (_, i) => from + i);
    return (
        <>
            <div class="row">
                <span class="muted num">rows {number(from + 1)}–{number(last)} of {number(times.length)}</span>
                <button type="button" aria-disabled={from === 0 ? "true" : undefined} onClick={() => setFrom(Math.max(0, from - ROWS_MOST))}>Earlier</button>
                <button type="button" aria-disabled={last === times.length ? "true" : undefined} onClick={() => last < times.length && setFrom(from + ROWS_MOST)}>Later</button>
            </div>
            <div class="table-scroll" tabindex="0" role="group" aria-label="Rows of the time series">
                <table class="plain-table">
                    <thead><tr>{series.names.map((name, i) => <th key={i} scope="col" class="num">{name}{series.units[i] && ` [${series.units[i]}]`}</th>)}</tr></thead>
                    <tbody>{indices.map((at) => <tr key={at}>{series.columns.map((column, i) => <td key={i} class="num">{i === 0 ? column[at].toFixed(3) : short(column[at])}</td>)}</tr>)}</tbody>
                </table>
            </div>
        </>
    );
}
