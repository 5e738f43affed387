// Images beside the app and the app with assets replaced for the time: whatever happens and whoever dies, the original app is there in time, with its own assets.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { readFileSync, readdirSync } from 'node:fs';
import { World, until, path, build, isRoot, processes } from './lib/locum.mjs';
import { Evil, key, envelope } from './lib/evil.mjs';

const app = path.join(build, 'test/flow/app');
const GRACE = 2;
const ends = ['done', 'failed', 'skipped', 'cancelled'];
const skip = isRoot ? false : 'diagnostic runs need root for their namespaces';
const limits = { max_runtime_s: 60, grace_s: GRACE, max_output: 1 << 20, max_memory: 64 << 20, max_pids: 32 };
const hang = 'while :; do sleep 1; done';
const look = 'cp $LOCUM_APP_STATS $LOCUM_OUTPUT/stats.json; ls $LOCUM_APP_LOGS > $LOCUM_OUTPUT/run.log; cat /proc/$(sed "s/.*pid.:\\([0-9]*\\).*/\\1/" $LOCUM_APP_STATS)/stat > $LOCUM_OUTPUT/stat';
let world, beside, over, stubborn;

const statusFile = (name) => path.join(world.folder, 'status', name, 'app.json');
const appStatus = (name) => JSON.parse(readFileSync(statusFile(name), 'utf8'));
/** The app of a device that writes its status where nobody else sees it: in its own mounts. */
function overridden(name) {
  for (const { pid, words } of processes()) {
    if (words[0] !== app || !words.includes(statusFile(name))) continue;
    try {
      const status = JSON.parse(readFileSync(`/proc/${pid}/root${statusFile(name)}`, 'utf8'));
      if (status.version === '2.0.0') return { pid, ...status };
    } catch { /* it has not written yet, or is gone */ }
  }
  return null;
}
const startTime = (pid) => readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ')[19];
const files = (version) => ({ VERSION: `${version}\n`, w: `${version}\n`.repeat(1000) });

async function device(name, words = '', settings = {}) {
  await world.file(`status/${name}/.keep`, '');
  return world.device(name, { settings: { 'app.command': `${app} --status ${statusFile(name)} ${words}`, 'app.writable': path.dirname(statusFile(name)), 'app.log': path.join(world.folder, `${name}.log`), ...settings } });
}
const image = (name, script) => world.publish(`demo/${name}`, '1.0.0', {
  'diagnostic.json': JSON.stringify({ ...limits, entry: ['./run'], mode: 'beside', collect: ['proc', 'app', 'app-logs'], outputs: [{ path: 'run.log', type: 'log' }] }),
  run: { bytes: `#!/bin/sh\n${script}\n`, mode: 0o755 } }, '--kind', 'diagnostic');
const override = (name, assets) => world.publish(`demo/${name}`, '1.0.0', {
  'diagnostic.json': JSON.stringify({ ...limits, mode: 'override', collect: ['app-logs'] }),
  ...Object.fromEntries(Object.entries(assets).map(([file, bytes]) => [`assets/model/${file}`, bytes])) }, '--kind', 'diagnostic');

before(async () => {
  if (skip) return;
  world = await World.open();
  beside = await device('beside');
  over = await device('over', '--crash 3.0.0');
  stubborn = await device('stubborn', '--ignore-term', { 'app.stop.timeout_s': '1' });
  await world.publish('demo/model', '1.0.0', files('1.0.0'));
  await world.release('demo/model', '1.0.0');
  await image('looks', look);
  await image('hangs', `${look}; ${hang}`);
  await image('ignores', `trap "" TERM; ${look}; ${hang}`);
  await override('newer', files('2.0.0'));
  await override('crashes', files('3.0.0'));
  for (const one of [beside, over, stubborn]) await one.runs('model', '1.0.0');
});
after(async () => { if (world) await world.close(); });

const create = (name, on, seconds) => world.json('campaign', 'create', '--image', `demo/${name}@1.0.0`, '--device', on.name, '--duration', `${seconds}s`);
const assignment = async (id) => (await world.json('run', 'show', String(id))).assignments[0];
const inState = (id, states, ms = 60000) => until(`${states}`, async () => { const a = await assignment(id); return (states.includes(a.state) || ends.includes(a.state)) && a; }, ms);

