// Two to eight captures in one plot for each column, aligned by their start.
import { useEffect, useState } from "preact/hooks";
import { api, at, query } from "../api.js";
import { params, setParams } from "../router.js";
import { facts, parseSeries } from "../series.js";
import { bytes, duration, number, plural } from "../words.js";
import { Command } from "../parts/command.jsx";
import { Field } from "../parts/dialog.jsx";
import { Failure, Note, Nothing, Page } from "../parts/page.jsx";
import { Plot } from "../parts/plot.jsx";
import { short } from "../parts/series.jsx";
import { Time } from "../parts/time.jsx";
import { COMPARE_LEAST, COMPARE_MOST } from "../parts/captures_table.jsx";

const SERIES_MOST = 64 << 20; // bytes of one file
const COLUMNS_SHOWN = 4;

export function Compare() {
    const ids = [...new Set(params.value.getAll("c"))].slice(0, COMPARE_MOST);
    const key = ids.join(" ");
    const [captures, setCaptures] = useState(null);
    const [error, setError] = useState(null);
    const [turn, setTurn] = useState(0);
    useEffect(() => {
        let over = false;
        setError(null);
        Promise.all(ids.map((id) => api.get(at`/captures/${id}`))).then((list) => !over && setCaptures(list), (cause) => !over && setError(cause));
        return () => (over = true);
    }, [key, turn]);
    const few = ids.length < COMPARE_LEAST;
    return (
        <Page title={few ? "Compare captures" : `Compare ${ids.length} captures`} crumbs={[["Captures", "/captures"]]} lead="Time series of several devices or runs in one plot, each from its own first sample on.">
            {few ? <Nothing action={<a class="button" href="/captures">Choose captures</a>}>Choose {COMPARE_LEAST} to {COMPARE_MOST} captures in the list, then compare them.</Nothing>
                : error ? <Failure error={error} what="the captures" retry={() => setTurn(turn + 1)} />
                : captures && <Chosen captures={captures} />}
        </Page>
    );
}

const nameOf = (c, all) => [c.device, all.some((o) => o !== c && o.device === c.device) && `campaign ${c.campaign}${all.some((o) => o !== c && o.device === c.device && o.campaign === c.campaign) ? `, run ${c.run}` : ""}`].filter(Boolean).join(", ");

/* The time series that are there, those that most captures have first. */
function seriesPaths(captures) {
    const found = new Map();
    for (const c of captures) for (const file of c.files) if (file.type === "timeseries") found.set(file.path, (found.get(file.path) ?? 0) + 1);
    return [...found].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).map(([path]) => path);
}

function Chosen({ captures }) {
    const paths = seriesPaths(captures);
    const path = paths.includes(params.value.get("file")) ? params.value.get("file") : paths[0];
    const read = useSeries(captures, path);
    if (!path) return <Nothing action={<a class="button" href="/captures">Choose others</a>}>None of these captures has a time series.</Nothing>;
    return (
        <>
            {paths.length > 1 && <div class="fields"><Field label="File">{(id) => <select id={id} value={path} onChange={(e) => setParams({ file: e.currentTarget.value })}>{paths.map((one) => <option key={one}>{one}</option>)}</select>}</Field></div>}
            {read === null ? <p class="muted" role="status">Reading {path} of {plural(captures.length, "capture")}…</p> : <Series read={read} path={path} />}
            {[...new Set(captures.map((c) => `locum capture download ${c.campaign} ${c.run} --to DIR`))].slice(0, 3).map((text, i) => <Command key={text} text={text} label={i ? undefined : "on a command line"} />)}
        </>
    );
}

