// Rollouts with 2,000 simulated devices on the real device protocol, the console killed in each state: counters equal their rows,
// nobody is ordered anything that was not decided, nobody is forgotten.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { World } from './lib/locum.mjs';
import { Crowd, never, pages, tally } from './lib/crowd.mjs';

const DEVICES = Number(process.env.LOCUM_CROWD ?? 2000); // 200 at least
const MINUTES = 60000;
const over = ['completed', 'aborted', 'rolled_back'];
let world, crowd;

// What devices do now; each test says it for itself.
const rejects = new Set(), deaf = new Set(), later = new Set();
const ways = (name) => ({
  adopts: (asset, version) => (rejects.has(`${name} ${version}`) ? `${version} does not please ${name}` : true),
  hears: () => (later.has(name) ? 'later' : !deaf.has(name)),
});

before(async () => {
  world = await World.open();
  for (const version of ['1.0.0', '2.0.0', '3.0.0', '4.0.0', '5.0.0']) await world.publish('demo/model', version, { weights: version }, '--kind', 'model');
  await world.release('demo/model', '1.0.0');
  crowd = await Crowd.open(world, DEVICES, { idle: 5, ways });
  await reached('all have said that they run 1.0.0', async () => (await world.api('GET', '/preview?filter=model:1.0.0')).count === DEVICES);
  // An orderly stop makes it durable: what was only said to a console that is then killed need not be known to the next one, and `from` is of that.
  await world.console.stop();
  await world.serve();
});
after(async () => {
  try { if (crowd) await crowd.close(); } finally { await world.close(); }
  assert.equal(crowd?.unanswered ?? 0, 0, 'requests that the console never answered');
});

const runs = (version) => (device) => device.said.assets.model?.version === version;
const show = (id) => world.api('GET', `/rollouts/${id}`);
const rows = (id, query = '') => pages(world, `/rollouts/${id}/devices${query}`);
const names = (list) => list.map(({ device }) => device);
const device = (name) => crowd.devices.find((one) => one.name === name);
const create = async (version, ...more) => (await world.json('rollout', 'create', 'demo/model', version, ...more)).id;
const rollout = (verb, id, ...more) => world.json('rollout', verb, String(id), ...more);

const reached = (what, question, ms) => crowd.reached(what, question, ms);

/** The rollout once it is in one of these states. */
const reaches = (id, states, and = () => true) => reached(`rollout ${id} is ${states}`, async () => {
  const found = await show(id);
  if ([...over, 'held'].includes(found.state) && !states.includes(found.state)) {
    const failed = found.counts.failed ? JSON.stringify(await world.api('GET', `/rollouts/${id}/failures`)) : '';
    never(`rollout ${id} is ${found.state}: ${JSON.stringify(found.reason)} ${JSON.stringify(found.counts)} the longest between two answers of one device: ${JSON.stringify(crowd.gap)} ${failed}`);
  }
  return states.includes(found.state) && and(found) && found;
});

/** Killed with no warning, then there again. */
async function kill() {
  await world.console.stop('SIGKILL');
  await world.serve();
}

/* The rows are read in pages while devices go on: counters and rows are compared of one moment, which is when the counters did not move meanwhile. */
const counted = (id) => reached(`the counters of rollout ${id} equal its rows`, async () => {
  const was = await show(id), list = await rows(id), is = await show(id);
  assert.equal(list.length, was.devices);
  assert.equal(new Set(names(list)).size, list.length, 'a device stands in it twice');
  if (JSON.stringify(was.counts) !== JSON.stringify(is.counts)) return false;
  const sums = {};
  for (const stage of is.stages) for (const [state, count] of Object.entries(stage.counts)) sums[state] = (sums[state] ?? 0) + count;
  assert.deepEqual(is.counts, tally(list));
  assert.deepEqual(is.counts, sums);
  for (const { number, counts, devices } of is.stages) {
    const members = list.filter(({ stage }) => stage === number);
    assert.deepEqual(counts, tally(members), `stage ${number}`);
    assert.equal(members.length, devices);
  }
  return list;
}, MINUTES);

