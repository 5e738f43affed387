// Draws with uPlot. Colours come from the page's tokens, and every line has a dash pattern of its own as well.
import uPlot from "uplot";

const DASHES = [[], [8, 4], [2, 3], [12, 4, 2, 4], [6, 2], [2, 6], [14, 6], [4, 4, 1, 4]];
const HEIGHT = 260;

/* Draws the columns of one unit into `box`; returns { end() }. */
export function drawPlot(box, series, group) {
    const css = getComputedStyle(box);
    const token = (name) => css.getPropertyValue(name);
    let plot = null;

    /* light-dark() is resolved by asking an element, not a custom property. */
    const probe = document.createElement("span");
    box.append(probe);
    const colour = (name) => {
        probe.style.color = `var(${name})`;
        return getComputedStyle(probe).color;
    };

    function options() {
        const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: `12px ${token("font-family")}` };
        return {
            width: Math.max(200, box.clientWidth),
            height: HEIGHT,
            legend: { live: true },
            cursor: { focus: { prox: 24 }, drag: { x: true, y: false } },
            focus: { alpha: 0.35 },
            scales: { x: { time: true } },
            axes: [axis, { ...axis, size: 64 }],
            series: [
                { label: "time", value: (_, t) => (t === null ? "–" : new Date(t * 1000).toISOString().slice(11, 23)) },
                ...group.columns.map((column, i) => ({
                    label: series.names[column],
                    stroke: colour(`--plot-${(i % 8) + 1}`),
                    width: 1.5,
                    dash: DASHES[(i + Math.floor(i / 8)) % DASHES.length],
                    points: { show: false },
                    spanGaps: false,
                    value: (_, v) => (v === null ? "–" : Number(v.toPrecision(6)).toString()),
                })),
            ],
        };
    }

    function draw() {
        plot?.destroy();
        const began = performance.now();
        plot = new uPlot(options(), [series.columns[0], ...group.columns.map((i) => series.columns[i])], box);
        box.dataset.drawnMs = Math.round(performance.now() - began);
    }
    draw();

    const resized = new ResizeObserver(() => plot.setSize({ width: Math.max(200, box.clientWidth), height: HEIGHT }));
    resized.observe(box);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", draw);
    const themed = new MutationObserver(draw);
    themed.observe(document.documentElement, { attributes: true, attributeFilter: ["style"] });

    return {
        end() {
            resized.disconnect();
            themed.disconnect();
            scheme.removeEventListener("change", draw);
            plot.destroy();
            probe.remove();
        },
    };
}
