// The device's side of agent/PROTOCOL.md spoken by hand: what a real agent never does, and what the console must answer to it.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { verify, createPublicKey, randomBytes } from 'node:crypto';
import { World, until } from './lib/locum.mjs';
import { Hand, canonical, sha256 } from './lib/hand.mjs';

let world;
const claim = (...more) => world.json('device', 'claim', '--product', 'demo', ...more);
const show = (name) => world.json('device', 'show', name);
async function device(name) {
  const hand = new Hand(world);
  const made = await hand.enrol((await claim()).code, { name });
  assert.equal(made.status, 200, made.text);
  assert.equal((await hand.open()).status, 200);
  return hand;
}
const limits = { entry: ['./run'], mode: 'replace', max_runtime_s: 60, grace_s: 1, max_output: 1 << 16, max_memory: 64 << 20, max_pids: 8, collect: [], network: 'none' };
const campaign = (...more) => world.json('campaign', 'create', '--image', 'demo/look@1.0.0', '--duration', '5s', ...more);
const run = (id) => world.json('run', 'show', String(id));

before(async () => {
  world = await World.open();
  await world.publish('demo/model', '1.0.0', { w: 'one' });
  await world.publish('demo/model', '1.1.0', { w: 'two' });
  await world.publish('demo/look', '1.0.0', { 'diagnostic.json': JSON.stringify(limits), run: { bytes: '#!/bin/sh\n', mode: 0o755 } }, '--kind', 'diagnostic');
});
after(async () => { if (world) await world.close(); });

test('a claim code enrols one device, the same device again, and nobody else', async () => {
  const { code } = await claim();
  const hand = new Hand(world), other = new Hand(world);
  const wrong = await hand.enrol('a'.repeat(26));
  assert.equal(wrong.status, 403);
  assert.match(wrong.json.error.message, /claim code/);
  assert.equal((await hand.enrol(code, { proof: '0'.repeat(128) })).status, 403);
  const first = await hand.enrol(code, { name: 'hand-1' });
  assert.deepEqual([first.status, first.json.device, first.json.product, first.json.admission], [200, 'hand-1', 'demo', 'accepted']);
  assert.equal(first.json.key_id, hand.keyId);
  assert.deepEqual((await hand.enrol(code, { name: 'hand-1' })).json, first.json);
  assert.equal((await other.enrol(code)).status, 403);
  const taken = await other.enrol((await claim()).code, { name: 'hand-1' });
  assert.equal(taken.status, 409);
  assert.match(taken.json.error.message, /hand-1/);
  assert.equal((await hand.enrol((await claim()).code)).status, 409);
  const made = await other.enrol((await claim('--hardware', 'rev-a')).code);
  assert.match(made.json.device, /^device-[a-z2-7]{6}$/);
  assert.equal(made.json.hardware, 'rev-a');
  assert.equal((await show('hand-1')).connectivity, 'never_seen');
});

test('a session needs the key, a fresh nonce and a counter that rises', async () => {
  const hand = await device('hand-2');
  assert.equal((await hand.call('POST', '/device/checkin', hand.said, { token: 'x' })).status, 401);
  assert.equal((await hand.call('POST', '/device/checkin', hand.said, { token: `${hand.token.split('.')[0]}.${'0'.repeat(64)}` })).status, 401);
  const again = await hand.call('POST', '/device/session', hand.last, { token: null });
  assert.equal(again.status, 200, 'a lost answer may be asked for again');
  assert.equal((await hand.call('POST', '/device/session', { ...hand.last, counter: 99 }, { token: null })).status, 403);
  assert.equal((await hand.call('POST', '/device/session', { ...hand.last, nonce: '0'.repeat(64) }, { token: null })).status, 403);
  assert.equal((await new Hand(world).open()).status, 404);
  assert.equal((await show('hand-2')).clone_suspected, false);
  const forked = await hand.open(1);
  assert.equal(forked.status, 200);
  assert.equal((await show('hand-2')).clone_suspected, true);
  await world.release('demo/model', '1.0.0');
  const answer = await hand.checkin();
  assert.deepEqual([answer.json.clone_suspected, answer.json.order], [true, null]);
  await world.json('device', 'accept', 'hand-2');
  assert.equal((await hand.checkin()).json.order.signed.set[0].version, '1.0.0');
});

