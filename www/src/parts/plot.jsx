// One plot with its legend above it, in the order and with the dashes of the lines. Its code comes with the first plot.
import { useEffect, useRef, useState } from "preact/hooks";
import { Failure } from "./page.jsx";

const COLOURS = 8;
const DASHES = [[], [8, 4], [2, 3], [12, 4, 2, 4], [6, 2], [2, 6], [14, 6], [4, 4, 1, 4]];

/* Every line has a colour and a dash pattern; the same pair comes back after 64 lines. */
const look = (line, i) => ({ ...line, colour: `--plot-${(i % COLOURS) + 1}`, dash: DASHES[(i + Math.floor(i / COLOURS)) % DASHES.length] });

const value = (v) => (v === null || v === undefined ? "–" : String(Number(v.toPrecision(6))));

/* lines: [{ label, times, values, link? }]; they are drawn anew when `of` changes. */
export function Plot({ lines, unit, caption, says, relative, sync, of }) {
    const drawn = lines.map(look);
    const box = useRef();
    const cells = useRef([]);
    const [error, setError] = useState(null);
    useEffect(() => {
        let plot = null;
        let over = false;
        import("../plot.js").then(({ drawPlot, moment }) => {
            if (over) return;
            const tells = (t, values) => cells.current.forEach((cell, i) => cell && (cell.textContent = t === null ? "" : i ? value(values[i - 1]) : `at ${moment(t, relative)}`));
            plot = drawPlot(box.current, { lines: drawn, relative, tells, sync });
        }).catch(setError);
        return () => {
            over = true;
            plot?.end();
        };
    }, [of]);
    if (error) return <Failure error={{ message: "The part that draws plots could not be loaded.", time: new Date() }} what="the plot" retry={() => location.reload()} />;
    return (
        <figure class="plot">
            <figcaption>{caption} <span class="muted">drag to look closer, double click to go back</span></figcaption>
            <ul class="legend" aria-label={`Lines of the plot of ${says}`}>
                {drawn.map((line, i) => (
                    <li key={line.label + i}>
                        <svg viewBox="0 0 32 4" width="32" height="4" aria-hidden="true"><path d="M0 2h32" class="legend-line" style={{ stroke: `var(${line.colour})` }} stroke-dasharray={line.dash.join(" ")} /></svg>
                        {line.link ? <a href={line.link}>{line.label}</a> : line.label}
                        <span class="num muted" aria-hidden="true" ref={(cell) => (cells.current[i + 1] = cell)} />
                    </li>
                ))}
                <li aria-hidden="true"><span class="num muted" ref={(cell) => (cells.current[0] = cell)} /></li>
            </ul>
            <div ref={box} class="plot-box" role="img" aria-label={`Plot of ${says}${unit ? ` (${unit})` : ""}. The figures are in the table below.`} />
        </figure>
    );
}
