// What needs a person: captures that never came whole, captures that fill what they may, a campaign that its withdrawn image holds, alarms. The devices are
// keys without an agent.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { World, until } from './lib/locum.mjs';
import { Hand, sha256 } from './lib/hand.mjs';

const MIB = 1 << 20, HOUR = 3600;
const limits = { entry: ['./run'], mode: 'replace', max_runtime_s: 60, grace_s: 1, max_output: 4 * MIB, max_memory: 64 * MIB, max_pids: 8, collect: [], network: 'none' };
let world;

before(async () => {
  world = await World.open({ serve: ['--capture-quota', String(2 * MIB)] });
  await world.publish('demo/look', '1.0.0', { 'diagnostic.json': JSON.stringify(limits), run: { bytes: '#!/bin/sh\n', mode: 0o755 } }, '--kind', 'diagnostic');
});
after(async () => { await world.close(); });

const needs = async (kind) => (await world.api('GET', '/summary')).needs_person.filter((one) => one.kind === kind);
async function device(name) {
  const hand = new Hand(world);
  const { code } = await world.json('device', 'claim', '--product', 'demo');
  assert.equal((await hand.enrol(code, { name })).status, 200);
  assert.equal((await hand.open()).status, 200);
  return hand;
}
/** The console ends and is there again, so much later by its own clock. */
async function later(seconds) {
  await world.console.stop();
  await world.serve([], { LOCUM_CLOCK_SHIFT_S: String(seconds) });
}

test('what a device collected and never sent whole needs a person, and so does storage before it is full', async () => {
  const hand = await device('cam-1');
  const { id } = await world.json('campaign', 'create', '--image', 'demo/look@1.0.0', '--device', 'cam-1', '--duration', '5s');
  await until('the order', async () => { await hand.checkin(); return hand.order?.runs.length; });
  const run = hand.order.runs[0].id, bytes = Buffer.alloc(1.9 * MIB, 'x');
  await hand.report({ type: 'assignment', run, state: 'running', ends_at: new Date(Date.now() + 5000).toISOString().replace(/\.\d+/, '') });
  await hand.report({ type: 'assignment', run, state: 'uploading', proof: hand.proof(run) });
  const list = { files: [{ path: 'run.log', length: bytes.length, sha256: sha256(bytes), type: 'log' }], omitted: [], complete: true };
  assert.deepEqual(await needs('storage'), []);
  assert.equal((await hand.call('POST', `/device/captures/${run}`, list)).status, 200);
  assert.equal((await hand.call('PATCH', `/device/captures/${run}/0?offset=0`, bytes.subarray(0, 1000))).status, 200);
  assert.deepEqual((await needs('storage')).map(({ text, link }) => [text, link]), [['captures take 1 of the 2 MiB that they may', '/captures']]);
  assert.deepEqual(await needs('failed_capture'), []);
  await later(2 * HOUR);
  const [one] = await until('the upload has failed', async () => { const list = await needs('failed_capture'); return list.length && list; });
  assert.equal(one.text, `1 device did not send all that look 1.0.0 of campaign ${id}, run 1, collected`);
  assert.equal(one.link, `/campaigns/${id}/runs/1?tab=matrix`);
  await later(30 * HOUR);
  assert.deepEqual(await needs('failed_capture'), [], 'it is of yesterday');
});

test('a campaign that its withdrawn image holds needs a person', async () => {
  await device('cam-2');
  const { id } = await world.json('campaign', 'create', '--image', 'demo/look@1.0.0', '--device', 'cam-2', '--duration', '5s', '--repeat', 'daily', '--window', '02:00-03:00');
  await world.json('asset', 'withdraw', 'demo/look', '1.0.0', '--reason', 'it sees ghosts');
  await later(60 * HOUR);
  const [held] = await until('it is held', async () => { const list = await needs('held_campaign'); return list.length && list; });
  assert.equal(held.link, `/campaigns/${id}`);
  assert.match(held.text, /is held: .*withdrawn/);
});

test('each alarm needs a person, and is told to a web hook once', async () => {
  await world.publish('demo/look', '1.1.0', { 'diagnostic.json': JSON.stringify(limits), run: { bytes: '#!/bin/sh\n', mode: 0o755 } }, '--kind', 'diagnostic');
  await world.json('hook', 'create', 'pager', '--to', 'http://127.0.0.1:1/', '--event', 'alarm');
  const ends_at = new Date(Date.now() + 60 * HOUR * 1000 + 5000).toISOString().replace(/\.\d+/, '');
  const hands = {};
  for (const name of ['liar', 'quiet']) {
    const hand = (hands[name] = await device(name));
    await world.json('campaign', 'create', '--image', 'demo/look@1.1.0', '--device', name, '--duration', '5s');
    await until('the order', async () => { await hand.checkin(); return hand.order?.runs.length; });
    assert.equal((await hand.report({ type: 'assignment', run: hand.order.runs[0].id, state: 'running', ends_at })).status, 200);
  }
  const run = hands.liar.order.runs[0].id;
  await hands.liar.report({ type: 'assignment', run, state: 'uploading', proof: hands.liar.proof(run, { equal: false, after: sha256('another') }) });
  const told = async () => (await world.json('hook', 'log', 'pager')).map(({ event, body }) => [event, JSON.parse(body).device, JSON.parse(body).alarm]).reverse();
  const wanted = [['alarm', 'liar', 'revert_failed']];
  assert.deepEqual(await told(), wanted);
  for (const [seconds, alarm] of [[120, 'overdue'], [1200, 'lost']]) {
    await later(60 * HOUR + seconds);
    const [one] = await until(`quiet is ${alarm}`, async () => { const list = await needs(alarm); return list.length && list; });
    assert.match(one.text, /^quiet has not returned/);
    wanted.push(['alarm', 'quiet', alarm]);
    assert.deepEqual(await told(), wanted);
  }
  assert.match((await needs('revert_failed'))[0].text, /^liar did not return as it was/);
});
