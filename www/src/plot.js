// Draws lines on a canvas: axes with round numbers, names at the ends of the lines, a pointer that reads values, a drag that looks closer.
// A line of any length costs one pass: of several rows to a pixel only their least and their greatest are drawn.
const HEIGHT = 260;
const TOP = 8, RIGHT = 16;
const NAMED_FROM = 560; // px of width from which lines carry their names at their ends
const NAME_MOST = 150;  // px of such a name
const NAME_HIGH = 14;
const TICKS_MOST = 64;  // numbers so large that a step is lost in them end as well
const DRAG_LEAST = 6;   // px; less is a click
const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 432000, 864000, 2592000, 7776000, 31536000];

const together = new Map(); // plots that show the same stretch: name → set of them

/* The round step that makes about `most` parts of `span`: 1, 2 or 5 times a power of ten. */
function roundStep(span, most) {
    const raw = span / most || 1;
    const power = 10 ** Math.floor(Math.log10(raw));
    return power * ([1, 2, 5].find((n) => n * power >= raw) ?? 10);
}

function ticks(from, to, step, shift = 0) {
    const out = [];
    for (let i = Math.ceil((from + shift) / step); i * step - shift <= to && out.length < TICKS_MOST; i++) out.push(i * step - shift);
    return out;
}

const number = (step) => {
    const digits = Math.max(0, Math.min(9, -Math.floor(Math.log10(step))));
    const format = new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    return (value) => (Math.abs(value) >= 1e12 || (step < 1e-9) ? value.toExponential(2) : format.format(value || 0)); // never "-0"
};

const two = (n, size = 2) => String(n).padStart(size, "0");
const day = (t) => `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())}`;
const clock = (t, step) => `${two(t.getHours())}:${two(t.getMinutes())}${step < 60 ? ":" + two(t.getSeconds()) : ""}${step < 1 ? "." + two(t.getMilliseconds(), 3) : ""}`;

/* A moment under the pointer, in the reader's zone. */
export const moment = (t, relative) => (relative ? `${t.toFixed(2)} s` : clock(new Date(t * 1000), 0.001));

/* Marks of the time axis: [position, first line, second line]. */
function timeMarks(from, to, most, relative) {
    if (relative) {
        const step = roundStep(to - from, most);
        const says = number(step);
        return ticks(from, to, step).map((t) => [t, `${says(t)} s`]);
    }
    const wanted = (to - from) / most;
    const step = wanted < 1 ? roundStep(to - from, most) : TIME_STEPS.find((s) => s >= wanted) ?? TIME_STEPS.at(-1);
    let before = "";
    return ticks(from, to, step, -new Date(from * 1000).getTimezoneOffset() * 60).map((at) => {
        const t = new Date(at * 1000);
        const date = day(t);
        const first = date !== before;
        before = date;
        return step >= 86400 ? [at, date] : [at, clock(t, step), first ? date : ""];
    });
}

/* The first row whose time is at least t. */
function rowAt(times, t) {
    let low = 0, high = times.length;
    while (low < high) {
        const middle = (low + high) >> 1;
        if (times[middle] < t) low = middle + 1;
        else high = middle;
    }
    return low;
}

function nearestRow(times, t) {
    const row = rowAt(times, t);
    return row > 0 && (row === times.length || t - times[row - 1] < times[row] - t) ? row - 1 : row;
}

/* The rows of a line that are seen, with one more on each side; of many to a pixel only the least and greatest in each of `parts` parts
 * of the stretch, each with the row before it, so that parts join. */
function seen({ times, values }, from, to, parts) {
    const begin = Math.max(0, rowAt(times, from) - 1);
    const end = Math.min(times.length, rowAt(times, to) + 1);
    if (end - begin <= 2 * parts) return { begin, end };
    const least = new Float64Array(parts).fill(Infinity);
    const most = new Float64Array(parts).fill(-Infinity);
    for (let part = 0, row = begin; part < parts; part++) {
        const stop = Math.min(end, rowAt(times, from + ((part + 1) / parts) * (to - from)));
        let low = Infinity, high = -Infinity;
        for (let i = row > 0 ? row - 1 : 0; i < stop; i++) {
            const value = values[i];
            if (value === null) continue;
            if (value < low) low = value;
            if (value > high) high = value;
        }
        least[part] = low;
        most[part] = high;
        row = Math.max(row, stop);
    }
    return { begin, end, least, most };
}