test('an order names the released set, is signed by the director, and comes once', async () => {
  const hand = await device('hand-3');
  await world.release('demo/model', '1.0.0');
  const answer = await hand.checkin();
  const { order } = answer.json;
  assert.deepEqual(order.signed.set, [{ asset: 'model', version: '1.0.0' }]);
  assert.equal(order.signed.device, hand.keyId);
  assert.ok(order.signed.seq >= Math.floor(Date.now() / 1000) - 5);
  assert.ok(Date.parse(order.signed.expires) - Date.parse(order.signed.issued) === 7 * 86400e3);
  const targets = (await hand.call('GET', '/metadata/timestamp.json')).json;
  const snapshot = (await hand.call('GET', `/metadata/${targets.signed.meta['snapshot.json'].version}.snapshot.json`)).json;
  const top = (await hand.call('GET', `/metadata/${snapshot.signed.meta['targets.json'].version}.targets.json`)).json;
  const director = top.signed.delegations.keys[order.signatures[0].keyid];
  assert.ok(top.signed.delegations.roles.find(({ name, keyids }) => name === 'director' && keyids.includes(order.signatures[0].keyid)));
  const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), Buffer.from(director.keyval.public, 'hex')]);
  assert.ok(verify(null, Buffer.from(canonical(order.signed)), createPublicKey({ key: der, format: 'der', type: 'spki' }), Buffer.from(order.signatures[0].sig, 'hex')));
  assert.equal((await hand.checkin()).json.order, null);
  const { seq } = hand.order;
  await world.release('demo/model', '1.0.0');
  assert.equal((await hand.checkin()).json.order, null, 'the same wish is no new order');
  await world.release('demo/model', '1.1.0');
  await hand.checkin();
  assert.ok(hand.order.seq > seq);
  assert.equal(hand.order.set[0].version, '1.1.0');
});

test('a check-in that breaks the rules is refused with the member and changes nothing', async () => {
  const hand = await device('hand-4');
  const model = { version: '1.0.0', sha256: sha256('m'), state: 'idle', result: 1 };
  assert.equal((await hand.checkin({ assets: { model } })).status, 200);
  for (const [bad, word] of [[{ boot_id: '../x' }, 'boot_id'], [{ generation: -1 }, 'generation'], [{ more: 1 }, 'more'], [{ assets: { '../x': model } }, 'asset'],
    [{ assets: { model: { ...model, result: 12 } } }, 'result'], [{ assets: { model: { ...model, state: 'mad' } } }, 'state'], [{ facts: { a: 1 } }, 'facts'],
    [{ facts: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`f${i}`, ''])) }, 'facts'], [{ waiting: 'x'.repeat(501) }, 'waiting']]) {
    const answer = await hand.call('POST', '/device/checkin', { ...hand.said, ...bad });
    assert.equal(answer.status, 400, JSON.stringify(bad));
    assert.match(answer.json.error.message, new RegExp(word));
  }
  assert.equal((await hand.call('POST', '/device/checkin', '{'.repeat(70000))).status, 413);
  const shown = await show('hand-4');
  assert.deepEqual(shown.running.model, model);
  assert.deepEqual(shown.facts, { agent: 'hand' });
  assert.equal(shown.connectivity, 'online');
});

test('a rejected device gets 403 with the reason; a pending one checks in without orders', async () => {
  const hand = new Hand(world);
  assert.equal((await hand.enrol((await claim('--review')).code, { name: 'hand-5' })).json.admission, 'pending');
  await hand.open();
  assert.deepEqual([(await hand.checkin()).json.order, (await hand.checkin()).json.admission], [null, 'pending']);
  await world.json('device', 'accept', 'hand-5');
  assert.ok((await hand.checkin()).json.order);
  await world.json('device', 'reject', 'hand-5');
  assert.equal((await hand.checkin()).status, 401);
  const refused = await hand.open();
  assert.equal(refused.status, 403);
  assert.match(refused.json.error.message, /rejected/);
});