/** Back: proven, in time, with nothing left, and the original app evaluates its own asset. */
async function isBack(on, a) {
  const proof = a.reverted?.proof;
  assert.equal(proof?.equal, true, JSON.stringify(a));
  assert.equal(proof.before, proof.after);
  assert.equal(proof.leftovers, 0, JSON.stringify(a));
  assert.ok(proof.revert_ms <= (GRACE + 1) * 1000, `${on.name}: reverted in ${proof.revert_ms} ms`);
  const now = appStatus(on.name);
  await until(`the app of ${on.name} evaluates`, async () => appStatus(on.name).evaluations !== now.evaluations);
  const status = appStatus(on.name);
  assert.equal(status.version, '1.0.0');
  assert.equal(status.failures + status.wrong, 0);
  assert.equal(proof.app.pid, status.pid);
  assert.equal(String(proof.app.start_time), startTime(status.pid));
  assert.equal(overridden(on.name), null);
  const uid = readFileSync(path.join(on.state, 'keeper/uid'), 'utf8');
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    let text = '';
    try { text = readFileSync(`/proc/${pid}/status`, 'utf8'); } catch { /* gone */ }
    assert.ok(!new RegExp(`^Uid:\t${uid}\t`, 'm').test(text) || /^State:\tZ/m.test(text), `process ${pid} of the image is left`);
  }
  assert.doesNotMatch(readFileSync(`/proc/${on.keeper()}/mountinfo`, 'utf8'), new RegExp(`${on.state}/`));
  assert.equal((await on.show()).running.model.version, '1.0.0');
}
/** Runs an image beside the app of `beside`: the app's process is the same all along. */
async function ranBeside(name, seconds, meanwhile = async () => {}) {
  const was = appStatus('beside'), began = startTime(was.pid);
  const created = await create(name, beside, seconds);
  const running = await inState(created.id, ['running', 'reverting', 'uploading']);
  assert.ok(running.state !== 'failed', JSON.stringify(running));
  await meanwhile(created, beside);
  const a = await inState(created.id, ends);
  await isBack(beside, a);
  const now = appStatus('beside');
  assert.equal(now.pid, was.pid);
  assert.equal(startTime(now.pid), began);
  assert.ok(now.evaluations > was.evaluations);
  assert.deepEqual(a.reverted.proof.app_before, { pid: was.pid, start_time: Number(began) });
  return { id: created.id, ...a };
}
/** Runs an app with another model; its own status file does not see it. */
async function ranOver(on, name, seconds, meanwhile = async () => {}) {
  const was = appStatus(on.name);
  const created = await create(name, on, seconds);
  const running = await inState(created.id, ['running', 'reverting', 'uploading']);
  if (name === 'newer') {
    assert.ok(running.state !== 'failed', JSON.stringify(running));
    const seen = await until('the app runs with the other model', async () => overridden(on.name), 20000);
    assert.equal(seen.failures + seen.wrong, 0);
    assert.equal(readFileSync(on.current('model', 'VERSION'), 'utf8'), '1.0.0\n');
    assert.equal(appStatus(on.name).version, '1.0.0');
  }
  await meanwhile(created, on);
  const a = await inState(created.id, ends);
  await isBack(on, a);
  assert.notEqual(appStatus(on.name).pid, was.pid);
  return { id: created.id, ...a };
}
async function captured(id, on) {
  const to = path.dirname(await world.file(`captures/${id}/.keep`, ''));
  const result = await world.locum('capture', 'download', String(id), '--to', to);
  assert.ok([0, 6].includes(result.code), result.stderr);
  return { files: (await readdir(path.join(to, on.name))).sort(), read: (name) => readFile(path.join(to, on.name, name), 'utf8') };
}

test('what ends by itself: an image beside the app, and an app that cannot live with the other model', { skip }, async () => {
  const was = appStatus('beside');
  const [aside, crashed] = await Promise.all([ranBeside('looks', 30), ranOver(over, 'crashes', 30)]);
  assert.equal(aside.state, 'done', JSON.stringify(aside));
  const capture = await captured(aside.id, beside);
  assert.deepEqual(capture.files, ['run.log', 'stat', 'stats.json']);
  const stats = JSON.parse(await capture.read('stats.json'));
  assert.equal(stats.pid, was.pid);
  assert.ok(stats.descriptors > 2 && stats.io.rchar > 0, JSON.stringify(stats));
  assert.match(await capture.read('stat'), new RegExp(`^${was.pid} \\(app\\)`));
  assert.match(await capture.read('run.log'), /^app\.log$/m);
  assert.equal(crashed.reverted.proof.end, 'exited');
  assert.notEqual(crashed.reverted.proof.status, 0);
});

test('at its deadline an image beside the app is gone, an overridden app is its old self', { skip }, async () => {
  const [aside, overrun] = await Promise.all([ranBeside('hangs', 3), ranOver(over, 'newer', 10)]);
  for (const a of [aside, overrun]) {
    assert.equal(a.state, 'done', JSON.stringify(a));
    assert.equal(a.reverted.proof.end, 'deadline');
  }
  assert.deepEqual((await captured(overrun.id, over)).files, ['app.log']);
});

