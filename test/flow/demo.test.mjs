// What a newcomer does after `make run`: the demo as it is, its printed words followed to the letter, and Ctrl-C. In a folder and at ports of its own.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtemp, rm, chmod, readFile, readdir, stat } from 'node:fs/promises';
import { readFileSync, readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { Process, build, freePort, isRoot, path, run, until } from './lib/locum.mjs';

const root = path.resolve(path.dirname(new URL(import.meta.url).pathname), '../..');
const SAMPLES_HZ = 50, IMAGE_S = 4;
// The demo evaluates every 10 ms. The bound leaves room for a machine that other tests keep busy, none for an app that was started anew.
const LONGEST_GAP_MS = 500;
const skip = isRoot ? false : 'the image of the demo needs root for its namespaces';
let folder, ports, demo;

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'locum-demo-'));
  await chmod(folder, 0o755);
  ports = [await freePort(), await freePort()];
  // Neither what the caller's shell is signed in to nor a demo of the caller's may be touched.
  const { LOCUM_URL, LOCUM_TOKEN, ...rest } = process.env;
  demo = new Process(path.join(root, 'agent/example/run-demo'), [],
    { env: { ...rest, LOCUM_BUILD: build, LOCUM_DEMO_FOLDER: folder, LOCUM_DEMO_PORT: String(ports[0]), LOCUM_DEMO_DEVICE_PORT: String(ports[1]) } });
  await until('the demo says how to sign in and how to stop', () => demo.exit || demo.output.includes('Ctrl-C stops it all.'), 100000);
  assert.equal(demo.exit, null, `the demo ended: ${demo.output}`);
});
after(async () => {
  if (demo) await demo.stop('SIGINT', 60000);
  for (const { pid } of ours()) { try { process.kill(pid, 'SIGKILL'); } catch { /* gone */ } }
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** Processes that name our folder, in their words or in the environment that they inherited. */
function ours() {
  return readdirSync('/proc').filter((entry) => /^\d+$/.test(entry)).flatMap((entry) => {
    try {
      const words = readFileSync(`/proc/${entry}/cmdline`, 'utf8');
      const isOurs = words.includes(folder) || readFileSync(`/proc/${entry}/environ`, 'utf8').includes(folder);
      return isOurs ? [{ pid: Number(entry), words: words.replaceAll('\0', ' ') }] : [];
    } catch {
      return []; // it ended meanwhile, or is another person's
    }
  });
}
function isListening(port) {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => { socket.destroy(); done(true); });
    socket.once('error', () => done(false));
  });
}
/** The one printed command line that holds `word`. */
function printed(word) {
  const lines = demo.output.split('\n').filter((line) => line.startsWith('  ') && line.includes(word));
  assert.equal(lines.length, 1, `"${word}" is printed once:\n${demo.output}`);
  return lines[0].trim();
}
/** Runs a printed line in a shell that began as the demo says. */
async function say(line) {
  const result = await run('bash', ['-c', `set -e; ${printed('export LOCUM_URL=')}\n${line}`], { cwd: '/' });
  assert.equal(result.code, 0, `${line}: exit ${result.code}\n${result.stderr}${result.stdout}`);
  return result.stdout;
}
const status = async () => JSON.parse(await say(printed('--status')));

test('the printed address and sign-in open the console, which shows the device', async () => {
  const words = /Console:\s+(http:\/\/\S+)\s+sign in as\s+(\S+)\s+with\s+(\S+)/.exec(demo.output);
  assert.ok(words, demo.output);
  const [, url, name, password] = words;
  assert.equal(url, `http://127.0.0.1:${ports[0]}`);
  const page = await fetch(url);
  assert.equal(page.status, 200);
  assert.match(page.headers.get('content-type'), /^text\/html/);
  const answer = await fetch(`${url}/api/v1/session`,
    { method: 'POST', headers: { 'content-type': 'application/json', origin: url }, body: JSON.stringify({ name, password }) });
  const text = await answer.text();
  assert.equal(answer.status, 200, text);
  assert.equal(JSON.parse(text).operator.name, name);
  const cookie = answer.headers.get('set-cookie').split(';')[0];
  const device = await (await fetch(`${url}/api/v1/devices/demo-1`, { headers: { cookie } })).json();
  assert.equal(device.connectivity, 'online');
  assert.equal(device.running.detector.version, '1.0.0');
});

test('the detector scores many times a second with the first model', async () => {
  const first = await until('the detector has a score', async () => { const s = await status(); return s.score !== null && s; });
  const began = performance.now();
  const last = await until('150 more evaluations', async () => { const s = await status(); return s.evaluations >= first.evaluations + 150 && s; });
  const rate = (last.evaluations - first.evaluations) / ((performance.now() - began) / 1000);
  assert.ok(rate >= 50, `${rate.toFixed(1)} evaluations a second`);
  assert.equal(last.model, '1.0.0');
  assert.equal(last.failures, 0);
  assert.ok(Number.isFinite(last.score));
  assert.equal(last.pid, first.pid);
});

