// Rollouts by a real console and real agents, each with its app: through stages with soak, held and rolled back, paused, aborted, silent, killed.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { readFile, rm } from 'node:fs/promises';
import { World, until, path, build } from './lib/locum.mjs';

const app = path.join(build, 'test/flow/app');
const names = ['cam-1', 'cam-2', 'cam-3', 'cam-4'];
let world, devices;

const lines = (version) => ({ VERSION: `${version}\n`, 'weights.txt': `${version}\n`.repeat(2000) });
const appStatus = async (name) => JSON.parse(await readFile(path.join(world.folder, `${name}.json`), 'utf8'));
const show = (id) => world.api('GET', `/rollouts/${id}`);
const members = (id, query = '') => world.api('GET', `/rollouts/${id}/devices${query}`);
const create = async (...more) => (await world.json('rollout', 'create', 'demo/model', ...more)).id;
const over = ['completed', 'aborted', 'rolled_back'];

/** Waits until the rollout is in one of these states. */
function reaches(id, states, deadlineMs = 90000) {
  return until(`rollout ${id} is ${states}`, async () => {
    const rollout = await show(id);
    if (!states.includes(rollout.state) && over.includes(rollout.state)) throw new Error(`it is ${rollout.state}: ${JSON.stringify(rollout)} ${JSON.stringify(await members(id))}`);
    return states.includes(rollout.state) && rollout;
  }, deadlineMs);
}
/** Counters equal the rows, and no device stands in two. */
async function counted(id) {
  const rollout = await show(id), rows = await members(id, '?limit=1000'), counts = {};
  for (const { state } of rows) counts[state] = (counts[state] ?? 0) + 1;
  assert.deepEqual(rollout.counts, counts);
  assert.equal(rows.length, rollout.devices);
  assert.equal(new Set(rows.map(({ device }) => device)).size, rows.length);
  return rows;
}
const adopted = (version, who = names) => until(`all apps evaluate ${version}`, async () => {
  for (const name of who) if ((await appStatus(name)).version !== version) return false;
  return true;
}, 60000);

before(async () => {
  world = await World.open();
  for (const version of ['1.0.0', '1.1.0', '1.2.0', '1.3.0', '1.4.0']) await world.publish('demo/model', version, lines(version), '--kind', 'model');
  await world.release('demo/model', '1.0.0');
  devices = await Promise.all(names.map((name) => world.device(name, { settings: {
    // 1.2.0 is the bad version.
    'app.command': `${app} --status ${path.join(world.folder, `${name}.json`)} --reject 1.2.0`, 'app.adopt.timeout_s': '20',
  } })));
  await Promise.all(devices.map((device) => device.runs('model', '1.0.0')));
});
after(async () => { await world.close(); });

test('a dry run says who goes in which stage, and nothing happens', async () => {
  const plan = await world.json('rollout', 'create', 'demo/model', '1.1.0', '--filter', 'product:demo', '--stages', '1,50%,100%', '--dry-run');
  assert.equal(plan.matches, 4);
  assert.equal(plan.moves, 4);
  assert.deepEqual(plan.stages.map(({ devices: count }) => count), [1, 1, 2]);
  assert.ok(plan.bytes > 0 && plan.expected_end);
  assert.deepEqual(plan.conflict, []);
  assert.deepEqual(await world.json('rollout', 'list'), []);
});

test('a rollout goes through its stages, soaks, and is over when all are proven', async () => {
  const created = await world.json('rollout', 'create', 'demo/model', '1.1.0', '--filter', 'product:demo', '--stages', '25%,50%,100%', '--soak', '1s');
  assert.match(created.url, /\/rollouts\/1$/);
  const second = await world.locum('rollout', 'create', 'demo/model', '1.3.0', '--device', 'cam-1', '--json');
  assert.equal(second.code, 5);
  assert.match(JSON.parse(second.stderr).error.message, /rollout 1 of demo\/model/);
  const watched = await world.locum('rollout', 'watch', String(created.id), '--timeout', '90s', '--json');
  assert.equal(watched.code, 0, watched.stderr);
  assert.equal(JSON.parse(watched.stdout).counts.applied, 4);
  for (const row of await counted(created.id)) {
    assert.equal(row.state, 'applied');
    assert.equal(row.from, '1.0.0');
    assert.equal(row.result, 1);
    assert.equal(row.attempts, 1);
  }
  await adopted('1.1.0');
  const timeline = await world.api('GET', `/rollouts/${created.id}/timeline`);
  assert.equal(timeline.filter(({ what }) => what === 'stage').length, 3);
  assert.ok(timeline.some(({ what }) => what === 'soaking'));
});