test('a run goes from offered to done, its capture resumes, and its proof is verified', async () => {
  const hand = await device('hand-6');
  await hand.checkin();
  const { id, url } = await campaign('--device', 'hand-6');
  assert.match(url, new RegExp(`/campaigns/${id}/runs/1$`));
  await hand.checkin();
  const [ordered] = hand.order.runs;
  assert.deepEqual([ordered.campaign, ordered.run, ordered.image, ordered.version, ordered.mode, ordered.duration_s, ordered.max_output], [id, 1, 'look', '1.0.0', 'replace', 5, 1 << 16]);
  let [a] = (await run(id)).assignments;
  assert.deepEqual([a.device, a.state], ['hand-6', 'offered']);
  const ends = new Date(Date.now() + 5000).toISOString().replace(/\.\d+/, '');
  await hand.report({ type: 'assignment', run: ordered.id, state: 'downloading' }, { type: 'assignment', run: ordered.id, state: 'running', ends_at: ends });
  await hand.checkin({ image: { run: ordered.id, campaign: id, image: 'look', version: '1.0.0', state: 'running', started_at: ends, ends_at: ends } });
  assert.deepEqual((await show('hand-6')).image, { campaign: id, run: 1, image: 'look', version: '1.0.0', state: 'running', ends_at: ends });
  assert.deepEqual((await world.json('device', 'list', '--filter', 'image:look')).map(({ name }) => name), ['hand-6']);
  const proof = hand.proof(ordered.id);
  const report = { id: 'ab'.repeat(16), type: 'assignment', run: ordered.id, state: 'uploading', proof };
  assert.deepEqual((await hand.report(report)).json.accepted, [report.id]);
  assert.deepEqual((await hand.report(report)).json.accepted, [report.id], 'a repeated report is accepted and changes nothing');
  await hand.report({ type: 'assignment', run: ordered.id, state: 'running', ends_at: ends });
  assert.equal((await show('hand-6')).image, null);
  const bytes = randomBytes(3000), empty = Buffer.alloc(0), at = `/device/captures/${ordered.id}`;
  const list = { files: [{ path: 'a/counters.csv', length: bytes.length, sha256: sha256(bytes), type: 'timeseries' }, { path: 'empty', length: 0, sha256: sha256(empty), type: 'binary' }], omitted: [], complete: true };
  assert.deepEqual((await hand.call('POST', at, list)).json, { files: [{ n: 0, held: 0, complete: false }, { n: 1, held: 0, complete: true }] });
  assert.deepEqual((await hand.call('PATCH', `${at}/0?offset=0`, bytes.subarray(0, 1000))).json, { held: 1000, complete: false });
  const elsewhere = await hand.call('PATCH', `${at}/0?offset=0`, bytes);
  assert.deepEqual([elsewhere.status, elsewhere.json.held], [409, 1000]);
  assert.equal((await hand.call('POST', at, list)).json.files[0].held, 1000);
  assert.equal((await hand.call('PATCH', `${at}/0?offset=1000`, Buffer.alloc(2001))).status, 400, 'more than was listed');
  assert.deepEqual((await hand.call('PATCH', `${at}/0?offset=${(await hand.call('POST', at, list)).json.files[0].held}`, Buffer.alloc(3000 - (await hand.call('POST', at, list)).json.files[0].held, 1))).json,
    { held: 0, complete: false }, 'a wrong hash starts the file again');
  assert.deepEqual((await hand.call('PATCH', `${at}/0?offset=0`, bytes)).json, { held: 3000, complete: true });
  await hand.report({ type: 'assignment', run: ordered.id, state: 'done', capture: 'complete' });
  const over = await run(id);
  [a] = over.assignments;
  assert.deepEqual([over.state, a.state, a.reverted.verified, a.capture.state, a.capture.length], ['completed', 'done', true, 'complete', 3000]);
  assert.deepEqual(a.reverted.proof, proof);
  const [capture] = await world.api('GET', `/captures?campaign=${id}`);
  assert.deepEqual((await world.api('GET', `/captures/${capture.id}`)).files.map(({ path }) => path), ['a/counters.csv', 'empty']);
  const got = await fetch(`${world.url}/api/v1/captures/${capture.id}/files/0`, { headers: { authorization: `Bearer ${world.token}` } });
  assert.equal(got.headers.get('content-security-policy'), 'sandbox');
  assert.deepEqual(Buffer.from(await got.arrayBuffer()), bytes);
  await hand.checkin();
  assert.deepEqual(hand.order.runs, []);
  assert.equal((await world.api('GET', `/campaigns/${id}`)).state, 'ended');
});