/* Least and greatest value that is seen, with some room. */
function extent(lines, views) {
    let low = Infinity, high = -Infinity;
    lines.forEach(({ values }, n) => {
        const { begin, end, least, most } = views[n];
        for (let i = least ? 0 : begin; i < (least ? least.length : end); i++) {
            if (!least && values[i] === null) continue;
            if ((least ?? values)[i] < low) low = (least ?? values)[i];
            if ((most ?? values)[i] > high) high = (most ?? values)[i];
        }
    });
    if (low > high) return [0, 1];
    const room = (high - low) * 0.06 || Math.abs(high) * 0.05 || 1;
    return [low - room, high + room];
}

/* Is a dash pattern on at this pixel? */
function isOn(dash, px) {
    let at = px % dash.reduce((sum, part) => sum + part, 0);
    for (let i = 0; i < dash.length; i++) {
        if (at < dash[i]) return i % 2 === 0;
        at -= dash[i];
    }
    return true;
}

/* One line as a path; x and y give pixels. */
function trace(ctx, { times, values, dash }, { begin, end }, x, y) {
    let pen = false;
    ctx.setLineDash(dash);
    ctx.beginPath();
    for (let i = begin; i < end; i++) {
        if (values[i] === null) {
            pen = false;
            continue;
        }
        const [at, high] = [x(times[i]), y(values[i])];
        if (pen) ctx.lineTo(at, high);
        else {
            ctx.moveTo(at, high);
            if (i + 1 >= end || values[i + 1] === null) ctx.lineTo(at + 1, high); // a point alone is seen as well
        }
        pen = true;
    }
    ctx.stroke();
}

/* A line with many rows to a pixel as bars. Its dashes go along the axis: along the line they would be countless. */
function fill(ctx, { dash }, { least, most }, left, wide, y) {
    const size = wide / least.length;
    ctx.beginPath();
    for (let part = 0; part < least.length; part++)
        if (least[part] <= most[part] && isOn(dash, part * size)) ctx.rect(left + part * size, y(most[part]) - 0.75, size, y(least[part]) - y(most[part]) + 1.5);
    ctx.fill();
}

/* lines: [{ label, colour: token, dash: [px], times: seconds, rising, values: number or null }]; relative: the times count from a start of
 * their own. tells(time, values) hears what lies under the pointer, (null) when nothing does. Plots with the same `sync` show the same
 * stretch. Returns { end() }. */