/* Where devices stand, to be compared with later: what each runs, and what it had been told. */
const standing = () => new Map(crowd.devices.map((one) => [one.name, { said: structuredClone({ assets: one.said.assets, set: one.said.set }), orders: one.orders.length, told: one.told.model.length }]));
/** What a device was told since, version by version. */
const toldSince = (before, name) => device(name).told.model.slice(before.get(name).told);
/** No order said again what the one before it said, but for those whom one passed by that was taken back before they asked. */
function saidOnce(before, passed = new Set()) {
  for (const one of crowd.devices) {
    if (passed.has(one.name)) continue;
    const since = one.orders.slice(Math.max(0, before.get(one.name).orders - 1));
    since.forEach((order, index) => assert.ok(!index || order !== since[index - 1], `${one.name} got the same order twice: ${order}`));
  }
}

test('a rollout to 2,000 devices goes through its stages, the console killed while it runs, soaks and is paused', async () => {
  const before = standing();
  const id = await create('2.0.0', '--filter', 'product:demo', '--stages', '10%,50%,100%', '--soak', '3s');
  const members = await rows(id);
  await reaches(id, ['running'], ({ counts }) => counts.confirming);
  await kill();
  await counted(id);
  await reaches(id, ['soaking'], ({ stage }) => stage === 1);
  await kill();
  await counted(id);
  await reaches(id, ['running'], ({ stage, counts }) => stage === 2 && counts.confirming);
  await rollout('pause', id, '--reason', 'a look at it');
  await kill();
  const paused = await show(id);
  assert.equal(paused.state, 'paused');
  assert.equal(paused.reason.text, 'a look at it');
  assert.equal(paused.stage, 2);
  assert.ok((await counted(id)).every(({ stage, state }) => stage < 3 || state === 'pending'));
  await rollout('resume', id);
  const done = await reaches(id, ['completed']);
  assert.deepEqual(done.counts, { applied: DEVICES });
  assert.deepEqual(done.stages.map(({ devices }) => devices), [DEVICES / 10, DEVICES * 0.4, DEVICES / 2]);
  const ended = await counted(id);
  assert.deepEqual(ended.map((row) => [row.device, row.stage]), members.map((row) => [row.device, row.stage]), 'members moved');
  assert.deepEqual(ended.filter(({ attempts, result, from }) => attempts !== 1 || result !== 1 || from !== '1.0.0'), []);
  assert.equal(crowd.count(runs('2.0.0')), DEVICES);
  for (const { name } of crowd.devices) assert.deepEqual(toldSince(before, name), ['2.0.0'], name);
  saidOnce(before);
});

test('a version that a tenth of stage 2 rejects is held there with the figures, rolled back, and nobody else moved', async () => {
  const before = standing();
  const id = await create('3.0.0', '--filter', 'product:demo', '--stages', '10%,50%,100%', '--soak', '1s', '--max-failures', '5%', '--draft');
  const second = names(await rows(id, '?stage=2')), third = names(await rows(id, '?stage=3'));
  for (const name of second.filter((_, index) => index % 10 === 0)) rejects.add(`${name} 3.0.0`);
  await rollout('start', id);
  const held = await reaches(id, ['held']);
  assert.equal(held.stage, 2);
  assert.equal(held.reason.code, 'max_failures');
  const [, failed, of, limit] = /(\d+) of (\d+) devices of stage 2 failed.*?5%/.exec(held.reason.text) ?? assert.fail(held.reason.text);
  assert.ok(Number(failed) > DEVICES / 50 && Number(failed) <= DEVICES / 25 && Number(of) === DEVICES * 0.4, held.reason.text);
  await kill();
  assert.deepEqual((await show(id)).reason, held.reason);
  assert.equal((await show(id)).state, 'held');
  await counted(id);
  const [failure] = await world.api('GET', `/rollouts/${id}/failures`);
  assert.equal(failure.result, 8);
  assert.match(failure.text, /3\.0\.0 does not please/);
  await rollout('roll-back', id, '--reason', 'it is bad');
  await kill();
  await reaches(id, ['rolled_back', 'rolling_back']);
  await counted(id);
  await reaches(id, ['rolled_back']);
  const ended = await counted(id);
  assert.ok(ended.every(({ state }) => ['rolled_back', 'skipped'].includes(state)), JSON.stringify(tally(ended)));
  const touched = names(ended.filter(({ state }) => state === 'rolled_back'));
  assert.ok(touched.length > DEVICES * 0.1 && touched.length <= DEVICES / 2);
  await reached('all are back at what they had', () => crowd.devices.every(({ name, said }) => JSON.stringify(said.assets) === JSON.stringify(before.get(name).said.assets)));
  for (const one of crowd.devices) assert.equal(one.said.set, before.get(one.name).said.set, one.name);
  for (const name of touched) assert.ok([`3.0.0,${before.get(name).said.assets.model.version}`, ''].includes(String(toldSince(before, name))), `${name}: ${toldSince(before, name)}`);
  for (const name of third) assert.equal(device(name).orders.length, before.get(name).orders, `${name} is in stage 3, and got an order`);
  saidOnce(before, new Set(touched.filter((name) => !toldSince(before, name).length)));
});