test('a capture over the image\'s signed output, with a path outside, or of another device\'s run is refused', async () => {
  const hand = await device('hand-7'), other = await device('hand-8');
  const { id } = await campaign('--device', 'hand-7');
  await hand.checkin();
  const at = `/device/captures/${hand.order.runs[0].id}`;
  await hand.report({ type: 'assignment', run: hand.order.runs[0].id, state: 'running' });
  const file = (more) => ({ files: [{ path: 'x', length: 10, sha256: sha256('x'), type: 'log', ...more }] });
  assert.equal((await hand.call('POST', at, file({ length: (1 << 16) + 1 }))).status, 413);
  for (const path of ['../x', '/etc/x', 'a/../x', '.git/x', 'a\u0001']) assert.equal((await hand.call('POST', at, file({ path }))).status, 400, path);
  assert.equal((await hand.call('POST', at, file({ type: 'html' }))).status, 400);
  assert.equal((await other.call('POST', at, file({}))).status, 404);
  assert.equal((await other.call('PATCH', `${at}/0?offset=0`, Buffer.alloc(1))).status, 404);
  await other.report({ type: 'assignment', run: hand.order.runs[0].id, state: 'done' });
  assert.equal((await run(id)).assignments[0].state, 'running', 'another device says nothing about it');
  await hand.report({ type: 'assignment', run: hand.order.runs[0].id, state: 'uploading', proof: { ...hand.proof(hand.order.runs[0].id), leftovers: 1 } });
  const [a] = (await run(id)).assignments;
  assert.deepEqual([a.reverted.verified, a.alarm], [false, 'revert_failed']);
  await until('the device has its alarm', async () => (await show('hand-7')).overdue);
  await hand.report({ type: 'assignment', run: hand.order.runs[0].id, state: 'failed', capture: 'none', capture_reason: 'power_lost', reason: { code: 'power_lost', text: 'the power was lost' } });
  const [b] = (await run(id)).assignments;
  assert.deepEqual([b.state, b.reason.code, b.capture.state, b.capture.reason], ['failed', 'power_lost', 'none', 'power_lost']);
});

test('a campaign that is ended cancels what has not begun and asks back what runs', async () => {
  const hand = await device('hand-9'), away = await device('hand-10');
  await hand.checkin();
  const { id } = await campaign('--device', 'hand-9', '--device', 'hand-10');
  await hand.checkin();
  const [ordered] = hand.order.runs;
  await hand.report({ type: 'assignment', run: ordered.id, state: 'running' });
  await world.api('POST', `/campaigns/${id}/end`, {});
  const states = async () => Object.fromEntries((await run(id)).assignments.map((a) => [a.device, a.state]));
  assert.deepEqual(await states(), { 'hand-9': 'cancelling', 'hand-10': 'cancelled' });
  await hand.checkin();
  assert.deepEqual(hand.order.runs, []);
  await hand.report({ type: 'assignment', run: ordered.id, state: 'reverting' }, { type: 'assignment', run: ordered.id, state: 'uploading', proof: hand.proof(ordered.id) },
    { type: 'assignment', run: ordered.id, state: 'cancelled', capture: 'none', capture_reason: 'cancelled' });
  assert.deepEqual(await states(), { 'hand-9': 'cancelled', 'hand-10': 'cancelled' });
  assert.equal((await run(id)).state, 'aborted');
  await away.checkin();
  assert.deepEqual(away.order.runs, []);
});