export function drawPlot(box, { lines, relative, tells, sync }) {
    const whole = [Math.min(...lines.map((l) => l.times[0])), Math.max(...lines.map((l) => l.times[l.times.length - 1]))];
    if (whole[0] === whole[1]) whole[1] += 1;
    let [from, to] = whole;
    let left = 0, wide = 0, dragged = null;

    const canvas = box.appendChild(document.createElement("canvas"));
    const ctx = canvas.getContext("2d");
    const mark = box.appendChild(document.createElement("div"));
    mark.className = "plot-mark";
    mark.hidden = true;
    /* light-dark() is resolved by asking an element, not a custom property. */
    const colour = (name) => {
        mark.style.color = `var(${name})`;
        return getComputedStyle(mark).color;
    };
    const x = (t) => left + ((t - from) / (to - from)) * wide;
    const timeAt = (px) => from + ((px - left) / wide) * (to - from);

    function draw() {
        const began = performance.now();
        const width = Math.max(200, box.clientWidth);
        const high = HEIGHT - TOP - (relative ? 24 : 40);
        canvas.width = width * devicePixelRatio;
        canvas.height = HEIGHT * devicePixelRatio;
        ctx.scale(devicePixelRatio, devicePixelRatio);
        ctx.font = `12px ${getComputedStyle(box).fontFamily}`;
        const named = lines.length > 1 && width >= NAMED_FROM;
        const names = named ? Math.min(NAME_MOST, Math.max(...lines.map((l) => ctx.measureText(l.label).width)) + 12) : 0;

        const views = lines.map((line) => seen(line, from, to, Math.floor(width)));
        const [least, most] = extent(lines, views);
        const step = roundStep(most - least, 5);
        const says = number(step);
        const levels = ticks(least, most, step);
        left = Math.ceil(Math.max(40, ...levels.map((v) => ctx.measureText(says(v)).width + 12)));
        wide = width - left - RIGHT - names;
        const y = (value) => TOP + high - ((value - least) / (most - least)) * high;

        const [muted, rule] = [colour("--muted"), colour("--line")];
        ctx.strokeStyle = rule;
        ctx.fillStyle = muted;
        ctx.textBaseline = "middle";
        ctx.textAlign = "right";
        ctx.beginPath();
        for (const value of levels) {
            const at = Math.round(y(value)) + 0.5;
            ctx.moveTo(left, at);
            ctx.lineTo(left + wide, at);
            ctx.fillText(says(value), left - 8, at);
        }
        ctx.textAlign = "center";
        for (const [t, first, second] of timeMarks(from, to, Math.max(2, Math.floor(wide / 110)), relative)) {
            const at = Math.round(x(t)) + 0.5;
            ctx.moveTo(at, TOP);
            ctx.lineTo(at, TOP + high);
            ctx.fillText(first, at, TOP + high + 13);
            if (second) ctx.fillText(second, at, TOP + high + 29);
        }
        ctx.stroke();

        ctx.save();
        ctx.rect(left, TOP - 2, wide + 1, high + 4);
        ctx.clip();
        ctx.lineWidth = 1.5;
        ctx.lineJoin = "bevel";
        lines.forEach((line, i) => {
            ctx.strokeStyle = ctx.fillStyle = colour(line.colour);
            if (views[i].least) fill(ctx, line, views[i], left, wide, y);
            else trace(ctx, line, views[i], x, y);
        });
        ctx.restore();
        if (named) drawNames(y, high);
        box.dataset.drawnMs = Math.round(performance.now() - began);
    }

    /* Names at the ends of the lines, pushed apart where they would lie on each other. */
    function drawNames(y, high) {
        const ends = lines.map((line) => {
            let row = Math.min(line.times.length, rowAt(line.times, to + 1e-9)) - 1;
            while (row >= 0 && line.values[row] === null) row--;
            return row >= 0 && { line, at: y(line.values[row]) };
        }).filter(Boolean).sort((a, b) => a.at - b.at);
        let last = TOP - NAME_HIGH / 2;
        for (const end of ends) last = end.at = Math.max(end.at, last + NAME_HIGH);
        let next = TOP + high + NAME_HIGH / 2;
        for (const end of ends.reverse()) next = end.at = Math.min(end.at, next - NAME_HIGH);
        ctx.textAlign = "left";
        for (const { line, at } of ends) {
            ctx.fillStyle = colour(line.colour);
            ctx.fillText(line.label, left + wide + 8, at, NAME_MOST);
        }
    }

    /* What all plots of a `sync` do together. */
    const mine = {
        show(range) {
            [from, to] = range ?? whole;
            draw();
        },
        point(t, since = null) {
            const seen = t !== null && t >= from && t <= to;
            mark.hidden = !seen;
            if (!seen) return tells?.(null, []);
            const start = x(since ?? t);
            mark.style.left = `${Math.min(start, x(t))}px`;
            mark.style.width = `${Math.abs(x(t) - start)}px`;
            tells?.(t, lines.map(({ times, values }) => (t < times[0] || t > times[times.length - 1] ? null : values[nearestRow(times, t)])));
        },
    };
    const group = together.get(sync) ?? new Set();
    group.add(mine);
    if (sync) together.set(sync, group);
    const all = (act) => group.forEach(act);

    const place = (event) => Math.max(from, Math.min(to, timeAt(event.clientX - box.getBoundingClientRect().left)));
    canvas.addEventListener("pointermove", (event) => all((plot) => plot.point(place(event), dragged)));
    canvas.addEventListener("pointerleave", () => dragged === null && all((plot) => plot.point(null)));
    canvas.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        canvas.setPointerCapture(event.pointerId);
        dragged = place(event);
    });
    canvas.addEventListener("pointerup", (event) => {
        const [a, b] = [dragged, place(event)].sort((p, q) => p - q);
        const far = dragged !== null && x(b) - x(a) >= DRAG_LEAST;
        dragged = null;
        if (far) all((plot) => plot.show([a, b]));
        all((plot) => plot.point(null));
    });
    canvas.addEventListener("dblclick", () => all((plot) => plot.show(null)));

    const resized = new ResizeObserver(draw); // draws at once as well
    resized.observe(box);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", draw);
    const themed = new MutationObserver(draw);
    themed.observe(document.documentElement, { attributes: true, attributeFilter: ["style"] });

    return {
        end() {
            group.delete(mine);
            resized.disconnect();
            themed.disconnect();
            scheme.removeEventListener("change", draw);
            canvas.remove();
            mark.remove();
        },
    };
}
