// Devices held at a version, development devices, why a device gets what it gets, and sets that fit: a real console and real agents.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { World, until, readFile, path } from './lib/locum.mjs';

let world;
before(async () => { world = await World.open(); });
after(async () => { await world.close(); });

const publish = (asset, version, ...more) => world.publish(asset, version, { 'v.txt': `${version}\n` }, ...more);
/** The entry of one asset in `locum device why`. */
const why = async (device, asset) => (await world.json('device', 'why', device.name)).find((one) => one.asset === asset);
/** The device has taken its newest order: what it was told counts, and nothing else is on its way. */
const isCalm = async (device) => {
  const { order_seq: seq } = JSON.parse(await readFile(path.join(device.state, 'status.json'), 'utf8'));
  const shown = await device.show();
  return seq === shown.order_seq && Object.values(shown.running).every((one) => one.state === 'idle') && shown;
};

test('a pinned device takes its version at once, no release moves it, and unpinned it falls back to the release', async () => {
  const device = await world.device('held', { product: 'held' });
  for (const version of ['1.0.0', '1.1.0', '1.2.0']) await publish('held/model', version);
  await world.release('held/model', '1.0.0');
  await device.runs('model', '1.0.0');
  const pinned = await world.json('device', 'pin', 'held', 'held/model', '1.1.0', '--reason', 'a customer waits');
  assert.deepEqual(pinned.pins.map(({ asset, version, when, by, reason }) => ({ asset, version, when, by, reason })),
    [{ asset: 'model', version: '1.1.0', when: 'now', by: 'admin', reason: 'a customer waits' }]);
  await device.runs('model', '1.1.0');
  const before = (await device.show()).order_seq;
  await world.release('held/model', '1.2.0');
  const other = await world.device('free', { product: 'held' });
  await other.runs('model', '1.2.0');
  const shown = await until('it is calm', () => isCalm(device));
  assert.equal(shown.timezone, shown.facts.timezone);
  assert.ok(shown.timezone);
  assert.equal(shown.safe_mode, null);
  assert.equal(shown.running.model.version, '1.1.0');
  assert.equal(shown.order_seq, before, 'a release made no new order for it');
  const because = await why(device, 'model');
  assert.equal(because.source, 'pin');
  assert.equal(because.waits, null);
  assert.deepEqual(because.candidates.map(({ source, version, wins }) => ({ source, version, wins })),
    [{ source: 'pin', version: '1.1.0', wins: true }, { source: 'product', version: '1.2.0', wins: false }]);
  await world.json('device', 'unpin', 'held', 'held/model');
  await device.runs('model', '1.2.0');
  assert.equal((await why(device, 'model')).source, 'product');
  const audit = (await world.api('GET', '/audit')).filter((row) => row.object === 'held').map((row) => row.action);
  assert.ok(audit.includes('pin') && audit.includes('unpin'), audit.join(' '));
  const timeline = await world.api('GET', '/devices/held/timeline');
  assert.ok(timeline.some((line) => line.what === 'pin' && /a customer waits/.test(line.text)));
  assert.equal((await world.locum('device', 'unpin', 'held', 'held/model')).code, 3, 'it is not pinned any more');
});

test('a pin for the next start is fetched ahead and taken up when the agent starts', async () => {
  const device = await world.device('later', { product: 'later' });
  await publish('later/model', '1.0.0');
  await publish('later/model', '1.1.0');
  await world.release('later/model', '1.0.0');
  await device.runs('model', '1.0.0');
  await world.json('device', 'pin', 'later', 'later/model', '1.1.0', '--on-reset');
  const shown = await until('it is downloaded', async () => {
    const now = await device.show();
    return now.running.model.state === 'downloaded' && now;
  });
  assert.equal(shown.running.model.version, '1.0.0', 'not before its next start');
  assert.match((await why(device, 'model')).waits, /starts/);
  await device.stop();
  await device.start();
  await device.runs('model', '1.1.0');
});