test('the model that was left over is published and released with the printed words, and adopted without a gap', async () => {
  const earlier = await status();
  assert.ok((await stat(path.join(folder, 'models/1.1.0'))).isDirectory());
  await say(printed('asset publish demo/detector'));
  await say(printed('asset release demo/detector'));
  const now = await until('the detector runs 1.1.0', async () => { const s = await status(); return s.model === '1.1.0' && s; }, 60000);
  const later = await until('it evaluates with it', async () => { const s = await status(); return s.evaluations >= now.evaluations + 100 && s; });
  assert.equal(later.pid, earlier.pid, 'the app was not started anew');
  assert.equal(later.failures, 0);
  assert.equal(later.rejections, 0);
  assert.equal(later.adoptions, earlier.adoptions + 1);
  assert.ok(later.longest_gap_ms > 0 && later.longest_gap_ms < LONGEST_GAP_MS, `longest gap ${later.longest_gap_ms} ms`);
  await until('the console knows', async () => {
    const device = JSON.parse(await say(`'${path.join(build, 'locum')}' device show demo-1 --json`));
    return device.running.detector.version === '1.1.0' && device.running.detector.state === 'idle';
  }, 60000);
});

test('the raw counters are recorded, the device is as before, and the capture is a good time series', { skip }, async () => {
  const campaign = printed('campaign create').replace('--duration 30s', `--duration ${IMAGE_S}s`);
  assert.match(campaign, new RegExp(`--duration ${IMAGE_S}s`));
  const ended = JSON.parse(await say(`${campaign} --json`));
  const [assignment] = ended.assignments;
  assert.equal(assignment.state, 'done', JSON.stringify(ended));
  assert.equal(assignment.reverted.verified, true);
  assert.equal(assignment.reverted.proof.equal, true);
  assert.equal(assignment.reverted.proof.leftovers, 0);
  assert.equal(assignment.reverted.proof.before, assignment.reverted.proof.after);
  assert.equal(assignment.capture.state, 'complete');

  await say(printed('capture download'));
  const capture = path.join(folder, 'captures', 'demo-1');
  assert.deepEqual((await readdir(capture)).sort(), ['counters.csv', 'run.log']);
  isGoodSeries(await readFile(path.join(capture, 'counters.csv'), 'utf8'));
  const log = await readFile(path.join(capture, 'run.log'), 'utf8');
  assert.match(log, new RegExp(`raw counters: ${SAMPLES_HZ} samples a second for ${IMAGE_S} s\n[^]* rows, (done|ended by SIGTERM)\n$`));

  const back = await until('the detector is back with 1.1.0', async () => { const s = await status(); return s.model === '1.1.0' && s.evaluations > 50 && s; });
  assert.equal(back.failures, 0);
});

/** The contract: CSV with a header, first column `time` in Unix seconds, others `name` or `name [unit]`. */
function isGoodSeries(text) {
  assert.ok(text.endsWith('\n'), 'the last row is whole');
  const [header, ...rows] = text.trimEnd().split('\n');
  const names = header.split(',');
  assert.equal(names[0], 'time');
  assert.ok(names.length > 2);
  assert.equal(new Set(names).size, names.length);
  for (const name of names.slice(1)) assert.match(name, /^[^[\]]*[^[\] ]( \[[^[\]]+\])?$/);
  const values = rows.map((row) => row.split(',').map((cell) => (cell === '' ? NaN : Number(cell))));
  for (const [n, row] of values.entries()) {
    assert.equal(row.length, names.length, rows[n]);
    assert.ok(row.every(Number.isFinite), rows[n]);
    if (n > 0) assert.ok(row[0] > values[n - 1][0], `time goes on: ${rows[n - 1]} then ${rows[n]}`);
  }
  const seconds = values.at(-1)[0] - values[0][0];
  const rate = (values.length - 1) / seconds;
  assert.ok(Math.abs(values[0][0] - Date.now() / 1000) < 600, `time is Unix seconds: ${values[0][0]}`);
  assert.ok(seconds > IMAGE_S * 0.75 && seconds < IMAGE_S + 1, `${seconds} s recorded`);
  assert.ok(rate >= SAMPLES_HZ * 0.8 && rate <= SAMPLES_HZ * 1.1, `${rate.toFixed(1)} rows a second`);
  const column = (name) => values.map((row) => row[names.findIndex((one) => one.startsWith(name))]);
  assert.ok(column('memory used').every((share) => share > 0 && share <= 100), 'memory in use is a share of this machine');
  assert.ok(column('context switches').some((count) => count > 0), 'a machine that runs a test switches contexts');
}

test('Ctrl-C ends device and console in order and leaves no process', async () => {
  assert.ok(ours().some(({ words }) => words.includes('detector')), 'the detector runs');
  demo.kill('SIGINT');
  await until('the demo has ended', () => demo.exit, 60000);
  assert.deepEqual(demo.exit, { code: 130, signal: null }, demo.output);
  assert.match(demo.output, /Stopping the device[^]*Stopping the console/);
  assert.deepEqual(ours(), []);
  assert.deepEqual(await Promise.all(ports.map(isListening)), [false, false]);
});
