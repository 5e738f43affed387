// Temporary diagnostic images: whatever the image does and whoever dies, the original app is back in time and the capture or its reason arrives.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { readFileSync, readdirSync } from 'node:fs';
import { World, until, path, build, isRoot } from './lib/locum.mjs';

const app = path.join(build, 'test/flow/app');
const GRACE = 2;
const limits = { entry: ['./run'], mode: 'replace', max_runtime_s: 60, grace_s: GRACE, max_output: 1 << 20, max_memory: 64 << 20, max_pids: 32, collect: ['proc'], network: 'none',
  outputs: [{ path: 'counters.csv', type: 'timeseries' }, { path: 'run.log', type: 'log' }] };
const images = {
  ends: 'echo "time,a [x]" > $LOCUM_OUTPUT/counters.csv; echo "1,2" >> $LOCUM_OUTPUT/counters.csv; echo done > $LOCUM_OUTPUT/run.log; exit 0',
  hangs: 'echo began > $LOCUM_OUTPUT/run.log; while :; do read x < /dev/zero & wait; sleep 1; done',
  stubborn: 'trap "" TERM; echo began > $LOCUM_OUTPUT/run.log; while :; do sleep 1; done',
  forks: 'echo began > $LOCUM_OUTPUT/run.log; f() { f | f & }; f; while :; do sleep 1; done',
  fills: 'echo began > $LOCUM_OUTPUT/run.log; while :; do cat /dev/zero >> $LOCUM_OUTPUT/big 2>/dev/null; sleep 1; done',
  eats: 'echo began > $LOCUM_OUTPUT/run.log; head -c 500m /dev/zero | tail -c 400m > /dev/null; sleep 60',
  looks: '( id -u; grep CapEff /proc/self/status; cat /etc/shadow; ls /proc/1/root/; touch /x; touch ./x; mount -t tmpfs none /tmp; ls /var/lib ) > $LOCUM_OUTPUT/run.log 2>&1; ln -s /etc/passwd $LOCUM_OUTPUT/link; exit 3',
};
const skip = isRoot ? false : 'diagnostic runs need root for their namespaces';
let world, device;

async function image(name, script, more = {}) {
  await world.publish(`demo/${name}`, '1.0.0', { 'diagnostic.json': JSON.stringify({ ...limits, ...more }), run: { bytes: `#!/bin/sh\n${script}\n`, mode: 0o755 } }, '--kind', 'diagnostic');
}
const appStatus = () => JSON.parse(readFileSync(path.join(world.folder, 'app.json'), 'utf8'));

before(async () => {
  if (skip) return;
  world = await World.open();
  device = await world.device('cam-1', { settings: { 'app.command': `${app} --status ${path.join(world.folder, 'app.json')}` } });
  await world.publish('demo/model', '1.0.0', { VERSION: '1.0.0\n', w: '1.0.0\n'.repeat(1000) });
  await world.release('demo/model', '1.0.0');
  await device.runs('model', '1.0.0');
  for (const [name, script] of Object.entries(images)) await image(name, script);
});
after(async () => { if (world) await world.close(); });

const create = (name, seconds, ...more) => world.json('campaign', 'create', '--image', `demo/${name}@1.0.0`, '--device', 'cam-1', '--duration', `${seconds}s`, ...more);
const show = (id) => world.json('run', 'show', String(id));
const assignment = async (id) => (await show(id)).assignments[0];
const inState = (id, states, ms = 40000) => until(`${states}`, async () => { const a = await assignment(id); return states.includes(a.state) && a; }, ms);
const ends = ['done', 'failed', 'skipped', 'cancelled'];

