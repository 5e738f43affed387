// The benchmark (USAGE below). Prints tables, writes build/bench.json and build/bench/index.html.
// What was measured before of the same Locum on the same machine, by --pair or --part or a run that was cut off, stays beside it.
// Run by `make bench`, which has installed and built what is needed. See BENCHMARKS.md.
import { execSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { build } from '../flow/lib/locum.mjs';
import { judgements, together } from './figures.mjs';
import { Bench, filesOf } from './measure.mjs';
import { LOCUM_TOOLS } from './locum.mjs';
import { keepIn } from './packages.mjs';
import { page } from './page.mjs';
import { PAIRS } from './pairs.mjs';
import { measureService } from './service.mjs';
import { pairText } from './table.mjs';
import { TOOLS, VERSIONS } from './tools.mjs';

/* `seconds`: what one step may take; `…Until`: when so many seconds have passed nothing further is begun. A quick run ends within three minutes. */
const QUICK = { scale: 1 / 32, times: 1, seconds: 6, pairsUntil: 75, serviceUntil: 140 };
const FULL = { scale: 1, times: 3, seconds: 3600, pairsUntil: Infinity, serviceUntil: Infinity };

const USAGE = `usage: bench.mjs [--quick] [--pair NAME] [--part pairs|service] [--tool NAME,NAME…] [--check]
  --quick   small files, one round each, at most three minutes: the pairs ${PAIRS.filter(({ quick }) => quick).map(({ name }) => name).join(', ')} and a part of the service
  --pair    one of ${PAIRS.map(({ name }) => name).join(', ')}
  --part    only the pairs, or only the service
  --tool    only these of ${[...LOCUM_TOOLS, ...TOOLS].map(({ name }) => name).join(', ')}
  --check   only whether these words are understood`;

function refuse(sentence) {
  console.error(sentence);
  process.exit(2);
}

function wordsOf() {
  const text = { type: 'string' }, flag = { type: 'boolean' };
  try {
    return parseArgs({ options: { quick: flag, pair: text, part: text, tool: text, check: flag, help: flag } }).values;
  } catch (error) {
    return refuse(`${error.message.split('. ')[0]}\n${USAGE}`);
  }
}

function options() {
  const values = wordsOf(), tools = [...LOCUM_TOOLS, ...TOOLS].map(({ name }) => name);
  const other = values.tool?.split(',').find((name) => !tools.includes(name));
  if (values.help) {
    console.log(USAGE);
    process.exit();
  }
  if (values.pair && !PAIRS.some((pair) => pair.name === values.pair)) refuse(`There is no pair "${values.pair}". There are: ${PAIRS.map((pair) => pair.name).join(', ')}`);
  if (values.part && !['pairs', 'service'].includes(values.part)) refuse(`There is no part "${values.part}". There are: pairs, service`);
  if (other !== undefined) refuse(`There is no tool "${other}". There are: ${tools.join(', ')}`);
  if (values.check) process.exit();
  return { ...values, ...(values.quick ? QUICK : FULL), pairs: values.part !== 'service', service: values.part ? values.part === 'service' : !values.pair };
}

const now = () => new Date().toISOString().slice(0, 16).replace('T', ' ');
const firstLine = (command) => {
  try { return execSync(command, { stdio: ['ignore', 'pipe', 'ignore'] }).toString().trim().split('\n')[0].trim().replace(/\s+/g, ' '); } catch { return 'not there'; }
};
function about(wanted) {
  const system = /^PRETTY_NAME="(.*)"$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  return {
    date: now(),
    machine: { cpu: cpus()[0].model, cores: cpus().length, memory: totalmem(), kernel: release(), system },
    locum: firstLine("git describe --always") + (firstLine("git status --porcelain -uno -- . ':!*.md'") ? '-dirty' : ''),
    versions: Object.fromEntries(VERSIONS.map(([name, command]) => [name, firstLine(command)])),
    commands: [['make bench', wanted.quick && 'QUICK=1', wanted.pair && `PAIR=${wanted.pair}`, wanted.part && `PART=${wanted.part}`].filter(Boolean).join(' ')],
    pairs: [], service: [], quick: Boolean(wanted.quick), scale: wanted.scale, times: wanted.times,
  };
}

async function measurePair(bench, pair, wanted, folder) {
  const files = await filesOf(pair, path.join(folder, 'corpus', pair.name), wanted.scale);
  const row = { name: pair.name, what: pair.what, date: now(), old_bytes: files.old_bytes, new_bytes: files.new_bytes, tools: [], aims: [] };
  for (const tool of [...LOCUM_TOOLS, ...TOOLS]) {
    if (wanted.tool && !wanted.tool.split(',').includes(tool.name)) continue;
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${pair.name}: ${tool.name}`);
    row.tools.push(...await (tool.measure ?? ((...words) => bench.measure(tool, ...words).then((one) => [one])))(files, wanted, folder));
  }
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  row.aims = judgements(row, pair.aims);
  console.log(pairText(row));
  rmSync(path.dirname(files.OLD), { recursive: true, force: true });
  return row;
}

/* `told(row)` is called with each row as it is there. */
async function measurePairs(wanted, folder, on, told) {
  const bench = await Bench.open(path.join(folder, 'work'), { BENCH: path.join(build, 'bench'), LOCUM_DELTA: path.join(build, 'locum-delta') }, on);
  try {
    for (const pair of PAIRS.filter((one) => (wanted.pair ? one.name === wanted.pair : !wanted.quick || one.quick))) {
      if (performance.now() > wanted.pairsUntil * 1000) console.log(`${pair.name}: not begun, the time of a quick run is over\n`);
      else told(await measurePair(bench, pair, wanted, folder));
    }
  } finally {
    await bench.close();
  }
}

/* What stood there before; nothing where it was of something else, or cannot be read. */
function before(file) {
  try { return JSON.parse(readFileSync(file, 'utf8')); } catch { return null; }
}

const wanted = options(), folder = path.join(build, 'bench');
mkdirSync(folder, { recursive: true });
keepIn(path.join(folder, 'npm'));
const file = path.join(build, 'bench.json'), measured = about(wanted);
const earlier = before(file);
let result = measured.locum.endsWith('-dirty') ? measured : together(earlier, measured, PAIRS.map(({ name }) => name));
if (earlier && !wanted.tool && result === measured) {
  renameSync(file, `${file}.before`);
  console.log(`What ${path.relative('.', file)} held is of another Locum, machine or size: it is now ${path.relative('.', file)}.before`);
}
function keep(rows) {
  if (wanted.tool) return; // a look at some tools is no row of the table
  result = together(result, { ...measured, ...rows }, PAIRS.map(({ name }) => name));
  writeFileSync(`${file}.new`, `${JSON.stringify(result, null, 1)}\n`);
  renameSync(`${file}.new`, file);
  writeFileSync(path.join(folder, 'index.html'), page(result));
}
console.log(`${measured.commands[0]} on ${measured.machine.cpu}, ${measured.machine.cores} cores, ${measured.date}\n`);
if (wanted.pairs) await measurePairs(wanted, folder, [measured.machine, measured.versions], (row) => keep({ pairs: [row] }));
if (wanted.service) await measureService(wanted, folder, (rows) => keep({ service: rows }));
if (!wanted.tool) console.log(`\nWritten: ${path.relative('.', file)} and ${path.relative('.', path.join(folder, 'index.html'))}`);
