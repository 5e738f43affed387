// When and whether a device takes a version up: times of the order, what versions require, falling back, safe mode. A real agent and
// app; the console's orders are exchanged on their way for ones with the times that a test wants, signed with the console's key.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { truncate, chmod } from 'node:fs/promises';
import { World, until, run, path, build } from './lib/locum.mjs';
import { Evil, envelope, key } from './lib/evil.mjs';

const root = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '../..');
const program = path.join(build, 'test/flow/app');
let world;
const evils = [];

before(async () => { world = await World.open(); });
after(async () => {
  await world.close();
  for (const evil of evils) await evil.close();
});

const lines = (version) => ({ VERSION: `${version}\n`, 'weights.txt': `${version}\n`.repeat(500) });
const seconds = () => Math.floor(Date.now() / 1000);

/** A device of a product of its own whose orders the test writes. */
async function held(name, settings = {}, env = {}) {
  const evil = await Evil.open(world), honest = world.deviceUrl;
  evils.push(evil);
  world.deviceUrl = evil.url;
  const status = path.join(world.folder, `${name}.json`);
  const device = await world.device(name, { product: name, start: false, settings: { 'app.command': `${program} --status ${status}`, ...settings } })
    .finally(() => { world.deviceUrl = honest; });
  device.evil = evil;
  const start = device.start.bind(device);
  device.start = (more) => { evil.checkins.length = 0; return start(more); }; // what it said before is of another life
  device.app = () => JSON.parse(readFileSync(status, 'utf8'));
  evil.order = undefined;
  evil.gone = false;
  evil.rules = [[/checkin$/, async (from, to, forward) => {
    if (evil.gone) return to.destroy();
    const answer = await forward(), said = evil.checkins.at(-1);
    if (answer.status === 200) answer.body = JSON.stringify({ ...JSON.parse(answer.body), order: evil.wish?.signed.seq > said.order_seq ? evil.wish : null });
    return evil.answer(to, answer);
  }], [/./, async (from, to, forward) => (evil.gone ? to.destroy() : evil.answer(to, await forward()))]];
  const { key_id } = await device.show();
  const director = key(world.data, 'director');
  let seq = seconds();
  const time = (ahead) => new Date(Date.now() + ahead * 1000).toISOString().replace(/\.\d+/, '');
  /** The wish from now on: {asset: version | {version, window, …}}. */
  device.wish = (set) => {
    seq = Math.max(seq + 1, seconds());
    const entries = Object.keys(set).sort().map((asset) => ({ asset, ...(typeof set[asset] === 'string' ? { version: set[asset] } : set[asset]) }));
    evil.wish = envelope(director, { _type: 'order', device: key_id, expires: time(86400), issued: time(0), product: name, runs: [], seq, set: entries, spec: 1 });
    return seq;
  };
  /** The last check-in, once it says what the test waits for. */
  device.says = (what, question, deadlineMs = 60000) => until(`${name}: ${what}`, () => {
    const said = evil.checkins.at(-1);
    return said && said.order_seq >= (evil.wish?.signed.seq ?? 0) && question(said) && said;
  }, deadlineMs);
  device.has = (versions) => device.says(`runs ${JSON.stringify(versions)}`, (said) =>
    Object.entries(versions).every(([asset, version]) => said.assets[asset]?.version === version && said.assets[asset].state === 'idle'));
  await device.start(env);
  return device;
}

test('the device names its time zone', async () => {
  const device = await held('zoned', {}, { TZ: 'Europe/Berlin' });
  await device.says('its zone', () => device.evil.checkins.some((said) => said.facts?.timezone === 'Europe/Berlin'));
});

test('a version waits, fetched, for its window in the device\'s own time, and the others of the order do not wait for it', async () => {
  const two = (n) => String((n + 24) % 24).padStart(2, '0');
  const hour = new Date().getUTCHours(), window = `${two(hour + 6)}:00-${two(hour + 8)}:00`; // may span midnight
  const device = await held('window', {}, { TZ: 'UTC' });
  for (const asset of ['one', 'two']) for (const version of ['1.0.0', '1.1.0']) await world.publish(`window/${asset}`, version, lines(version));
  device.wish({ one: '1.0.0', two: '1.0.0' });
  await device.has({ one: '1.0.0', two: '1.0.0' });
  device.wish({ one: '1.1.0', two: { version: '1.1.0', window } });
  const said = await device.says('two waits, downloaded', ({ assets, waiting }) => assets.one.version === '1.1.0' && assets.two.state === 'downloaded' && /window/.test(waiting ?? ''));
  assert.equal(said.assets.two.version, '1.0.0');
  assert.equal(said.waiting, `two 1.1.0 waits for the window ${window} of the device's local time`);
  await device.stop();
  await device.start({ TZ: '<+06>-6' }); // six hours ahead: inside
  await device.has({ one: '1.1.0', two: '1.1.0' });
});