/** When this process began, Unix milliseconds, by the kernel's word. */
function beganAt(pid) {
  const ticks = Number(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ')[19]);
  const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
  return Date.now() - (uptime - ticks / 100) * 1000;
}
/** Processes of the uid that this device's images run as. */
function ofTheImage() {
  const uid = readFileSync(path.join(device.state, 'keeper/uid'), 'utf8');
  return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid)).filter((pid) => {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      return new RegExp(`^Uid:\t${uid}\t`, 'm').test(status) && !/^State:\tZ/m.test(status); // a zombie waits for init alone
    } catch { return false; }
  });
}
/** The app is back and evaluates, nothing of the image is left on this machine. */
async function isBack(a) {
  assert.equal(a.reverted?.proof?.equal, true, JSON.stringify(a));
  assert.equal(a.reverted.proof.leftovers, 0);
  assert.equal(a.reverted.proof.before, a.reverted.proof.after);
  assert.ok(a.reverted.proof.revert_ms <= (GRACE + 1) * 1000, `reverted in ${a.reverted.proof.revert_ms} ms`);
  const now = appStatus();
  await until('the app evaluates', async () => appStatus().evaluations !== now.evaluations);
  // By our own clock too; the deadline is told in whole seconds.
  const late = beganAt(appStatus().pid) - Date.parse(a.ends_at);
  assert.ok(late <= (GRACE + 2) * 1000, `the app began ${late} ms after the deadline`);
  assert.deepEqual(ofTheImage(), []);
  assert.doesNotMatch(readFileSync(`/proc/${device.keeper()}/mountinfo`, 'utf8'), new RegExp(`${device.state}|locum-out`));
  assert.equal(appStatus().version, '1.0.0');
  assert.equal(appStatus().failures, 0);
  assert.doesNotMatch(readFileSync('/proc/self/mountinfo', 'utf8'), new RegExp(world.folder));
  const shown = await until('the device is free again', async () => { const d = await device.show(); return d.image === null && d; });
  assert.equal(shown.running.model.version, '1.0.0');
}
async function captured(id) {
  const to = path.join(world.folder, 'captures', String(id));
  const result = await world.locum('capture', 'download', String(id), '--to', (await world.file(`captures/${id}/.keep`, '')).replace(/\/\.keep$/, ''));
  return { code: result.code, files: await readdir(path.join(to, 'cam-1')).catch(() => []), read: (name) => readFile(path.join(to, 'cam-1', name), 'utf8'), stderr: result.stderr };
}

test('an image that ends by itself: the app is back at once and all that was collected arrives', { skip }, async () => {
  const created = await create('ends', 30);
  assert.ok(created.id > 0 && created.run === 1 && created.url.startsWith('http'));
  const a = await inState(created.id, ends);
  assert.equal(a.state, 'done', JSON.stringify(a));
  await isBack(a);
  assert.equal(a.capture.state, 'complete');
  const capture = await captured(created.id);
  assert.equal(capture.code, 0, capture.stderr);
  assert.deepEqual(capture.files.sort(), ['counters.csv', 'run.log']);
  assert.equal(await capture.read('counters.csv'), 'time,a [x]\n1,2\n');
  assert.equal((await show(created.id)).state, 'completed');
});

for (const name of ['hangs', 'stubborn', 'forks', 'fills']) {
  test(`an image that ${name === 'stubborn' ? 'ignores SIGTERM' : name} is ended at its deadline`, { skip }, async () => {
    const created = await create(name, 3);
    const running = await inState(created.id, ['running', 'reverting', 'uploading', ...ends]);
    if (running.state === 'running') {
      const shown = await device.show();
      if (shown.image) assert.equal(shown.image.image, name);
    }
    const a = await inState(created.id, ends);
    assert.equal(a.state, 'done', JSON.stringify(a));
    await isBack(a);
    const capture = await captured(created.id);
    assert.match(await capture.read('run.log'), /began/);
    if (name === 'fills') assert.ok(['complete', 'partial'].includes(a.capture.state));
  });
}

test('an image that eats memory is ended within its limit', { skip }, async () => {
  const created = await create('eats', 5);
  const a = await inState(created.id, ends);
  await isBack(a);
});

test('an image sees only its own rights: other uid, no capabilities, nothing to write but its output, links are not followed', { skip }, async () => {
  const created = await create('looks', 10);
  const a = await inState(created.id, ends);
  await isBack(a);
  const capture = await captured(created.id);
  const log = await capture.read('run.log');
  assert.doesNotMatch(log.split('\n')[0], /^0$/);
  assert.match(log, /CapEff:\s+0000000000000000/);
  assert.doesNotMatch(log, /root:[*!$]/);
  assert.ok(!capture.files.includes('link'));
});

