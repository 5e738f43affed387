// What bounds an image and what is shown to it: real agents with and without control groups, the host's network, signed rights, an app with a user of its own.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { readFileSync, readdirSync } from 'node:fs';
import { World, until, path, build, isRoot, run } from './lib/locum.mjs';

const app = path.join(build, 'test/flow/app');
const GRACE = 2;
const limits = { entry: ['./run'], mode: 'replace', max_runtime_s: 60, grace_s: GRACE, max_output: 1 << 20, max_memory: 64 << 20, max_pids: 32, collect: ['proc'], network: 'none',
  outputs: [{ path: 'run.log', type: 'log' }] };
const toLog = (script) => `exec > $LOCUM_OUTPUT/run.log 2>&1; ${script}`;
const CAP = { dac_read_search: 1n << 2n, net_raw: 1n << 13n };
const ends = ['done', 'failed', 'skipped', 'cancelled'];
const skip = isRoot ? false : 'diagnostic runs need root for their namespaces';
let world, plain, bare, lettered;

const statusFile = (name) => path.join(world.folder, 'status', `${name}.json`);
const appStatus = (name) => JSON.parse(readFileSync(statusFile(name), 'utf8'));
const fact = async (device, name) => (await until(`the fact ${name}`, async () => { const d = await device.show(); return d.facts?.[name] && d; })).facts[name];

async function image(name, script, more = {}) {
  await world.publish(`demo/${name}`, '1.0.0', { 'diagnostic.json': JSON.stringify({ ...limits, ...more }), run: { bytes: `#!/bin/sh\n${script}\n`, mode: 0o755 } }, '--kind', 'diagnostic');
}

/** Runs an image on a device to its end: its assignment. */
async function assigned(device, name, seconds, ...more) {
  const created = await world.json('campaign', 'create', '--image', `demo/${name}@1.0.0`, '--device', device.name, '--duration', `${seconds}s`, ...more);
  const show = async () => (await world.json('run', 'show', String(created.id))).assignments[0];
  return { id: created.id, ...await until(`${name} is over`, async () => { const a = await show(); return ends.includes(a.state) && a; }, 60000) };
}
/** The same, and the app is back in time with nothing left behind. */
async function ran(device, name, seconds, ...more) {
  const a = await assigned(device, name, seconds, ...more);
  const proof = a.reverted?.proof;
  assert.equal(proof?.equal, true, JSON.stringify(a));
  assert.equal(proof.leftovers, 0, JSON.stringify(a));
  assert.ok(proof.revert_ms <= (GRACE + 1) * 1000, `reverted in ${proof.revert_ms} ms`);
  const now = appStatus(device.name);
  await until('the app evaluates', async () => appStatus(device.name).evaluations > 0 && appStatus(device.name).evaluations !== now.evaluations);
  return a;
}
async function log(a) {
  const to = path.dirname(await world.file(`captures/${a.id}/.keep`, ''));
  const result = await world.locum('capture', 'download', String(a.id), '--to', to);
  assert.ok([0, 6].includes(result.code), `${result.stderr} ${JSON.stringify(a)}`); // 6: partial, as of an image that fills its disk
  return readFile(path.join(to, a.device, 'run.log'), 'utf8');
}
const interfaces = (text) => [...text.matchAll(/^\s*([^\s:|]+):/gm)].map((found) => found[1]).sort();
const effective = (text) => BigInt(`0x${/^CapEff:\s+([0-9a-f]+)$/m.exec(text)[1]}`);

async function device(name, settings = {}) {
  return world.device(name, { settings: { 'app.command': `${app} --status ${statusFile(name)}`, ...settings } });
}