test('a version is not taken up before its time', async () => {
  const device = await held('later');
  for (const version of ['1.0.0', '1.1.0']) await world.publish('later/model', version, lines(version));
  device.wish({ model: '1.0.0' });
  await device.has({ model: '1.0.0' });
  const at = seconds() + 5;
  device.wish({ model: { version: '1.1.0', apply_after: at } });
  await device.says('it waits', ({ waiting }) => /^model 1\.1\.0 waits until /.test(waiting ?? ''));
  await device.has({ model: '1.1.0' });
  assert.ok(seconds() >= at, `${at - seconds()} s too early`);
});

test('a version for the next start waits for one in order: an agent that its keeper brings back is none', async () => {
  const device = await held('reset');
  for (const version of ['1.0.0', '1.1.0']) await world.publish('reset/model', version, lines(version));
  device.wish({ model: '1.0.0' });
  await device.has({ model: '1.0.0' });
  device.wish({ model: { version: '1.1.0', on_start: true } });
  await device.says('it waits', ({ assets, waiting }) => assets.model.state === 'downloaded' && /next start/.test(waiting ?? ''));
  device.evil.checkins.length = 0;
  device.agent.kill();
  await until('the keeper brings an agent back', () => device.evil.checkins.some((said) => said.facts));
  device.wish({ model: { version: '1.1.0', on_start: true } }); // said again is not begun again
  const said = await device.says('it still waits', ({ waiting }) => /next start/.test(waiting ?? ''));
  assert.equal(said.assets.model.version, '1.0.0');
  await device.start();
  await device.has({ model: '1.1.0' });
});

test('a download keeps to its rate', async () => {
  const device = await held('slow');
  await world.publish('slow/model', '1.0.0', lines('1.0.0'));
  await world.publish('slow/model', '1.1.0', { ...lines('1.1.0'), 'big.bin': randomBytes(360000) });
  device.wish({ model: '1.0.0' });
  await device.has({ model: '1.0.0' });
  const began = Date.now();
  device.wish({ model: { version: '1.1.0', rate: 100000 } });
  await device.has({ model: '1.1.0' });
  assert.ok(Date.now() - began > 2500, `360 kB at 100 kB/s took ${Date.now() - began} ms`);
});

test('a set whose versions do not fit together is refused whole, with both named', async () => {
  const device = await held('fits');
  for (const version of ['1.0.0', '2.0.0']) await world.publish('fits/runtime', version, lines(version));
  await world.publish('fits/other', '1.0.0', lines('1.0.0'));
  await world.publish('fits/model', '1.0.0', lines('1.0.0'));
  await world.publish('fits/model', '2.0.0', lines('2.0.0'), '--requires', 'runtime=>=2.0.0 <3.0.0');
  device.wish({ model: '1.0.0', runtime: '1.0.0' });
  await device.has({ model: '1.0.0', runtime: '1.0.0' });
  device.wish({ model: '2.0.0', other: '1.0.0', runtime: '1.0.0' });
  const said = await device.says('the refusal', ({ assets }) => assets.model.result === 6 && assets.model.reason);
  assert.equal(said.assets.model.reason, 'model 2.0.0 requires runtime >=2.0.0 <3.0.0, and this set has 1.0.0');
  assert.equal(said.assets.model.version, '1.0.0');
  assert.equal(said.assets.other.version, null, 'half of it was taken');
  device.wish({ model: '2.0.0', runtime: '2.0.0' });
  await device.has({ model: '2.0.0', runtime: '2.0.0' });
});

test('it goes back on purpose, down to the security counter and no further', async () => {
  const device = await held('down');
  for (const version of ['1.0.0', '1.1.0']) await world.publish('down/model', version, lines(version));
  await world.publish('down/model', '2.0.0', lines('2.0.0'), '--counter', '5');
  for (const version of ['1.1.0', '1.0.0', '2.0.0']) {
    device.wish({ model: version });
    await device.has({ model: version });
  }
  device.wish({ model: '1.1.0' });
  const said = await device.says('the refusal', ({ assets }) => assets.model.result === 6 && /does not go back/.test(assets.model.reason ?? ''));
  assert.equal(said.assets.model.version, '2.0.0');
});

/** Cuts a file of an installed version short: the object shares its bytes. */
async function damage(device, version, name = 'weights.txt') {
  const file = path.join(device.state, 'versions/model', version, name);
  await chmod(file, 0o644);
  await truncate(file, 3);
}

