// Updates that move few bytes: deltas from what the device has, packed objects, nothing for what it has already. A real console, a
// real agent, and between them, where a test needs it, a server that cuts and lies.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { World, until, path, build } from './lib/locum.mjs';
import { Evil } from './lib/evil.mjs';
import { Hand } from './lib/hand.mjs';

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
  const whole = two.length + 2 * '1.1.0\n'.length;
  assert.deepEqual((await told(device, 'swap')).filter((one) => one.includes(`${bytes} bytes fetched instead of ${whole})`)).length, 1);
  assert.equal(await metric('locum_deltas_served_total'), served + 1);
  assert.ok(await metric('locum_delta_saved_bytes_total') > 31 * MiB);
  assert.deepEqual((await readdir(path.join(device.state, 'objects'))).filter((name) => /\.(part|place)$/.test(name)), [], 'parts and notes are left');
});

/** How far the one object on its way has come, by its note. */
const place = async (device) => {
  const folder = path.join(device.state, 'objects'), name = (await readdir(folder)).find((one) => one.endsWith('.place'));
  return name && JSON.parse(readFileSync(path.join(folder, name), 'utf8'));
};
/** The first answer ends in the middle; the second stays open without an end in its middle; from then on they are whole. */
const cutTwice = (told) => (answer, from, to) => {
  const half = answer.body.subarray(0, answer.body.length >> 1);
  told.answers = (told.answers ?? 0) + 1;
  if (told.answers > 2) return answer;
  to.writeHead(answer.status, answer.headers);
  if (told.answers === 1) to.write(half, () => to.destroy());
  else to.write(half, () => { told.hangs = true; });
  return null;
};
async function killedWhileItHangs(device, told, out) {
  await until('the second answer hangs', () => told.hangs && device.evil.asked.length === 2);
  await until('the agent has noted how far it came', async () => (await place(device))?.out > out);
  device.agent.kill('SIGKILL');
  await device.agent.ended;
  await device.start();
}

