// The figures as a person reads them: in the terminal and in BENCHMARKS.md. Pure: text from what build/bench.json holds.
import { isOurs } from './figures.mjs';

const MIB = 1 << 20;

/** 12 B, 3.4 kB, 1.23 MB. */
export function size(bytes) {
  if (bytes === null || bytes === undefined) return '–';
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(bytes < 1e8 ? 2 : 1)} MB`;
}
export const seconds = (value) => (value === null || value === undefined ? '–' : value < 10 ? value.toFixed(value < 1 ? 3 : 2) : value.toFixed(1));
export const memory = (kib) => (kib === null || kib === undefined ? '–' : `${(kib / 1024).toFixed(kib < 102400 ? 1 : 0)} MiB`);
export const ratio = (value) => (value === null || value === undefined || !Number.isFinite(value) ? '–' : value < 0.0995 ? value.toPrecision(2) : value.toFixed(2));
export const verdict = (holds) => (holds === null ? 'not told' : holds ? 'held' : 'MISSED');

const figure = { bytes: size, cpu_s: (value) => `${seconds(value)} s`, prepare_cpu_s: (value) => `${seconds(value)} s`, peak_kib: memory };

const COLUMNS = [
  ['', (tool) => tool.tool],
  ['bytes', (tool) => size(tool.bytes)],
  ['seconds', (tool) => seconds(tool.seconds)],
  ['client CPU s', (tool) => seconds(tool.cpu_s)],
  ['client memory', (tool) => memory(tool.peak_kib)],
  ['preparation CPU s', (tool) => seconds(tool.prepare_cpu_s)],
  ['', (tool) => tool.note ?? ''],
];
export const toolRows = (pair) => pair.tools.map((tool) => COLUMNS.map(([, cell]) => cell(tool)));
/** One row an aim: what it allows and, for each `when`, what it is. */
export function aimRows(aims) {
  const texts = [...new Set(aims.map((row) => row.text))];
  return texts.map((text) => {
    const rows = aims.filter((row) => row.text === text), { figure: name, limit, against } = rows[0];
    const cell = (when) => {
      const row = rows.find((one) => one.when === when);
      if (!row) return '';
      return row.value === null ? '–' : [figure[name](row.value), row.ratio === null ? '' : `(${ratio(row.ratio)} ×)`, verdict(row.holds)].filter(Boolean).join(' ');
    };
    return [text, limit === null ? '–' : figure[name](limit) + (against ? `, ${against}` : ''), cell('at once'), cell('in the end')];
  });
}
const AIM = ['aim', 'may be', 'at once', 'in the end'];

/** Rows of cells with columns of one width, the first flush left. */
export function aligned(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => [...row[column]].length)));
  const pad = (text, column) => { const space = ' '.repeat(widths[column] - [...text].length); return column ? space + text : text + space; };
  return rows.map((row) => row.map((text, column) => (column === row.length - 1 ? text : pad(text, column))).join('  ').trimEnd());
}

/** One pair in the terminal. */
export function pairText(pair) {
  return [`${pair.name}: ${pair.what} (${size(pair.old_bytes)} → ${size(pair.new_bytes)})`,
    ...aligned([COLUMNS.map(([name]) => name), ...toolRows(pair)]).map((line) => `  ${line}`),
    ...aligned([AIM, ...aimRows(pair.aims)]).map((line) => `  ${line}`), ''].join('\n');
}

// --- Markdown -------------------------------------------------------------------------------------------------------------
const line = (cells) => `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`;
const markdown = (head, rows) => [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
const strong = (cells, yes) => (yes ? cells.map((cell) => (cell ? `**${cell}**` : '')) : cells);

function machine(result) {
  const { machine: m } = result;
  return markdown(['what', 'is'], [['machine', `${m.cpu}, ${m.cores} cores, ${Math.round(m.memory / MIB / 1024)} GiB, Linux ${m.kernel}, ${m.system}`],
    ['command', result.commands.map((one) => `\`${one}\``).join(', ')], ['date', result.date], ['Locum', result.locum], ['others', Object.values(result.versions).join('; ')]]);
}

export function pairMarkdown(pair) {
  return [`### ${pair.name}: ${pair.what}`, '', `${size(pair.old_bytes)} → ${size(pair.new_bytes)}${pair.date ? `, ${pair.date}` : ''}`, '',
    markdown(COLUMNS.map(([name]) => name), pair.tools.map((tool, i) => strong(toolRows(pair)[i], isOurs(tool.tool)))), '',
    markdown(AIM, aimRows(pair.aims).map((cells) => strong(cells, cells.some((cell) => cell.endsWith(verdict(false)))))), ''].join('\n');
}

/** The service's rows: {name, what, unit, locum, peers: [{name, value}], aim, holds, note}. */
export function serviceRows(service) {
  return service.map((row) => [row.what, row.locum === null ? '–' : `${number(row.locum)} ${row.unit}`.trim(), row.peers.map((peer) => `${peer.name} ${number(peer.value)}`).join(', ') || '–',
    ratio(row.ratio), row.aim ?? '', row.aim ? verdict(row.holds) : '', row.note ?? '']);
}
const SERVICE = ['what', 'Locum', 'beside it', 'ratio', 'aim', '', ''];
export const number = (value) => (value === null || value === undefined ? '–' : Math.abs(value) >= 1000 ? Math.round(value).toLocaleString('en-US') : Math.abs(value) >= 10 ? value.toFixed(1) : value.toPrecision(3));
export const serviceText = (service) => aligned([SERVICE, ...serviceRows(service)]).join('\n');

export function document(result) {
  const missed = result.pairs.flatMap((pair) => pair.aims.filter((row) => row.holds === false).map((row) => `- ${pair.name}, ${row.when}: ${row.text}: is ${figure[row.figure](row.value)}, may be ${figure[row.figure](row.limit)}`))
    .concat((result.service ?? []).filter((row) => row.holds === false).map((row) => `- ${row.what}: ${number(row.locum)} ${row.unit}, ratio ${ratio(row.ratio)}, aimed at ${row.aim}`));
  return [result.quick ? '**A quick run: smaller files, one round each. Its ratios are a sketch.**\n' : '', machine(result), '',
    '## Behind', '', missed.length ? missed.join('\n') : 'Nothing that was measured in this run.', '',
    '## Pairs', '', ...result.pairs.map(pairMarkdown),
    ...(result.service?.length ? ['## Service', '', markdown(SERVICE, serviceRows(result.service)), ''] : [])].join('\n');
}
