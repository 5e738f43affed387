// A page of bars out of build/bench.json: one file, no scripts, nothing from elsewhere, light or dark as the reader has it.
import { isOurs } from './figures.mjs';
import { aimRows, memory, number, ratio, seconds, size, verdict } from './table.mjs';

const escape = (text) => String(text).replace(/[&<>"]/g, (letter) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[letter]);

const STYLE = `
:root { color-scheme: light dark; --ink: #1d2530; --dim: #5c6878; --paper: #fff; --line: #dde3ea; --bar: #9fb0c3; --ours: #0b6e4f; --bad: #b3261e }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ef; --dim: #9aa7b6; --paper: #14191f; --line: #2b3540; --bar: #50657c; --ours: #3fbf90; --bad: #ff8a80 } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1100px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2.2rem 0 .2rem } p { color: var(--dim); margin: .2rem 0 .8rem }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(330px, 100%), 1fr)); gap: 1rem 2rem }
h3 { font-size: .85rem; font-weight: 600; color: var(--dim); margin: 0 0 .3rem }
.row { display: grid; grid-template-columns: 11.5em 1fr 5.5em; gap: .5em; align-items: center; font-size: .8rem; line-height: 1.5 }
.row span:last-child { text-align: right; font-variant-numeric: tabular-nums }
.bar { height: .7em; background: var(--bar); border-radius: 2px; min-width: 1px }
.ours { font-weight: 600 } .ours .bar { background: var(--ours) }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: .85rem; margin: .8rem 0 } th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
.missed { color: var(--bad); font-weight: 600 }`;

const CHARTS = [['bytes', 'bytes on the wire', size], ['seconds', 'seconds over the loopback', seconds], ['cpu_s', 'CPU seconds of the device', seconds],
  ['peak_kib', 'memory of the device', memory], ['prepare_cpu_s', 'CPU seconds of preparation', seconds]];

/** Bars of one figure, the smallest first. */
function bars(rows, most) {
  return rows.sort((a, b) => a.value - b.value).map(({ name, value, text, ours }) =>
    `<div class="row${ours ? ' ours' : ''}"><span>${escape(name)}</span><span><div class="bar" style="width:${(value / most * 100).toFixed(2)}%"></div></span><span>${escape(text)}</span></div>`).join('\n');
}
function chart(pair, figure, title, words) {
  const rows = pair.tools.filter((tool) => tool[figure] !== null && tool[figure] !== undefined).map((tool) => ({ name: tool.tool, value: tool[figure], text: words(tool[figure]), ours: isOurs(tool.tool) }));
  if (!rows.length) return '';
  return `<div><h3>${title}</h3>${bars(rows, Math.max(...rows.map((row) => row.value)) || 1)}</div>`;
}

const cellOf = (cell) => `<td${String(cell).endsWith(verdict(false)) ? ' class="missed"' : ''}>${escape(cell)}</td>`;
const table = (head, rows) => `<div class="scroll"><table><tr>${head.map((cell) => `<th>${escape(cell)}</th>`).join('')}</tr>
${rows.map((cells) => `<tr>${cells.map(cellOf).join('')}</tr>`).join('\n')}</table></div>`;

function pairSection(pair) {
  const notes = pair.tools.filter((tool) => tool.note).map((tool) => `${tool.tool}: ${tool.note}`);
  return `<h2>${escape(pair.name)}</h2><p>${escape(pair.what)}: ${size(pair.old_bytes)} → ${size(pair.new_bytes)}</p>
<div class="charts">${CHARTS.map(([figure, title, words]) => chart(pair, figure, title, words)).join('\n')}</div>
${table(['aim', 'may be', 'at once', 'in the end'], aimRows(pair.aims))}${notes.length ? `<p>${escape(notes.join('; '))}</p>` : ''}`;
}

function serviceSection(service) {
  const rows = service.map((row) => [row.what, row.locum === null ? '–' : `${number(row.locum)} ${row.unit}`, row.peers.map((peer) => `${peer.name}: ${number(peer.value)}`).join(', '), ratio(row.ratio),
    row.aim ? `${row.aim} ${verdict(row.holds)}` : '', row.note ?? '']);
  return rows.length ? `<h2>The service</h2>${table(['what', 'Locum', 'beside it', 'ratio', 'aim', ''], rows)}` : '';
}

export function page(result) {
  const { machine } = result;
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Locum: benchmark</title><style>${STYLE}</style>
<h1>Locum beside its peers</h1>
<p>${escape(result.date)}, <code>${escape(result.commands.join(', '))}</code>, Locum ${escape(result.locum)}, ${escape(machine.cpu)}, ${machine.cores} cores, ${escape(machine.system)}.
${result.quick ? 'A quick run: smaller files, one round each.' : `Medians of ${result.times}.`} Shorter is better.</p>
${result.pairs.map(pairSection).join('\n')}
${serviceSection(result.service ?? [])}
<p>${escape(Object.values(result.versions).join('; '))}</p></html>
`;
}