test('silence counts as failure at the deadline, and who is heard again is not forgotten', async () => {
  const before = standing();
  // Whoever speaks must be in time on a slow machine as well: four times as long as all need to come twice.
  const began = Date.now(), had = new Map(crowd.devices.map((one) => [one, one.turns]));
  await reached('all have come twice', () => crowd.devices.every((one) => one.turns >= had.get(one) + 2));
  const deadline = Math.max(30, Math.ceil((Date.now() - began) / 250));
  const id = await create('4.0.0', '--filter', 'product:demo', '--device-deadline', `${deadline}s`, '--soak', '1s', '--draft');
  const silent = names(await rows(id)).filter((_, index) => index % 50 === 7);
  for (const name of silent) deaf.add(name);
  await rollout('start', id);
  const done = await reaches(id, ['completed']);
  assert.deepEqual(done.counts, { applied: DEVICES - silent.length, failed: silent.length });
  const failed = (await counted(id)).filter(({ state }) => state === 'failed');
  assert.deepEqual(names(failed).sort(), silent.sort());
  assert.ok(failed.every(({ reason }) => reason.code === 'timed_out'));
  deaf.clear();
  crowd.wake();
  await reached('who was silent follows', () => crowd.count(runs('4.0.0')) === DEVICES);
  for (const { name } of crowd.devices) assert.deepEqual(toldSince(before, name), ['4.0.0'], name);
  saidOnce(before);
});

test('rollouts side by side are paused, resumed and killed in each stage, and each is aborted in another one', async () => {
  const before = standing();
  const lot = (n) => crowd.devices.slice(n * 60, n * 60 + 60).map(({ name }) => name);
  const through = async (n) => {
    const id = await create('5.0.0', '--device', ...lot(n), '--stages', '20,40,60', '--soak', '1s', '--draft');
    const members = await rows(id);
    for (const { device: name } of members) later.add(name);
    await rollout('start', id);
    for (let stage = 1; ; stage++) {
      const on = names(members.filter((row) => row.stage === stage));
      await reaches(id, ['running'], (found) => found.stage === stage && found.counts.offered === 20);
      await rollout('pause', id);
      await killedWith();
      assert.equal((await show(id)).state, 'paused');
      await rollout('resume', id);
      if (stage === n + 1) {
        await rollout('abort', id, '--reason', 'enough');
        await killedWith();
        await reaches(id, ['aborted']);
        for (const name of on) later.delete(name);
        return [id, members, stage];
      }
      for (const name of on) later.delete(name);
    }
  };
  // All of them wait for one end of the console at a time.
  let waiting = [];
  const killedWith = () => new Promise((done, fail) => waiting.push({ done, fail }));
  let going = 3;
  const killer = async () => {
    while (going) {
      await reached('somebody waits', () => waiting.length >= going || !going);
      const now = waiting;
      waiting = [];
      if (now.length) await kill();
      for (const { done } of now) done();
    }
  };
  const ends = await Promise.all([[0, 1, 2].map((n) => through(n).finally(() => going--)), killer()].flat());
  later.clear();
  const passed = new Set();
  for (const [id, members, stage] of ends.slice(0, 3)) {
    const ended = await counted(id);
    assert.deepEqual(ended.map((row) => [row.device, row.stage]), members.map((row) => [row.device, row.stage]));
    for (const row of ended) {
      if (row.stage < stage) assert.equal(row.state, 'applied', JSON.stringify(row));
      else assert.equal(row.reason.code, 'aborted');
      assert.deepEqual(toldSince(before, row.device), row.stage < stage ? ['5.0.0'] : []);
      if (row.stage === stage) passed.add(row.device);
    }
    assert.equal((await world.locum('rollout', 'resume', String(id))).code, 5);
  }
  const others = crowd.devices.slice(180);
  assert.ok(others.every(({ name, orders }) => orders.length === before.get(name).orders));
  saidOnce(before, passed);
});