test('what cannot be pinned is refused in a sentence: offline, withdrawn, diagnostic, other hardware, below the counter, another product', async () => {
  const device = await world.device('sound', { product: 'sound', enrol: ['--hardware', 'rev-a'] });
  await publish('sound/model', '1.0.0', '--counter', '1');
  await publish('sound/model', '1.1.0', '--counter', '2');
  await publish('sound/model', '1.2.0', '--counter', '2');
  await publish('sound/model', '1.3.0', '--counter', '2', '--hardware', 'rev-b');
  await world.release('sound/model', '1.1.0');
  await device.runs('model', '1.1.0');
  await world.json('asset', 'withdraw', 'sound/model', '1.2.0', '--reason', 'it hums');
  for (const [version, code, words] of [['1.0.0', 5, /counter 1 .* 1\.1\.0 with 2/], ['1.2.0', 5, /withdrawn/], ['1.3.0', 5, /hardware .*rev-a/], ['9.9.9', 3, /9\.9\.9/]]) {
    const refused = await world.locum('device', 'pin', 'sound', 'sound/model', version);
    assert.equal(refused.code, code, refused.stderr);
    assert.match(refused.stderr, words);
  }
  assert.equal((await world.locum('device', 'pin', 'sound', 'held/model', '1.0.0')).code, 5);
  await world.publish('sound/probe', '1.0.0', { run: { bytes: '#!/bin/sh\n', mode: 0o755 },
    'diagnostic.json': JSON.stringify({ entry: ['./run'], mode: 'replace', max_runtime_s: 60 }) }, '--kind', 'diagnostic');
  const image = await world.locum('device', 'pin', 'sound', 'sound/probe', '1.0.0');
  assert.notEqual(image.code, 0);
  assert.match(image.stderr, /campaign/);
  assert.deepEqual((await device.show()).pins, []);
  await device.stop();
  await until('it is not online', async () => (await device.show()).connectivity !== 'online');
  const offline = await world.locum('device', 'pin', 'sound', 'sound/model', '1.1.0');
  assert.equal(offline.code, 5);
  assert.match(offline.stderr, /not online/);
  assert.match(offline.stderr, /--on-reset/);
  await world.json('device', 'pin', 'sound', 'sound/model', '1.1.0', '--on-reset');
});

test('a development device keeps what it has, takes pins, and follows releases again when it is none any more', async () => {
  const device = await world.device('bench', { product: 'bench' });
  for (const version of ['1.0.0', '1.1.0', '1.2.0']) await publish('bench/model', version);
  await world.release('bench/model', '1.0.0');
  await device.runs('model', '1.0.0');
  assert.equal((await world.json('device', 'develop', 'bench')).development, true);
  await world.release('bench/model', '1.1.0');
  const other = await world.device('line', { product: 'bench' });
  await other.runs('model', '1.1.0');
  assert.equal((await until('it is calm', () => isCalm(device))).running.model.version, '1.0.0');
  assert.equal((await why(device, 'model')).source, 'development');
  await world.json('device', 'pin', 'bench', 'bench/model', '1.2.0');
  await device.runs('model', '1.2.0');
  await world.json('device', 'unpin', 'bench', 'bench/model');
  await device.runs('model', '1.0.0');
  await world.json('device', 'develop', 'bench', '--off');
  await device.runs('model', '1.1.0');
});

test('what requires a version that is not there waits, and goes with it as soon as it is released; the console may restart between', async () => {
  const device = await world.device('chain', { product: 'chain' });
  await publish('chain/runtime', '1.0.0');
  await publish('chain/runtime', '2.0.0');
  await publish('chain/model', '1.0.0', '--requires', 'runtime=^1.0.0');
  const published = await publish('chain/model', '2.0.0', '--requires', 'runtime=>=2.0.0 <3.0.0');
  assert.deepEqual(published.requires, { runtime: '>=2.0.0 <3.0.0' });
  await world.release('chain/runtime', '1.0.0');
  await world.release('chain/model', '1.0.0');
  await device.runs('model', '1.0.0');
  await world.release('chain/model', '2.0.0');
  const because = await why(device, 'model');
  assert.match(because.waits, /2\.0\.0 waits: model 2\.0\.0 requires runtime >=2\.0\.0 <3\.0\.0/);
  assert.equal(because.wanted, '1.0.0');
  await world.console.stop();
  await world.serve();
  assert.equal((await until('it is calm', () => isCalm(device))).running.model.version, '1.0.0');
  await world.release('chain/runtime', '2.0.0');
  await device.runs('model', '2.0.0');
  await device.runs('runtime', '2.0.0');
});

test('a required asset that nobody released is sent along', async () => {
  const device = await world.device('healed', { product: 'healed' });
  for (const version of ['1.0.0', '1.5.0', '1.6.0-rc.1', '2.0.0']) await publish('healed/runtime', version);
  await publish('healed/model', '1.0.0', '--requires', 'runtime=^1.2.0');
  await world.release('healed/model', '1.0.0');
  await device.runs('model', '1.0.0');
  const shown = await device.runs('runtime', '1.5.0');
  assert.deepEqual(shown.wanted, { model: '1.0.0', runtime: '1.5.0' });
  const because = await why(device, 'runtime');
  assert.equal(because.source, 'requires');
  assert.match(because.text, /model 1\.0\.0 requires runtime \^1\.2\.0/);
  const table = await world.locum('device', 'why', 'healed');
  assert.match(table.stdout, /runtime\t1\.5\.0\t1\.5\.0\trequires/);
});

test('ranges that are none, and versions that require themselves, are refused when they are published', async () => {
  const file = await world.file('x.txt', 'x\n');
  for (const [requires, words] of [['runtime=latest', /latest/], ['model=^1.0.0', /own asset/], ['runtime', /ASSET=RANGE/]]) {
    const refused = await world.locum('asset', 'publish', 'strict/model', '--version', '1.0.0', '--requires', requires, file);
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, words);
  }
});
