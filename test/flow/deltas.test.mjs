// Updates that move few bytes: deltas from what the device has, packed objects, nothing for what it has already. A real console, a
// real agent, and between them, where a test needs it, a server that cuts and lies.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { World, until, path, build } from './lib/locum.mjs';
import { Evil } from './lib/evil.mjs';

const program = path.join(build, 'test/flow/app');
const MiB = 1 << 20;
let world;
const evils = [];

before(async () => { world = await World.open(); });
after(async () => {
  await world.close();
  for (const evil of evils) await evil.close();
});

const sha = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** One percent of it, in blocks of 4 KiB. */
function edited(bytes, share = 0.01) {
  const copy = Buffer.from(bytes), blocks = Math.max(1, Math.round(bytes.length * share / 4096));
  for (let i = 0; i < blocks; i++) randomBytes(4096).copy(copy, Math.floor((bytes.length - 4096) / blocks * i));
  return copy;
}

/** A device of a product of its own behind a server that a test can bend: `evil.rules`. */
async function behindEvil(name, settings = {}) {
  const evil = await Evil.open(world), honest = world.deviceUrl;
  evils.push(evil);
  evil.order = undefined;
  evil.asked = [];
  world.deviceUrl = evil.url;
  const device = await world.device(name, { product: name, settings }).finally(() => { world.deviceUrl = honest; });
  device.evil = evil;
  return device;
}
/** Counts what a device asks of a path, and answers as the console does unless `bend` says otherwise. */
const watch = (evil, pattern, bend = (answer) => answer) => [pattern, async (from, to, forward) => {
  const answer = await bend(await forward(), from, to);
  evil.asked.push({ url: from.url, method: from.method, range: from.headers.range, status: answer?.status, size: answer?.body.length });
  if (answer) evil.answer(to, answer);
}];
const told = async (device, what) => (await world.api('GET', `/devices/${device.name}/timeline`)).filter((step) => step.what === what).map(({ text }) => text);
/** Bytes over the wire of the last swap, by the device's own report. */
const moved = (device, generation) => until('the swap is reported', async () => {
  const text = (await told(device, 'swap')).find((one) => one.includes(`(generation ${generation},`));
  return text && Number(/(\d+) bytes fetched/.exec(text)[1]);
});
const metric = async (name) => Number(new RegExp(`^${name} (.*)$`, 'm').exec(await (await fetch(`${world.url}/metrics`)).text())[1]);
const quiet = () => until('all deltas are made', async () => await metric('locum_deltas_waiting') === 0, 60000);
async function update(device, asset, version, files) {
  await world.publish(asset, version, files);
  await world.release(asset, version);
  await device.runs(asset.split('/')[1], version);
}

test('a model of 32 MiB with one percent changed moves about that percent, while the app goes on', async () => {
  const status = path.join(world.folder, 'status.json'), app = () => JSON.parse(readFileSync(status, 'utf8'));
  const device = await world.device('few', { product: 'few', settings: { 'app.command': `${program} --status ${status}` } });
  const one = randomBytes(32 * MiB), two = edited(one);
  await update(device, 'few/model', '1.0.0', { VERSION: '1.0.0\n', 'weights.txt': '1.0.0\n', 'model.bin': one });
  await until('the app runs 1.0.0', () => app().version === '1.0.0');
  const { pid } = app();
  await world.publish('few/model', '1.1.0', { VERSION: '1.1.0\n', 'weights.txt': '1.1.0\n', 'model.bin': two });
  await quiet();
  const served = await metric('locum_deltas_served_total');
  await world.release('few/model', '1.1.0');
  await device.runs('model', '1.1.0');
  await until('the app runs 1.1.0', () => app().version === '1.1.0');
  assert.equal(app().pid, pid, 'the app was started anew');
  assert.equal(sha(await readFile(device.current('model/model.bin'))), sha(two));
  const bytes = await moved(device, 2);
  assert.ok(bytes < 0.0125 * two.length, `${bytes} bytes moved`);
  assert.equal(await metric('locum_deltas_served_total'), served + 1);
  assert.ok(await metric('locum_delta_saved_bytes_total') > 31 * MiB);
  assert.deepEqual((await readdir(path.join(device.state, 'objects'))).filter((name) => /\.(part|place)$/.test(name)), [], 'parts and notes are left');
});