test('a delta that is cut goes on where it was, also after a kill -9 of the agent', async () => {
  const device = await behindEvil('cut'), { evil } = device;
  const one = randomBytes(8 * MiB), two = edited(one, 0.3);
  await update(device, 'cut/model', '1.0.0', { 'model.bin': one });
  await world.publish('cut/model', '1.1.0', { 'model.bin': two });
  await quiet();
  const seen = {};
  evil.rules.push(watch(evil, /^\/deltas\//, cutTwice(seen)));
  await world.release('cut/model', '1.1.0');
  await killedWhileItHangs(device, seen, MiB);
  await device.runs('model', '1.1.0');
  assert.equal(sha(await readFile(device.current('model/model.bin'))), sha(two));
  const [first, second, third] = evil.asked;
  assert.equal(first.range, undefined);
  assert.match(second.range, /^bytes=\d{6,}-$/);
  assert.match(third.range, /^bytes=\d{6,}-$/);
  assert.equal(evil.asked.length, 3);
  assert.deepEqual(await told(device, 'delta'), []);
});

test('a damaged delta costs only the whole object, and both are told; the console looks at its own', async () => {
  const device = await behindEvil('lies'), { evil } = device;
  const one = randomBytes(2 * MiB), two = edited(one, 0.05);
  await update(device, 'lies/model', '1.0.0', { 'model.bin': one });
  await world.publish('lies/model', '1.1.0', { 'model.bin': two });
  await quiet();
  evil.rules.push(watch(evil, /^\/deltas\//, (answer) => { answer.body[answer.body.length - 100] ^= 1; return answer; }), watch(evil, /^\/objects\//));
  await world.release('lies/model', '1.1.0');
  await device.runs('model', '1.1.0');
  assert.equal(sha(await readFile(device.current('model/model.bin'))), sha(two));
  assert.deepEqual(evil.asked.map(({ url, status }) => [url.split('/')[1], status]), [['deltas', 200], ['objects', 200]]);
  const [text] = await until('it is told', async () => { const all = await told(device, 'delta'); return all.length && all; });
  assert.match(text, /^the delta of model 1\.1\.0, model\.bin, was no good and the whole was taken: ./);
  const bytes = await moved(device, 2);
  assert.ok(bytes > two.length && bytes < 1.2 * two.length, `${bytes} bytes moved`);
  await until('the console has looked at it', async () => await metric('locum_deltas_doubted_total') > 0 && await metric('locum_deltas_waiting') === 0);
  assert.equal(await metric('locum_deltas_damaged_total'), 0, 'the console\'s own was good');
});

test('what a device has already moves no byte: renamed, moved, in another asset', async () => {
  const device = await world.device('same', { product: 'same' });
  const a = randomBytes(MiB), b = randomBytes(MiB);
  await update(device, 'same/model', '1.0.0', { 'a.bin': a, 'b.bin': b });
  await update(device, 'same/model', '1.1.0', { 'b.bin': a, 'deep/er/c.bin': b });
  assert.ok(await moved(device, 2) < 2000, 'renamed and moved');
  await update(device, 'same/other', '1.0.0', { 'copy.bin': { bytes: a, mode: 0o755 } });
  assert.ok(await moved(device, 3) < 2000, 'in another asset, as a program');
  assert.equal(sha(await readFile(device.current('other/copy.bin'))), sha(a));
});

test('a file that was renamed and changed comes from what it was, also out of another asset', async () => {
  const device = await world.device('renamed', { product: 'renamed' });
  const one = randomBytes(4 * MiB), other = randomBytes(4 * MiB), two = edited(one), three = edited(one);
  await update(device, 'renamed/model', '1.0.0', { 'old-name.bin': one, 'other.bin': other });
  await world.publish('renamed/model', '1.1.0', { 'new-name.bin': two, 'other.bin': other });
  await quiet();
  await world.release('renamed/model', '1.1.0');
  await device.runs('model', '1.1.0');
  assert.ok(await moved(device, 2) < 0.02 * two.length, `${await moved(device, 2)} bytes moved`);
  await update(device, 'renamed/second', '1.0.0', { 'new-name.bin': three });
  assert.ok(await moved(device, 3) < 0.04 * three.length, `${await moved(device, 3)} bytes moved`);
});

test('an unrelated file comes as it is, at no more than its size', async () => {
  const device = await world.device('unlike', { product: 'unlike' });
  await update(device, 'unlike/model', '1.0.0', { 'model.bin': randomBytes(8 * MiB) });
  const two = randomBytes(8 * MiB);
  await world.publish('unlike/model', '1.1.0', { 'model.bin': two });
  await quiet();
  await world.release('unlike/model', '1.1.0');
  await device.runs('model', '1.1.0');
  const bytes = await moved(device, 2), manifest = 400, question = 200;
  assert.ok(bytes <= 1.0001 * two.length + manifest + question, `${bytes} bytes moved`);
});

test('what compresses comes packed, cut or killed; packed bytes that are damaged cost only the whole object', async () => {
  const device = await behindEvil('packed'), { evil } = device;
  const text = Buffer.from(Array.from({ length: 240000 }, () => Math.random().toString(36).slice(2, 6)).join(' from the same few letters again and again\n'));
  const seen = {}, cut = cutTwice(seen);
  let damage = false;
  evil.rules.push(watch(evil, /^\/objects\//, (answer, from, to) => {
    if (damage && answer.headers['content-encoding']) answer.body[answer.body.length >> 1] ^= 1;
    return cut(answer, from, to);
  }));
  await world.publish('packed/words', '1.0.0', { 'words.txt': text });
  await quiet();
  await world.release('packed/words', '1.0.0');
  await killedWhileItHangs(device, seen, 2 * MiB);
  await device.runs('words', '1.0.0');
  assert.equal(sha(await readFile(device.current('words/words.txt'))), sha(text));
  assert.match(evil.asked[1].range, /^bytes=\d{6,}-$/);
  assert.match(evil.asked[2].range, /^bytes=\d{6,}-$/);
  assert.equal(evil.asked.length, 3);
  assert.ok(await moved(device, 1) < 0.8 * text.length, `${await moved(device, 1)} of ${text.length} bytes moved`);

  damage = true;
  const more = Buffer.from(text.toString().replaceAll('letters', 'numbers').split('\n').reverse().join('\n'));
  await world.publish('packed/more', '1.0.0', { 'different.txt': more });
  await quiet();
  await world.release('packed/more', '1.0.0');
  await device.runs('more', '1.0.0');
  assert.equal(sha(await readFile(device.current('more/different.txt'))), sha(more));
  assert.match((await until('it is told', async () => (await told(device, 'delta'))[0])), /^the packed object of more 1\.0\.0, different\.txt, was no good/);
});

test('a console of before deltas sends whole objects', async () => {
  const device = await behindEvil('plain'), { evil } = device;
  evil.rules.push(watch(evil, /^\/device\/deltas$/, (answer) => ({ ...answer, status: 404, body: Buffer.from('{}') })), watch(evil, /^\/(deltas|objects)\//));
  const one = randomBytes(MiB);
  await update(device, 'plain/model', '1.0.0', { 'model.bin': one, 'second.bin': edited(one) });
  evil.asked.length = 0;
  await update(device, 'plain/model', '1.1.0', { 'model.bin': edited(one), 'second.bin': edited(one) });
  assert.deepEqual(evil.asked.map(({ url }) => url.split('/')[1]), ['device', 'objects', 'objects'], 'asked once, then no more');
});

test('a device asks within bounds, and deltas are served as objects are', async () => {
  const device = new Hand(world);
  await device.enrol((await world.json('device', 'claim', '--product', 'asks')).code, { name: 'asks' });
  await device.open();
  const ask = (body, more) => device.call('POST', '/device/deltas', body, more);
  const get = (url, headers, more) => device.call('GET', url, undefined, { headers, ...more });
  const one = randomBytes(MiB), two = edited(one), hashes = [sha(one), sha(two)];
  await world.publish('asks/model', '1.0.0', { 'model.bin': one });
  await world.publish('asks/model', '1.1.0', { 'model.bin': two });
  for (const [body, status] of [[{ new: 'x', old: [] }, 400], [{ new: hashes[1], old: Array(9).fill(hashes[0]) }, 400], [{ new: hashes[1], old: [1] }, 400],
    [{ new: hashes[1], old: [hashes[0]], more: 1 }, 400], [{ new: sha('nothing'), old: [hashes[0]] }, 404]]) assert.equal((await ask(body)).status, status, JSON.stringify(body));
  assert.equal((await ask({ new: hashes[1], old: [hashes[0]] }, { token: 'nobody' })).status, 401);
  const choice = await until('the delta is made', async () => {
    const answer = await ask({ new: hashes[1], old: [sha('not here'), hashes[0], hashes[1]] });
    if (answer.status === 202) assert.ok(Number(answer.headers['retry-after']) >= 1);
    return answer.status === 200 && answer.json;
  });
  assert.deepEqual({ ...choice, length: 0 }, { old: hashes[0], length: 0, whole: two.length, encoding: null });
  assert.ok(choice.length < 0.02 * two.length);
  const where = `/deltas/${hashes[0]}/${hashes[1]}`, whole = await get(where);
  assert.equal(whole.body.length, choice.length);
  assert.equal(whole.headers['cache-control'], 'public, max-age=86400');
  assert.equal(whole.headers.etag, `"${sha(whole.body)}"`);
  const part = await get(where, { range: 'bytes=100-199', 'if-range': whole.headers.etag });
  assert.equal(part.status, 206);
  assert.deepEqual(part.body, whole.body.subarray(100, 200));
  assert.equal((await get(where, { range: 'bytes=100-199', 'if-range': '"another"' })).status, 200);
  assert.equal((await get(where, {}, { token: 'nobody' })).status, 401);
  assert.equal((await get(`/deltas/${hashes[1]}/${hashes[0]}`)).status, 404);
  assert.equal((await fetch(`${world.url}${where}`)).status, 401);
  assert.equal((await fetch(`${world.url}${where}`, { headers: { authorization: `Bearer ${world.token}` } })).status, 200);
});

test('without a quota whole objects travel, and what was kept is gone', async () => {
  const device = await world.device('quota', { product: 'quota' });
  const one = randomBytes(MiB);
  await update(device, 'quota/model', '1.0.0', { 'model.bin': one });
  await world.console.stop();
  assert.ok((await readdir(path.join(world.data, 'deltas/pairs'))).length > 0);
  await world.serve(['--delta-quota', '0']);
  assert.deepEqual(await readdir(path.join(world.data, 'deltas/pairs')), []);
  await update(device, 'quota/model', '1.1.0', { 'model.bin': edited(one) });
  assert.ok(await moved(device, 2) > MiB);
  assert.equal(await metric('locum_delta_store_bytes'), 0);
});