test('only as many devices as --parallel says have a place, the next one when one is back', async () => {
  const hands = [await device('par-1'), await device('par-2')];
  for (const hand of hands) await hand.checkin();
  const { id } = await campaign('--filter', 'name~par-', '--parallel', '1');
  for (const hand of hands) await hand.checkin();
  assert.deepEqual((await run(id)).assignments.map(({ state }) => state), ['offered', 'queued']);
  const first = hands[0].order.runs[0].id;
  await hands[0].report({ type: 'assignment', run: first, state: 'running' }, { type: 'assignment', run: first, state: 'uploading', proof: hands[0].proof(first) });
  await hands[1].checkin();
  assert.deepEqual((await run(id)).assignments.map(({ state }) => state), ['uploading', 'offered']);
});

test('a campaign at a later time is sent ahead and keeps its second', async () => {
  const hand = await device('later');
  const at = new Date(Math.floor(Date.now() / 1000) * 1000 + 3600e3);
  const { id } = await campaign('--device', 'later', '--at', at.toISOString().replace(/\.\d+/, ''));
  await hand.checkin();
  assert.equal(hand.order.runs[0].start_after, at / 1000);
  const shown = await run(id);
  assert.deepEqual([shown.state, shown.assignments[0].state], ['scheduled', 'scheduled_on_device']);
  assert.equal((await world.api('GET', `/campaigns/${id}`)).state, 'scheduled');
});

test('what cannot be a campaign is refused in a sentence', async () => {
  for (const [more, word] of [[['--device', 'nobody'], 'nobody'], [['--filter', 'name:nobody'], 'no device'], [['--filter', 'seen:5m'], 'seen'], [['--filter', '(name:x'], 'character 1'],
    [['--device', 'hand-1', '--at', '2020-01-01T00:00:00Z'], 'past'], [['--device', 'hand-1', '--param', 'x=1'], 'x'], [['--device', 'hand-1', '--expect-count', '2'], '1 device']]) {
    const refused = await world.locum('campaign', 'create', '--image', 'demo/look@1.0.0', '--duration', '5s', ...more);
    assert.notEqual(refused.code, 0, more.join(' '));
    assert.match(refused.stderr, new RegExp(word), more.join(' '));
  }
  const long = await world.locum('campaign', 'create', '--image', 'demo/look', '--duration', '61s', '--device', 'hand-1');
  assert.match(long.stderr, /60/);
  const model = await world.locum('campaign', 'create', '--image', 'demo/model', '--duration', '5s', '--device', 'hand-1');
  assert.match(model.stderr, /no diagnostic image/);
});

test('what a device said survives an orderly stop, the order it was given survives a kill', async () => {
  const hand = await device('kept');
  await hand.checkin({ assets: { model: { version: '1.0.0', sha256: sha256('m'), state: 'idle', result: 1 } } });
  await world.console.stop();
  await world.serve();
  assert.equal((await hand.checkin()).status, 401, 'sessions are in memory: a new one is opened');
  assert.equal((await hand.open()).status, 200);
  const shown = await show('kept');
  assert.deepEqual([shown.running.model.version, shown.clone_suspected, shown.connectivity], ['1.0.0', false, 'online']);
  await world.release('demo/model', '1.0.0');
  await world.release('demo/model', '1.1.0');
  await hand.checkin();
  const { seq } = hand.order;
  world.console.kill('SIGKILL');
  await world.console.ended;
  await world.serve();
  assert.equal((await hand.open()).status, 200);
  assert.equal((await show('kept')).order_seq, seq);
  assert.equal((await hand.checkin({ order_seq: seq })).json.order, null);
  await hand.checkin({ order_seq: 0 });
  assert.equal(hand.order.seq, seq, 'the same order again for a device that lost it');
});