before(async () => {
  if (skip) return;
  world = await World.open();
  await world.file('status/.keep', '');
  assert.equal((await run('chmod', ['1777', path.join(world.folder, 'status')])).code, 0);
  await world.publish('demo/model', '1.0.0', { VERSION: '1.0.0\n', w: '1.0.0\n'.repeat(1000) });
  await world.release('demo/model', '1.0.0');
  plain = await device('plain');
  bare = await device('bare', { 'diagnostic.limits': 'rlimits' });
  lettered = await device('lettered', { 'app.user': 'nobody', 'app.log': path.join(world.folder, 'status', 'lettered.log') });
  const open = await world.file('scopes/open.txt', 'for images\n');
  const closed = await world.file('scopes/closed.txt', 'for root alone\n', 0o600);
  const neighbour = await world.file('scopes/neighbour.txt', 'not named\n');
  await image('forks', 'echo began > $LOCUM_OUTPUT/run.log; f() { f | f & }; f; while :; do sleep 1; done');
  await image('fills', 'echo began > $LOCUM_OUTPUT/run.log; while :; do cat /dev/zero >> $LOCUM_OUTPUT/big 2>/dev/null; sleep 1; done');
  await image('eats', 'echo began > $LOCUM_OUTPUT/run.log; head -c 500m /dev/zero | tail -c 400m > /dev/null; echo "tail: $?" >> $LOCUM_OUTPUT/run.log');
  await image('host', toLog('cat /proc/net/dev'), { network: 'host' });
  await image('alone', toLog('cat /proc/net/dev'));
  const look = toLog(`grep ^Cap /proc/self/status; for f in ${open} ${closed} ${neighbour}; do cat $f || echo "no $f"; done`);
  for (const name of Object.keys(CAP)) await image(name.replaceAll('_', '-'), look, { capabilities: [name], collect: ['proc', `file:${open}`, `file:${closed}`] });
  await image('no-rights', look, { collect: ['proc', `file:${open}`, `file:${closed}`] });
  await image('params', toLog('echo "$LOCUM_PARAMS"'), { params: { rate: { type: 'integer', min: 1, max: 100, default: 5 } } });
  await image('reads-logs', toLog('id -u; ls $LOCUM_APP_LOGS; cat $LOCUM_APP_LOGS/app.log; echo x >> $LOCUM_APP_LOGS/app.log'), { collect: ['app-logs'] });
  await image('no-logs', toLog('echo "logs=$LOCUM_APP_LOGS"; ls /app-logs'), { collect: ['app-logs'] });
  for (const one of [plain, bare]) await one.runs('model', '1.0.0');
});
after(async () => { if (world) await world.close(); });

test('a device says what bounds its images: control groups where there are any, resource limits when its owner wants them', { skip }, async () => {
  assert.equal(await fact(bare, 'limits'), 'rlimits');
  const groups = /^\S+ \S+ \S+ \S+ \S+ rw.* - cgroup/m.test(readFileSync('/proc/self/mountinfo', 'utf8'));
  if (groups) assert.match(await fact(plain, 'limits'), /^cgroup v[12]$/);
});

for (const name of ['forks', 'fills']) {
  test(`with resource limits alone an image that ${name} is ended at its deadline`, { skip }, async () => {
    const a = await ran(bare, name, 3);
    assert.equal(a.state, 'done', JSON.stringify(a));
    assert.match(await log(a), /began/);
  });
}

test('with resource limits alone an image that eats memory is refused it, and goes on', { skip }, async () => {
  const a = await ran(bare, 'eats', 20);
  assert.equal(a.state, 'done', JSON.stringify(a));
  assert.equal(a.reverted.proof.end, 'exited');
  assert.match(await log(a), /memory exhausted[^]*|tail: [1-9]/);
  assert.doesNotMatch(await log(a), /tail: 0/);
});

test('an image that eats memory in a control group has failed for that, and its capture is kept', { skip }, async (t) => {
  if (await fact(plain, 'limits') === 'rlimits') return t.skip('this machine gives no control groups');
  const a = await ran(plain, 'eats', 20);
  assert.equal(a.state, 'failed', JSON.stringify(a));
  assert.equal(a.reason.code, 'out_of_memory');
  assert.match(a.reason.text, /more memory than its limits allow/);
  assert.match(await log(a), /began/);
});