test('what ignores SIGTERM is killed after its grace', { skip }, async () => {
  for (const a of await Promise.all([ranBeside('ignores', 3), ranOver(stubborn, 'newer', 10)])) {
    assert.equal(a.state, 'done', JSON.stringify(a));
    assert.equal(a.reverted.proof.end, 'killed');
  }
});

test('the agent is killed during the run: it ends in time all the same', { skip }, async () => {
  const kill = async (created, on) => { on.agent.kill('SIGKILL'); };
  for (const a of await Promise.all([ranBeside('hangs', 3, kill), ranOver(over, 'newer', 10, kill)])) assert.equal(a.state, 'done', JSON.stringify(a));
  for (const on of [beside, over]) {
    await on.start();
    await until('the new agent is primary', async () => !on.agent.exit && on.pids('run').includes(on.agent.pid));
  }
});

test('the runner is killed during the run: the app beside it never noticed, the overridden one is its old self', { skip }, async () => {
  const kill = async (created, on) => { process.kill(on.keeper(), 'SIGKILL'); };
  for (const a of await Promise.all([ranBeside('ignores', 50, kill), ranOver(over, 'newer', 50, kill)])) {
    assert.equal(a.reverted.proof.end, 'runner_lost', JSON.stringify(a));
    assert.equal(a.capture.state, 'none');
  }
});

test('a campaign that is ended brings both back at once', { skip }, async () => {
  const end = async (created) => { await world.json('campaign', 'end', String(created.id)); };
  for (const a of await Promise.all([ranBeside('hangs', 50, end), ranOver(over, 'newer', 50, end)])) {
    assert.equal(a.state, 'cancelled', JSON.stringify(a));
    assert.equal(a.reverted.proof.end, 'cancelled');
  }
});

test('an order narrows what is collected, has it redacted on the device, and gives a run more time, within what was signed', { skip }, async (t) => {
  const evil = await Evil.open(world);
  t.after(() => evil.close());
  const honest = world.deviceUrl, director = key(world.data, 'director');
  let sent = null, more = null;
  evil.rules = [[/^\/device\/checkin/, async (from, to, forward) => {
    const answer = await forward(), body = JSON.parse(answer.body);
    if (body.order?.signed.runs.length) {
      sent = body.order.signed;
      Object.assign(sent.runs[0], { collect: ['app-logs'], max_output: 65536, redact: ['secret=[a-z]+'] });
    }
    if (more) {
      sent.runs[0].duration_s = more;
      sent.seq += 1;
      more = null;
      body.order = { signed: sent };
    }
    if (body.order) body.order = envelope(director, body.order.signed);
    evil.answer(to, { ...answer, body: JSON.stringify(body) });
  }]];
  world.deviceUrl = evil.url;
  const narrow = await device('narrow').finally(() => { world.deviceUrl = honest; });
  await narrow.runs('model', '1.0.0');
  await image('tells', `exec > $LOCUM_OUTPUT/run.log 2>&1; echo "user=ann secret=abc"; ls $LOCUM_APP_LOGS; echo "stats=$LOCUM_APP_STATS"; cat /proc/1/comm; df -B1 --output=size $LOCUM_OUTPUT; ${hang}`);
  const created = await create('tells', narrow, 8);
  const first = await inState(created.id, ['running']);
  assert.equal(first.state, 'running', JSON.stringify(first));
  // A report whose answer was lost is sent again.
  const told = () => [...new Set(evil.reports.filter(({ run, state }) => run === sent.runs[0].id && state === 'running').map(({ ends_at }) => Date.parse(ends_at)))];
  more = 61; // over max_runtime_s: refused, and the run goes on as it was
  await until('it was asked for too much', async () => more === null);
  more = 12;
  await until('the device tells the new end', async () => told().length > 1, 20000);
  assert.equal(told()[1] - told()[0], 4000);
  const a = await inState(created.id, ends);
  assert.equal(a.state, 'done', JSON.stringify(a));
  await isBack(narrow, a);
  assert.equal(a.reverted.proof.end, 'deadline');
  assert.ok(Date.parse(a.reverted.proof.ended_at) - Date.parse(a.started_at) >= 11000, JSON.stringify(a));
  assert.equal(Date.parse(a.ends_at), told()[1]);
  const log = await (await captured(created.id, narrow)).read('run.log');
  assert.match(log, /^user=ann \[redacted\]$/m);
  assert.doesNotMatch(log, /secret|abc/);
  assert.match(log, /^app\.log$/m);
  assert.match(log, /^stats=$/m);
  assert.match(log, /^locum-image$/m);
  assert.match(log, /^\s*65536$/m);
});
