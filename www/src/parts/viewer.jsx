// Looks at one collected file. What a device sent is shown as text only.
import { useEffect, useState } from "preact/hooks";
import { api } from "../api.js";
import { parseSeries } from "../series.js";
import { bytes, number, plural } from "../words.js";
import { Failure, Note } from "./page.jsx";
import { Series } from "./series.jsx";

const TEXT_MOST = 4 << 20;
const SERIES_MOST = 64 << 20;
const BYTES_MOST = 4096;
const LINES_MOST = 2000;

/* Shown byte by byte: what a device sent is never drawn as a picture in our own pages. */
const isBytes = (file) => file.type === "binary" || file.type === "image";

export function Viewer({ path, file }) {
    const [state, setState] = useState({});
    const [turn, setTurn] = useState(0);
    const limit = file.type === "timeseries" ? SERIES_MOST : isBytes(file) ? BYTES_MOST : TEXT_MOST;
    useEffect(() => {
        const abort = new AbortController();
        setState({});
        (file.length === 0 ? Promise.resolve({ bytes: new Uint8Array(), total: 0 }) : api.part(path, limit, abort.signal))
            .then(async ({ bytes: raw, total }) => ({ raw, total, series: file.type === "timeseries" ? await parseSeries(new TextDecoder().decode(raw)) : null }))
            .then(setState)
            .catch((error) => error.name !== "AbortError" && setState({ error }));
        return () => abort.abort();
    }, [path, turn]);
    if (state.error) return <Failure error={state.error} what={file.path} retry={() => setTurn(turn + 1)} />;
    if (!state.raw) return <p class="muted" role="status">Reading {bytes(Math.min(file.length, limit))}…</p>;
    const cut = state.total > state.raw.length && <p class="muted">The first {bytes(state.raw.length)} of {bytes(state.total)} are shown; the download has all of it.</p>;
    if (state.series?.error)
        return <><Note tone="attention"><p>This is not a time series that can be drawn: {state.series.error}</p></Note><Log text={new TextDecoder().decode(state.raw)} />{cut}</>;
    if (state.series) return <><Series series={state.series} name={file.path} />{cut}</>;
    if (isBytes(file)) return <><Hex bytes={state.raw} />{cut}</>;
    return <><Log text={new TextDecoder().decode(state.raw)} />{cut}</>;
}

/* Lines with numbers, and only those that hold a word. */
function Log({ text }) {
    const [find, setFind] = useState("");
    const [wrap, setWrap] = useState(true);
    const [most, setMost] = useState(LINES_MOST);
    const lines = text.split("\n");
    if (lines.at(-1) === "") lines.pop();
    const word = find.toLowerCase();
    const hits = [];
    lines.forEach((line, i) => (!word || line.toLowerCase().includes(word)) && hits.push(i));
    return (
        <>
            <div class="filter">
                <input type="search" class="filter-input" data-filter aria-label="Find in the file" placeholder="Find in the file" value={find} onInput={(e) => setFind(e.currentTarget.value)} />
                <span class="muted" role="status">{word ? `${number(hits.length)} of ${plural(lines.length, "line")}` : plural(lines.length, "line")}</span>
                <label class="check"><input type="checkbox" checked={wrap} onChange={(e) => setWrap(e.currentTarget.checked)} />Wrap lines</label>
            </div>
            {lines.length === 0 ? <p class="muted">The file is empty.</p> : (
                <div class={wrap ? "log wrapped" : "log"} tabindex="0" role="group" aria-label="Lines">
                    {hits.slice(0, most).map((i) => <div key={i} class="log-line"><span class="line-number" aria-hidden="true">{i + 1}</span><span class="log-text">{clean(lines[i])}</span></div>)}
                </div>
            )}
            {hits.length > most && <p class="more">{number(most)} lines shown. <button type="button" onClick={() => setMost(most * 2)}>Show more</button></p>}
        </>
    );
}

/* Control characters as their pictures, so that a log cannot play tricks on the reader. */
const clean = (line) => line.replace(/\r$/, "").replace(/[\u0000-\u0008\u000b-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0))).replace(/[\u202a-\u202e\u2066-\u2069]/g, "\ufffd");

function Hex({ bytes: raw }) {
    const rows = [];
    for (let i = 0; i < raw.length; i += 16) {
        const part = [...raw.subarray(i, i + 16)];
        rows.push(`${i.toString(16).padStart(8, "0")}  ${part.map((b) => b.toString(16).padStart(2, "0")).join(" ").padEnd(47)}  ${part.map((b) => (b >= 32 && b < 127 ? String.fromCharCode(b) : ".")).join("")}`);
    }
    return <pre class="hex" tabindex="0" aria-label="Bytes">{rows.join("\n")}</pre>;
}
