// A campaign with 2,000 simulated devices on the real device protocol, 50 at once, some failing, some silent, the console killed in the middle.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { World } from './lib/locum.mjs';
import { Crowd, never, pages, tally } from './lib/crowd.mjs';

const DEVICES = Number(process.env.LOCUM_CROWD ?? 2000); // 200 at least
const MINUTES = 60000;
const diagnostic = { entry: ['./run'], mode: 'replace', max_runtime_s: 60, grace_s: 1, max_output: 1 << 20, max_memory: 64 << 20, max_pids: 8, collect: ['proc'], network: 'none' };
const broken = new Set(), speechless = new Set();
let world, crowd;

before(async () => {
  world = await World.open();
  await world.publish('demo/look', '1.0.0', { 'diagnostic.json': JSON.stringify(diagnostic), run: { bytes: '#!/bin/sh\n', mode: 0o755 } }, '--kind', 'diagnostic');
  crowd = await Crowd.open(world, DEVICES, { idle: 5, ways: (name) => ({
    hears: (order) => !(speechless.has(name) && order.runs.length),
    runs: () => (broken.has(name) ? { code: 'unsupported', text: 'it has no such counter' } : 'done'),
  }) });
});
after(async () => {
  try { if (crowd) await crowd.close(); } finally { await world.close(); }
  assert.equal(crowd?.unanswered ?? 0, 0, 'requests that the console never answered');
});

const reached = (what, question, ms) => crowd.reached(what, question, ms);
const names = (list) => list.map(({ device }) => device);
const device = (name) => crowd.devices.find((one) => one.name === name);

test('a campaign to 2,000 devices, 50 at once, brings back everybody who began, the console killed in the middle', async () => {
  const every = (n, rest) => crowd.devices.filter((_, index) => index % n === rest).map(({ name }) => name);
  for (const name of [...every(100, 3), ...every(100, 33), ...every(100, 63)]) broken.add(name);
  for (const name of every(50, 9)) speechless.add(name);
  const { id } = await world.json('campaign', 'create', '--image', 'demo/look@1.0.0', '--filter', 'product:demo', '--duration', '1s', '--parallel', '50', '--device-deadline', '30s');
  let places = 0;
  const run = async () => {
    const [found] = (await world.api('GET', `/campaigns/${id}`)).runs;
    const taken = ['waiting', 'offered', 'scheduled_on_device', 'downloading', 'verifying', 'running', 'cancelling'].reduce((sum, state) => sum + (found.counts[state] ?? 0), 0);
    if (taken > 50) never(`${taken} have a place`);
    places = Math.max(places, taken);
    return found;
  };
  const all = (query = '') => pages(world, `/campaigns/${id}/runs/1/devices${query}`);
  const summed = () => reached('the counters of the run equal its rows', async () => {
    const was = (await run()).counts, list = await all(), is = (await run()).counts;
    assert.equal(list.length, DEVICES);
    assert.equal(new Set(names(list)).size, DEVICES);
    if (JSON.stringify(was) !== JSON.stringify(is)) return false;
    assert.deepEqual(is, tally(list));
    return list;
  }, MINUTES);
  await reached('a third is through', async () => (await run()).counts.done > DEVICES / 3);
  await world.console.stop('SIGKILL');
  const held = crowd.on;
  await world.serve();
  assert.ok(held > 0, 'nobody was on the image when the console was killed');
  await reached('the run is over', async () => { const found = await run(); return ['completed', 'aborted', 'expired'].includes(found.state) && found; });
  const list = await summed();
  assert.deepEqual(tally(list), { done: DEVICES - broken.size - speechless.size, failed: broken.size + speechless.size });
  for (const { device: name, state, reason, reverted, capture, alarm } of list) {
    assert.equal(alarm, null, name);
    if (broken.has(name)) assert.equal(reason.code, 'unsupported', name);
    else if (speechless.has(name)) assert.equal(reason.code, 'timed_out', name);
    else {
      assert.equal(state, 'done', name);
      assert.ok(reverted.verified && reverted.proof.equal && reverted.proof.leftovers === 0, name);
      assert.equal(capture.state, 'complete', name);
    }
    assert.equal(device(name).started, state === 'done' ? 1 : 0, `${name} began ${device(name).started} times`);
  }
  assert.ok(crowd.most <= 50, `${crowd.most} were on the image at the same time`);
  assert.equal(places, 50, 'places were left empty');
  assert.equal(crowd.on, 0);
  assert.equal((await world.api('GET', `/campaigns/${id}`)).state, 'ended');
  const images = await world.api('GET', '/images');
  assert.deepEqual(images.find(({ name }) => name === 'look').returns, { begun: DEVICES - broken.size - speechless.size, returned: DEVICES - broken.size - speechless.size, running: 0 });
});
