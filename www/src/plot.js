// Draws with uPlot. Colours come from the page's tokens, and every line has a dash pattern of its own as well.
import uPlot from "uplot";

const DASHES = [[], [8, 4], [2, 3], [12, 4, 2, 4], [6, 2], [2, 6], [14, 6], [4, 4, 1, 4]];
const HEIGHT = 260;
const dashOf = (i) => DASHES[(i + Math.floor(i / 8)) % DASHES.length];

/* uPlot's own rows of [least increment, format, …], with 24 hours and days as the year begins them. */
const AXIS_TIMES = [
    [86400, "{YYYY}-{MM}-{DD}", null, null, null, null, null, null, 1],
    [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{YYYY}-{MM}-{DD}", null, null, null, 1],
    [1, "{HH}:{mm}:{ss}", "\n{YYYY}-{MM}-{DD}", null, "\n{YYYY}-{MM}-{DD}", null, null, null, 1],
    [0.001, "{HH}:{mm}:{ss}.{fff}", "\n{YYYY}-{MM}-{DD}", null, "\n{YYYY}-{MM}-{DD}", null, null, null, 1],
];

/* As wide as the longest number. */
function axisSize(plot, values) {
    const longest = (values ?? []).reduce((most, text) => (text.length > most.length ? text : most), "");
    plot.ctx.save();
    plot.ctx.font = plot.axes[1].font[0];
    const width = plot.ctx.measureText(longest).width / devicePixelRatio;
    plot.ctx.restore();
    return Math.max(72, Math.ceil(width) + 24);
}

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
            legend: { live: true, markers: { width: 2, dash: (_, i) => (i > 0 && dashOf(i - 1).length ? "dashed" : "solid") } },
            cursor: { focus: { prox: 24 }, drag: { x: true, y: false } },
            focus: { alpha: 0.35 },
            scales: { x: { time: true } },
            axes: [{ ...axis, space: 110, values: AXIS_TIMES }, { ...axis, size: axisSize }],
            series: [
                { label: "time", value: (_, t) => (t === null ? "–" : new Date(t * 1000).toISOString().slice(11, 23)) },
                ...group.columns.map((column, i) => ({
                    label: series.names[column],
                    stroke: colour(`--plot-${(i % 8) + 1}`),
                    width: 1.5,
                    dash: dashOf(i),
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