/* Resolves to [{ capture, name, series | error }], null while they are read. */
function useSeries(captures, path) {
    const [read, setRead] = useState(null);
    useEffect(() => {
        const abort = new AbortController();
        setRead(null);
        const one = async (capture) => {
            const name = nameOf(capture, captures);
            const file = capture.files.find((f) => f.path === path);
            if (!file) return { capture, name, error: `It has no ${path}.` };
            if (file.length > SERIES_MOST) return { capture, name, error: `${path} has ${bytes(file.length)}, too much for a plot.` };
            try {
                const { bytes: raw } = await api.part(at`/captures/${capture.id}/files/${file.n}`, SERIES_MOST, abort.signal);
                const series = await parseSeries(new TextDecoder().decode(raw));
                return series.error ? { capture, name, error: `${path}: ${series.error}` } : { capture, name, series };
            } catch (error) {
                return { capture, name, error: error.message };
            }
        };
        Promise.all(captures.map(one)).then((list) => !abort.signal.aborted && setRead(list));
        return () => abort.abort();
    }, [captures, path]);
    return read;
}

/* The columns that at least one capture has: [{ name, unit, of: [{ name, capture, time, since: seconds from its start, values }] }]. */
function columnsOf(read) {
    const found = new Map();
    for (const { capture, name, series } of read) {
        if (!series) continue;
        const since = series.columns[0].map((t) => t - series.columns[0][0]);
        for (let i = 1; i < series.names.length; i++) {
            const key = `${series.names[i]} [${series.units[i]}]`;
            if (!found.has(key)) found.set(key, { key, name: series.names[i], unit: series.units[i] === "1" ? "" : series.units[i], of: [] });
            found.get(key).of.push({ name, capture, time: series.columns[0], since, values: series.columns[i] });
        }
    }
    return [...found.values()];
}

function Series({ read, path }) {
    const [all, setAll] = useState(false);
    const columns = columnsOf(read);
    const shown = all ? columns : columns.slice(0, COLUMNS_SHOWN);
    return (
        <>
            {read.filter((one) => one.error).map((one) => <Note key={one.capture.id} icon="question"><p><a href={`/captures/${one.capture.id}`}>{one.name}</a> is left out. {one.error}</p></Note>)}
            {shown.map((column) => <Column key={column.key + path} column={column} path={path} read={read} />)}
            {shown.length < columns.length && <p class="more">{shown.length} of {plural(columns.length, "column")} shown. <button type="button" onClick={() => setAll(true)}>Show all</button></p>}
            <Started read={read} />
        </>
    );
}

function Column({ column, path, read }) {
    return (
        <>
            <Plot of={read} relative sync="compare" unit={column.unit} says={`${column.name} in ${path} of ${column.of.map((one) => one.name).join("; ")}`}
                lines={column.of.map((one) => ({ label: one.name, link: `/captures/${one.capture.id}`, times: one.since, values: one.values }))} caption={<><strong>{column.name}</strong>{column.unit && ` in ${column.unit}`}</>} />
            <div class="table-box scrolls" role="region" aria-label={`Figures of ${column.name}`} tabIndex={0}>
                <table class="plain-table" aria-label={`Figures of ${column.name}`}>
                    <thead><tr><th scope="col">Capture</th><th scope="col" class="num">Samples</th><th scope="col" class="num">Over</th><th scope="col" class="num">Least</th><th scope="col" class="num">Mean</th><th scope="col" class="num">Greatest</th></tr></thead>
                    <tbody>
                        {column.of.map(({ name, capture, time, values }) => {
                            const { least, mean, most, n } = facts(values);
                            return <tr key={capture.id}><th scope="row">{name}</th><td class="num">{number(n)}</td><td class="num">{duration(time.at(-1) - time[0])}</td><td class="num">{short(least)}</td><td class="num">{short(mean)}</td><td class="num">{short(most)}</td></tr>;
                        })}
                    </tbody>
                </table>
            </div>
        </>
    );
}

/* Where 0 s is, for each of them. */
function Started({ read }) {
    return (
        <ul class="small plain-list" aria-label="When each began">
            {read.filter((one) => one.series).map(({ capture, name, series }) => <li key={capture.id}><a href={"/captures" + query({ campaign: capture.campaign, run: capture.run })}>{name}</a>: 0 s is <Time at={new Date(series.columns[0][0] * 1000).toISOString()} both /></li>)}
        </ul>
    );
}