test('network none shows an image the loopback alone, network host the interfaces of the device', { skip }, async () => {
  assert.deepEqual(interfaces(await log(await ran(plain, 'alone', 10))), ['lo']);
  const ours = interfaces(readFileSync('/proc/net/dev', 'utf8'));
  assert.ok(ours.length > 1, 'a machine with lo alone cannot tell the two');
  assert.deepEqual(interfaces(await log(await ran(plain, 'host', 10))), ours);
});

test('an image has the capabilities that were signed and no others, and reads the files that were named and no others', { skip }, async () => {
  for (const [name, bit] of [...Object.entries(CAP), ['no_rights', 0n]]) {
    const text = await log(await ran(plain, name.replaceAll('_', '-'), 10));
    assert.equal(effective(text), bit, `${name}: ${text}`);
    assert.match(text, new RegExp(`^CapBnd:\\s+${bit.toString(16).padStart(16, '0')}$`, 'm'));
    assert.match(text, /^for images$/m);
    assert.equal(/^for root alone$/m.test(text), name === 'dac_read_search', text);
    assert.match(text, /^no \S+neighbour.txt$/m);
    assert.doesNotMatch(text, /not named/);
  }
});

test('an app with a user of its own reads its assets, adopts, and cannot read the key of the device', { skip }, async () => {
  const nobody = Number((await run('id', ['-u', 'nobody'])).stdout);
  await lettered.runs('model', '1.0.0');
  const now = await until('the app adopted', async () => { const s = appStatus('lettered'); return s.version === '1.0.0' && s; });
  const uids = /^Uid:\s+(.*)$/m.exec(readFileSync(`/proc/${now.pid}/status`, 'utf8'))[1].split(/\s+/).map(Number);
  assert.deepEqual(uids, [nobody, nobody, nobody, nobody]);
  assert.equal(now.failures, 0);
  const as = (...words) => run('setpriv', ['--reuid', 'nobody', '--regid', String(nobody), '--clear-groups', ...words]);
  assert.equal((await as('cat', lettered.current('model', 'VERSION'))).stdout, '1.0.0\n');
  for (const hidden of ['identity/key.json', 'identity', 'keeper', 'metadata', 'outbox', 'keeper.sock'])
    assert.notEqual((await as('head', '-c', '1', path.join(lettered.state, hidden))).code, 0, hidden);
  assert.notEqual((await as('ls', lettered.state)).code, 0, 'the state folder cannot be listed');
  for (const name of readdirSync(path.join(lettered.state, 'identity')))
    assert.notEqual((await as('cat', path.join(lettered.state, 'identity', name))).code, 0, name);
});

test('an adopting app with a user of its own is back after a run and takes the next version', { skip }, async () => {
  await ran(lettered, 'alone', 10);
  const before = appStatus('lettered');
  await world.publish('demo/model', '1.1.0', { VERSION: '1.1.0\n', w: '1.1.0\n'.repeat(1000) });
  await world.release('demo/model', '1.1.0');
  await lettered.runs('model', '1.1.0');
  const now = await until('the app adopted', async () => { const s = appStatus('lettered'); return s.version === '1.1.0' && s; });
  assert.equal(now.pid, before.pid);
  assert.equal(now.failures + now.wrong, 0);
});

test('parameters reach the image: what was asked for, else their defaults', { skip }, async () => {
  assert.deepEqual(JSON.parse(await log(await ran(plain, 'params', 10, '--param', 'rate=42'))), { rate: 42 });
  assert.deepEqual(JSON.parse(await log(await ran(plain, 'params', 10))), { rate: 5 });
});

test('the log of the app is shown to an image as a copy, and is empty where the app has none', { skip }, async () => {
  const line = `said ${Date.now()} to the log\n`;
  const file = lettered.settings['app.log'];
  await run('sh', ['-c', `printf '%s' '${line}' >> ${file}`]);
  const text = await log(await ran(lettered, 'reads-logs', 10));
  assert.match(text, /^app\.log$/m);
  assert.ok(text.includes(line), text);
  assert.equal(await readFile(file, 'utf8'), line, 'the image wrote to its copy only, if at all');
  const none = await log(await ran(plain, 'no-logs', 10));
  assert.equal(none, 'logs=/app-logs\n');
});
