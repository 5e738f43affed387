// Twenty real agents, each with its app, on one console: a rollout that succeeds, one that is rolled back by itself, a campaign that brings everybody back,
// one device of it with nobody to ask.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { World, until, path, build, isRoot, existsSync } from './lib/locum.mjs';
import { each } from './lib/crowd.mjs';

const app = path.join(build, 'test/flow/app');
const names = Array.from({ length: 20 }, (_, index) => `cam-${String(index).padStart(2, '0')}`);
const picky = names.filter((_, index) => index % 4 === 1); // whose app rejects 3.0.0
const diagnostic = { entry: ['./run'], mode: 'replace', max_runtime_s: 60, grace_s: 2, max_output: 1 << 20, max_memory: 64 << 20, max_pids: 32, collect: ['proc'], network: 'none',
  outputs: [{ path: 'run.log', type: 'log' }] };
const MINUTES = 60000;
let world, devices;

const lines = (version) => ({ VERSION: `${version}\n`, 'weights.txt': `${version}\n`.repeat(50) });
const said = async (name) => JSON.parse(await readFile(path.join(world.folder, `${name}.json`), 'utf8'));
const apps = () => Promise.all(names.map(said));
const show = (id) => world.api('GET', `/rollouts/${id}`);
const members = (id, query = '') => world.api('GET', `/rollouts/${id}/devices${query}`);
async function reaches(id, states, and = () => true) {
  const rollout = await until(`rollout ${id} is ${states}`, async () => {
    const found = await show(id);
    return (['completed', 'aborted', 'rolled_back'].includes(found.state) || (states.includes(found.state) && and(found))) && found;
  }, 4 * MINUTES);
  assert.ok(states.includes(rollout.state) && and(rollout), JSON.stringify(rollout));
  return rollout;
}
const allRun = (version) => until(`all run ${version}`, async () => (await world.api('GET', `/preview?filter=model:${version}`)).count === names.length, 4 * MINUTES);

before(async () => {
  world = await World.open();
  for (const version of ['1.0.0', '2.0.0', '3.0.0']) await world.publish('demo/model', version, lines(version), '--kind', 'model');
  await world.release('demo/model', '1.0.0');
  devices = {};
  // In the order of their names: places are given in the order of enrolment. How often they come is the console's to say.
  await each(names, 1, async (name) => {
    devices[name] = await world.device(name, { settings: {
      'app.command': `${app} --status ${path.join(world.folder, `${name}.json`)} --pause 20${picky.includes(name) ? ' --reject 3.0.0' : ''}`, 'app.adopt.timeout_s': '30', 'poll.idle_s': '60',
    } });
  });
  await allRun('1.0.0');
});
after(async () => { await world.close(); });

/** No app evaluated a wrong or a missing byte, none was started anew since `pids`. */
async function undisturbed(version, pids) {
  for (const [index, one] of (await apps()).entries()) {
    assert.equal(one.version, version, names[index]);
    assert.equal(one.failures + one.wrong, 0, `${names[index]}: ${JSON.stringify(one)}`);
    assert.ok(one.evaluations > 0);
    if (pids) assert.equal(one.pid, pids[index], `${names[index]} was started anew`);
  }
}

/* When each app evaluates the version, in milliseconds, as long as somebody looks. */
function watchAdoptions(version) {
  const adopted = new Map();
  const looks = setInterval(async () => {
    for (const name of names) {
      const one = adopted.has(name) ? null : await said(name).catch(() => null);
      if (one?.version === version && !adopted.has(name)) adopted.set(name, Date.now());
    }
  }, 50);
  return { adopted, end: () => clearInterval(looks) };
}

test('a rollout reaches twenty apps in three stages, and none of them is disturbed', async (t) => {
  const pids = (await apps()).map(({ pid }) => pid), watch = watchAdoptions('2.0.0'), waits = [];
  try {
    const { id } = await world.json('rollout', 'create', 'demo/model', '2.0.0', '--filter', 'product:demo', '--stages', '10%,50%,100%', '--soak', '1s', '--approval');
    for (let stage = 1, began = 0; stage <= 3; stage++) {
      const ended = await reaches(id, ['awaiting_approval', 'completed'], (rollout) => rollout.stage === stage);
      assert.equal(ended.stages[stage - 1].counts.applied, [2, 8, 10][stage - 1]);
      for (const { device } of await members(id, `?stage=${stage}`)) {
        const at = await until(`${device} evaluates it`, () => watch.adopted.get(device));
        if (stage > 1) waits.push(at - began);
      }
      began = Date.now();
      if (stage < 3) assert.equal((await world.locum('rollout', 'advance', String(id))).code, 0);
    }
    assert.deepEqual((await show(id)).counts, { applied: 20 });
  } finally { watch.end(); }
  await undisturbed('2.0.0', pids);
  waits.sort((a, b) => a - b);
  const p95 = waits[Math.ceil(waits.length * 0.95) - 1];
  t.diagnostic(`from the next stage's start to adopted: median ${waits[waits.length >> 1]} ms, p95 ${p95} ms, of ${waits.length} devices`);
  assert.ok(p95 < MINUTES, `p95 is ${p95} ms`);
});