test('a bad version is held by its gate with the figures, and rolled back to what was before', async () => {
  const id = await create('1.2.0', '--device', ...names, '--stages', '2,100%', '--max-failures', '1');
  const held = await reaches(id, ['held']);
  assert.equal(held.reason.code, 'max_failures');
  assert.match(held.reason.text, /2 of 2 devices of stage 1 failed/);
  assert.match((await world.locum('rollout', 'watch', String(id), '--timeout', '1s')).stderr, /it waits for a person: resume, retry, roll-back or abort/);
  const [failure] = await world.api('GET', `/rollouts/${id}/failures`);
  assert.equal(failure.result, 8);
  assert.equal(failure.devices, 2);
  assert.match(failure.text, /does not please the test/);
  assert.match(failure.log, /1\.2\.0|model/);
  assert.match((await world.locum('rollout', 'show', String(id))).stdout, /^FAILED\tRESULT\tWHY\tSUCH AS\n2\t8\t.*does not please the test.*\tcam-\d, cam-\d$/m);
  assert.equal((await world.locum('rollout', 'roll-back', String(id), '--reason', 'it is bad')).code, 0);
  await reaches(id, ['rolled_back']);
  const rows = await counted(id);
  assert.equal(rows.filter(({ state }) => state === 'rolled_back').length, 2);
  assert.equal(rows.filter(({ state }) => state === 'skipped').length, 2);
  await Promise.all(devices.map((device) => device.runs('model', '1.1.0')));
  const watched = await world.locum('rollout', 'watch', String(id));
  assert.equal(watched.code, 6);
});

test('a gate at stage 2 rolls back by itself what stage 1 had proven', async () => {
  // Only one device rejects 1.3.0: the one of the second stage.
  const id = await create('1.3.0', '--device', ...names, '--stages', '1,2,100%', '--draft', '--auto-roll-back', '--max-failures', '0');
  const [second] = await members(id, '?stage=2');
  const device = devices.find(({ name }) => name === second.device);
  await device.stop();
  device.settings['app.command'] = device.settings['app.command'].replace('1.2.0', '1.3.0');
  await device.writeSettings();
  await device.start();
  await device.runs('model', '1.1.0');
  assert.equal((await world.locum('rollout', 'start', String(id))).code, 0);
  const back = await reaches(id, ['rolled_back']);
  assert.match(back.reason.text, /1 of 1 devices of stage 2 failed/);
  assert.equal((await counted(id)).filter(({ state }) => state === 'rolled_back').length, 2);
  await adopted('1.1.0');
  await device.stop();
  device.settings['app.command'] = device.settings['app.command'].replace('1.3.0', '1.2.0');
  await device.writeSettings();
  await device.start();
  await device.runs('model', '1.1.0');
});

test('who failed and is asked again by a person tries again, and may succeed', async () => {
  const [device] = devices, mood = await world.file('mood', 'bad');
  await device.stop();
  device.settings['app.command'] += ` --while ${mood}`;
  await device.writeSettings();
  await device.start();
  await device.runs('model', '1.1.0');
  const id = await create('1.2.0', '--device', device.name, '--max-failures', '0', '--soak', '1s');
  await reaches(id, ['held']);
  await rm(mood);
  const again = await world.json('rollout', 'retry', String(id), '--reason', 'its mood is better');
  assert.equal(again.state, 'running');
  await reaches(id, ['completed']);
  assert.equal((await counted(id))[0].state, 'applied');
  await adopted('1.2.0', [device.name]);
  assert.equal((await world.locum('rollout', 'roll-back', String(id))).code, 0);
  await reaches(id, ['rolled_back']);
  await adopted('1.1.0', [device.name]);
});

test('pausing asks nobody new, resuming goes on with the same, aborting leaves what is done', async () => {
  const id = await create('1.3.0', '--filter', 'product:demo', '--stages', '1,100%', '--approval');
  await reaches(id, ['awaiting_approval']);
  const [first] = await members(id, '?stage=1');
  assert.equal(first.state, 'applied');
  assert.equal((await world.locum('rollout', 'pause', String(id))).code, 0);
  await world.console.stop('SIGKILL');
  await world.serve();
  assert.equal((await show(id)).state, 'paused');
  assert.deepEqual((await members(id, '?state=applied')).map(({ device }) => device), [first.device]);
  assert.equal((await world.locum('rollout', 'resume', String(id))).code, 0);
  await reaches(id, ['awaiting_approval']);
  assert.equal((await world.locum('rollout', 'abort', String(id), '--reason', 'enough')).code, 0);
  await reaches(id, ['aborted']);
  const rows = await counted(id);
  assert.equal(rows.filter(({ state }) => state === 'applied').length, 1);
  assert.equal(rows.filter(({ reason }) => reason?.code === 'aborted').length, 3);
  assert.equal((await world.locum('rollout', 'resume', String(id))).code, 5);
});

test('a silent device fails by its deadline, the console killed in the middle', async () => {
  const silent = devices[3];
  await silent.stop();
  const id = await create('1.4.0', '--device', ...names, '--device-deadline', '30s', '--max-failures', 'any', '--soak', '1s');
  await until('one is on its way', async () => (await show(id)).counts.pending === undefined);
  await world.console.stop('SIGKILL');
  await world.serve();
  const watched = await world.locum('rollout', 'watch', String(id), '--timeout', '120s', '--json');
  assert.equal(watched.code, 6, watched.stderr);
  assert.deepEqual(JSON.parse(watched.stdout).counts, { applied: 3, failed: 1 });
  const rows = await counted(id);
  const failed = rows.find(({ state }) => state === 'failed');
  assert.equal(failed.device, silent.name);
  assert.equal(failed.reason.code, 'timed_out');
  await adopted('1.4.0', names.slice(0, 3));
  for (const name of names) assert.equal((await appStatus(name)).wrong + (await appStatus(name)).failures, 0, `${name} read wrong bytes`);
});