test('damaged files: the set before runs without the console; then the version comes anew; without any set the app waits in safe mode', async () => {
  const device = await held('damaged');
  for (const version of ['1.0.0', '1.1.0']) await world.publish('damaged/model', version, lines(version));
  for (const version of ['1.0.0', '1.1.0']) {
    device.wish({ model: version });
    await device.has({ model: version });
  }
  await device.stop();
  await damage(device, '1.1.0');
  device.evil.gone = true;
  await device.start();
  await until('the app runs the version before', () => device.app().version === '1.0.0');
  device.evil.gone = false;
  await device.has({ model: '1.1.0' });
  assert.ok(device.evil.reports.some((report) => report.type === 'swap' && report.result === 8 && /damaged/.test(report.reason)), 'falling back is reported');

  await device.stop();
  await damage(device, '1.1.0');
  await damage(device, '1.0.0');
  device.evil.gone = true;
  await device.start();
  const safe = await until('safe mode', async () => { const now = await device.status(); return now.safe && now; });
  assert.match(safe.safe, /a file of model 1\.1\.0 is damaged or missing/);
  assert.notEqual(safe.app?.state, 'running');
  const { pid } = device.app();
  device.evil.gone = false;
  await device.has({ model: '1.1.0' });
  await until('the app runs again', () => device.app().pid !== pid && device.app().version === '1.1.0');
  assert.ok(!(await device.status()).safe);
});

test('an app that cannot start with its set gets the one before; with none, the device stays reachable and heals with the next version', async () => {
  const flag = path.join(world.folder, 'flag'), status = path.join(world.folder, 'unstartable.json');
  const script = await world.file('start.sh', `#!/bin/sh
[ -e ${flag}.all ] && exit 7
[ -e ${flag} ] && [ "$(cat $LOCUM_ASSETS/model/VERSION)" = 1.1.0 ] && exit 7
exec ${program} --status ${status}\n`, 0o755);
  const device = await held('unstartable', { 'app.command': script });
  for (const version of ['1.0.0', '1.1.0', '1.2.0']) await world.publish('unstartable/model', version, lines(version));
  for (const version of ['1.0.0', '1.1.0']) {
    device.wish({ model: version });
    await device.has({ model: version });
  }
  await until('the app runs 1.1.0', () => device.app().version === '1.1.0');
  writeFileSync(flag, '');
  process.kill(device.app().pid, 'SIGKILL');
  const said = await device.says('the version before', ({ assets }) => assets.model.version === '1.0.0' && assets.model.result === 8);
  assert.match(said.assets.model.reason, /the app ended 5 times in a row/);
  await until('the app runs 1.0.0', () => device.app().version === '1.0.0');

  writeFileSync(`${flag}.all`, '');
  process.kill(device.app().pid, 'SIGKILL');
  const safe = await until('safe mode', async () => { const now = await device.status(); return now.safe && now; });
  assert.match(safe.safe, /the app ended 5 times in a row/);
  await until('the console knows', async () => /the app ended 5 times/.test((await device.show()).safe_mode ?? ''));
  rmSync(`${flag}.all`);
  device.wish({ model: '1.2.0' });
  await device.has({ model: '1.2.0' });
  await until('the app runs without a hand', () => device.app().version === '1.2.0');
  await until('the console knows', async () => (await device.show()).safe_mode === null);
});

test('the version must be the one that was built into the binary; a product may ask that one is', async () => {
  const source = await world.file('marker/reader.c', `#include "${path.join(root, 'agent/include/locum_marker.h')}"
LOCUM_MARKER("marks", "reader", "1.2.3")
int main(void) { return 0; }\n`);
  const binary = path.join(world.folder, 'marker/reader');
  const built = await run('gcc', ['-s', '-Wl,--gc-sections', '-o', binary, source]);
  assert.equal(built.code, 0, built.stderr);
  const publish = (version, file, ...more) => world.locum('asset', 'publish', 'marks/reader', '--version', version, '--kind', 'app', ...more, file);
  const wrong = await publish('1.2.4', binary);
  assert.equal(wrong.code, 2, wrong.stderr);
  assert.match(wrong.stderr, /the binary says that it is marks\/reader 1\.2\.3, not marks\/reader 1\.2\.4/);
  assert.equal((await publish('1.2.3', binary)).code, 0);
  const script = await world.file('marker/reader.sh', '#!/bin/sh\n', 0o755);
  assert.equal((await publish('1.3.0', script)).code, 0);
  await world.json('product', 'set', 'marks', 'markers=required');
  const none = await publish('1.4.0', script);
  assert.equal(none.code, 2, none.stderr);
  assert.match(none.stderr, /no file carries a marker/);
  const { versions } = await world.json('asset', 'show', 'marks/reader');
  assert.deepEqual(versions.map(({ version, marker }) => [version, marker]), [['1.3.0', 'unmarked'], ['1.2.3', 'marked']]);
});