test('a version that an app of stage 2 rejects is rolled back by itself, and all are where they were', async () => {
  const pids = (await apps()).map(({ pid }) => pid);
  // Who is in which stage is drawn by lot: one is taken where stage 1 likes the version.
  const { id, second } = await until('a lot where stage 1 likes it', async () => {
    const made = await world.json('rollout', 'create', 'demo/model', '3.0.0', '--filter', 'product:demo', '--stages', '10%,50%,100%', '--soak', '1s', '--max-failures', '0', '--auto-roll-back', '--draft');
    const rows = await members(made.id), of = (stage) => rows.filter((row) => row.stage === stage).map(({ device }) => device);
    if (!of(1).some((name) => picky.includes(name)) && of(2).some((name) => picky.includes(name))) return { id: made.id, second: of(2) };
    await world.json('rollout', 'abort', String(made.id));
    return false;
  }, MINUTES);
  assert.equal((await world.locum('rollout', 'start', String(id))).code, 0);
  const back = await reaches(id, ['rolled_back']);
  assert.equal(back.stage, 2);
  assert.match(back.reason.text, /[1-8] of 8 devices of stage 2 failed/);
  const [failure] = await world.api('GET', `/rollouts/${id}/timeline`).then((all) => all.filter(({ what }) => what === 'rolling_back'));
  assert.equal(failure.by, null, 'nobody asked for it');
  const rows = await members(id);
  for (const { device, stage, state } of rows) {
    if (stage === 3) assert.equal(state, 'skipped', device);
    else if (stage === 1) assert.equal(state, 'rolled_back', device);
    else assert.ok(second.includes(device) && ['rolled_back', 'skipped'].includes(state), `${device} is ${state}`);
  }
  await allRun('2.0.0');
  await until('all apps evaluate 2.0.0', async () => (await apps()).every(({ version }) => version === '2.0.0'), MINUTES);
  await undisturbed('2.0.0', pids);
});

test('a campaign brings all twenty back, five at once; one is alone with its order when its time comes', { skip: isRoot ? false : 'diagnostic runs need root for their namespaces' }, async (t) => {
  await world.publish('demo/look', '1.0.0', { 'diagnostic.json': JSON.stringify(diagnostic), run: { bytes: '#!/bin/sh\necho began > $LOCUM_OUTPUT/run.log\nwhile :; do sleep 1; done\n', mode: 0o755 } }, '--kind', 'diagnostic');
  const at = new Date(Math.ceil(Date.now() / 1000) * 1000 + 25000).toISOString().replace('.000', '');
  const { id } = await world.json('campaign', 'create', '--image', 'demo/look@1.0.0', '--filter', 'product:demo', '--duration', '2s', '--parallel', '5', '--at', at);
  const rows = () => world.api('GET', `/campaigns/${id}/runs/1/devices?limit=1000`), alone = devices[names[0]];
  const ahead = await until('five hold their order', async () => { const list = (await rows()).filter(({ state }) => state === 'scheduled_on_device'); return list.length === 5 && list; }, MINUTES);
  assert.ok(ahead.some(({ device }) => device === alone.name));
  await alone.stop();
  await world.console.stop('SIGKILL');
  await alone.start();
  // What it knows of its run lies in its own folder, the proof among it.
  const results = path.join(alone.state, 'keeper/runs');
  await until('it has come back by itself', async () => {
    for (const run of await readdir(results).catch(() => [])) if (existsSync(path.join(results, run, 'result.json'))) return true;
    return false;
  }, 2 * MINUTES);
  await world.serve();
  const run = await until('the run is over', async () => { const found = await world.api('GET', `/campaigns/${id}/runs/1`); return found.state === 'completed' && found; }, 5 * MINUTES);
  assert.deepEqual(run.counts, { done: 20 });
  const list = await rows(), reverts = [];
  for (const { device, reverted, capture, alarm } of list) {
    assert.ok(reverted.verified && reverted.proof.equal && reverted.proof.leftovers === 0, `${device}: ${JSON.stringify(reverted)}`);
    assert.equal(capture.state, 'complete', device);
    assert.equal(alarm, null, device);
    reverts.push(reverted.proof.revert_ms);
  }
  const one = list.find(({ device }) => device === alone.name);
  const late = (Date.parse(one.started_at) - Date.parse(at)) / 1000;
  assert.ok(late >= 0 && late <= 30, `it began ${late} s after its time`);
  // Never more than five: what devices themselves say of their beginning and end.
  const spans = list.map(({ started_at, reverted }) => [Date.parse(started_at), Date.parse(reverted.proof.ended_at)]);
  const most = Math.max(...spans.map(([begin]) => spans.filter(([from, to]) => from <= begin && begin < to).length));
  assert.ok(most <= 5, `${most} at once`);
  const captures = await world.api('GET', `/captures?campaign=${id}`);
  assert.equal(captures.length, 20);
  await until('all apps evaluate 2.0.0', async () => (await apps()).every(({ version }) => version === '2.0.0'), MINUTES);
  await undisturbed('2.0.0');
  reverts.sort((a, b) => a - b);
  t.diagnostic(`alone it began ${late} s after its time; reverted within ${reverts[19]} ms at most`);
});