test('the agent is killed during the run: the image ends in time, and a stand-in tells and uploads', { skip }, async () => {
  const created = await create('hangs', 4);
  await inState(created.id, ['running']);
  device.agent.kill('SIGKILL');
  const a = await inState(created.id, ends);
  assert.equal(a.state, 'done', JSON.stringify(a));
  await isBack(a);
  assert.match(await (await captured(created.id)).read('run.log'), /began/);
  await device.start(); // gives way to this one
  await until('the new agent is primary', async () => !device.agent.exit && device.pids('run').includes(device.agent.pid));
});

test('the runner is killed during the run: the app is back and the capture says why there is none', { skip }, async () => {
  const created = await create('hangs', 20);
  await inState(created.id, ['running']);
  const began = Date.now();
  process.kill(device.keeper(), 'SIGKILL');
  const gone = appStatus();
  await until('the app is back', async () => appStatus().pid !== gone.pid, 10000);
  assert.ok(beganAt(appStatus().pid) - began <= (GRACE + 1) * 1000, `${beganAt(appStatus().pid) - began} ms`);
  const a = await inState(created.id, ends);
  assert.equal(a.capture.state, 'none');
  assert.ok(a.capture.reason, JSON.stringify(a));
  await isBack(a);
});

test('the console is gone during the run and after it: the device reverts on time and uploads when it is back', { skip }, async () => {
  const created = await create('hangs', 4);
  await inState(created.id, ['running']);
  const before = appStatus();
  world.console.kill('SIGKILL');
  await world.console.ended;
  await until('the app is back without the console', async () => appStatus().evaluations !== before.evaluations, (4 + GRACE + 6) * 1000);
  await world.serve();
  const a = await inState(created.id, ends, 90000);
  assert.equal(a.state, 'done', JSON.stringify(a));
  await isBack(a);
  assert.match(await (await captured(created.id)).read('run.log'), /began/);
});

test('a campaign that is ended while its image runs reverts the device at once', { skip }, async () => {
  const created = await create('hangs', 50);
  await inState(created.id, ['running']);
  await world.json('campaign', 'end', String(created.id));
  const a = await inState(created.id, ends, 20000);
  assert.equal(a.state, 'cancelled', JSON.stringify(a));
  await isBack(a);
  assert.equal(a.reverted.proof.end, 'cancelled');
});

test('several agents on one machine run images at the same time, each under a uid of its own', { skip }, async () => {
  await world.device('cam-2', { settings: { 'app.command': `${app} --status ${path.join(world.folder, 'app-2.json')}` } });
  await until('it runs', async () => (await world.json('device', 'show', 'cam-2')).running.model?.version === '1.0.0');
  const created = await world.json('campaign', 'create', '--image', 'demo/hangs@1.0.0', '--filter', 'product:demo connectivity:online', '--duration', '4s');
  const run = await until('it is over', async () => { const r = await show(created.id); return r.state === 'completed' && r; }, 60000);
  assert.equal(run.assignments.length, 2);
  for (const a of run.assignments) {
    assert.equal(a.state, 'done', JSON.stringify(a));
    assert.equal(a.reverted.proof.leftovers, 0);
    assert.equal(a.reverted.proof.equal, true);
  }
});

test('--wait prints the run; a device that does not exist is a sentence; a duration over the signed limit is refused', { skip }, async () => {
  const waited = await world.json('campaign', 'create', '--image', 'demo/ends@1.0.0', '--device', 'cam-1', '--duration', '5s', '--wait');
  assert.equal(waited.state, 'completed');
  assert.equal(waited.assignments[0].reverted.proof.equal, true);
  const nobody = await world.locum('campaign', 'create', '--image', 'demo/ends@1.0.0', '--device', 'nobody', '--duration', '5s');
  assert.ok([2, 3].includes(nobody.code), nobody.stderr);
  assert.match(nobody.stderr, /nobody/);
  const long = await world.locum('campaign', 'create', '--image', 'demo/ends@1.0.0', '--device', 'cam-1', '--duration', '2h');
  assert.equal(long.code, 2);
  assert.match(long.stderr, /60|max_runtime/);
});
