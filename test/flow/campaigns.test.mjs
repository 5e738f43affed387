// Campaigns with a schedule: windows of the devices' own clocks, repeats, pause, return now, extend, the failure limit, a second person, and a device
// that begins and comes back on time with the console gone.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { World, until, path, build, isRoot, run } from './lib/locum.mjs';

const app = path.join(build, 'test/flow/app');
const limits = { entry: ['./run'], mode: 'replace', max_runtime_s: 120, grace_s: 2, max_output: 1 << 20, max_memory: 64 << 20, max_pids: 32, collect: ['proc'], network: 'none',
  outputs: [{ path: 'run.log', type: 'log' }] };
const skip = isRoot ? false : 'diagnostic runs need root for their namespaces';
const zones = { 'cam-1': 'UTC', 'cam-2': 'Asia/Kolkata', 'cam-3': 'UTC' };
const ends = ['done', 'failed', 'skipped', 'cancelled'];
let world, devices;

const image = (name, script, more = {}) =>
  world.publish(`demo/${name}`, '1.0.0', { 'diagnostic.json': JSON.stringify({ ...limits, ...more }), run: { bytes: `${script}\n`, mode: 0o755 } }, '--kind', 'diagnostic');

before(async () => {
  if (skip) return;
  world = await World.open();
  devices = {};
  for (const [name, zone] of Object.entries(zones)) {
    devices[name] = await world.device(name, { start: false, settings: { 'app.command': `${app} --status ${path.join(world.folder, `${name}.json`)}` } });
    await devices[name].start({ TZ: zone });
  }
  await world.publish('demo/model', '1.0.0', { VERSION: '1.0.0\n', w: 'w\n'.repeat(1000) });
  await world.release('demo/model', '1.0.0');
  await image('ends', '#!/bin/sh\necho done > $LOCUM_OUTPUT/run.log');
  await image('stays', '#!/bin/sh\necho began > $LOCUM_OUTPUT/run.log\nwhile :; do sleep 1; done');
  await image('broken', '#!/no/such/interpreter');
  for (const name of Object.keys(zones)) {
    await devices[name].runs('model', '1.0.0');
    await until(`${name} says its zone`, async () => (await devices[name].show()).facts.timezone === zones[name]);
  }
});
after(async () => { if (world) await world.close(); });

const create = (name, on, seconds, ...more) =>
  world.json('campaign', 'create', '--image', `demo/${name}@1.0.0`, '--device', ...on, '--duration', `${seconds}s`, '--ticket', 'T-7', '--reason', 'a test', ...more);
const campaign = (id) => world.json('campaign', 'show', String(id));
const runOf = (id, n = 1) => world.json('run', 'show', String(id), String(n));
const of = async (id, device, n = 1) => (await runOf(id, n)).assignments.find((a) => a.device === device);
const inState = (id, device, states, n = 1, ms = 60000) => until(`${device} is ${states}`, async () => { const a = await of(id, device, n); return states.includes(a?.state) && a; }, ms);
const isBack = (a) => {
  assert.equal(a.reverted?.proof?.equal, true, JSON.stringify(a));
  assert.equal(a.reverted.proof.leftovers, 0);
  assert.equal(a.reverted.verified, true);
};
/** "HH:MM-HH:MM" around now, on a clock so many minutes ahead of UTC. */
function windowAt(before, after, ahead = 0) {
  const at = (minutes) => new Date(Date.now() + (minutes + ahead) * 60000).toISOString().slice(11, 16);
  return `${at(-before)}-${at(after)}`;
}

test('a dry run says who, when by whose clock, how much, and does nothing', { skip }, async () => {
  const before = (await world.json('campaign', 'list')).length;
  const plan = await create('ends', ['cam-1', 'cam-2'], 30, '--repeat', 'weekly:mon,thu', '--window', '02:00-05:00', '--dry-run');
  assert.equal(plan.matches, 2);
  assert.equal(plan.busy, 0);
  assert.deepEqual(plan.unable, []);
  assert.deepEqual(plan.collect, ['proc']);
  assert.equal(plan.bytes_most, 2 << 20);
  assert.equal(plan.limits.max_runtime_s, 120);
  assert.equal(plan.needs_approval, false);
  assert.equal(plan.occurrences.length, 5);
  for (const occurrence of plan.occurrences) {
    const kolkata = occurrence.local.find((l) => l.zone === 'Asia/Kolkata'), utc = occurrence.local.find((l) => l.zone === 'UTC');
    assert.match(kolkata.time, /T02:00\+05:30$/);
    assert.match(utc.time, /T02:00\+00:00$/);
    assert.equal(Date.parse(utc.utc) - Date.parse(kolkata.utc), 5.5 * 3600000);
    assert.ok([1, 4].includes(new Date(utc.utc).getUTCDay()));
    assert.equal(occurrence.utc, kolkata.utc);
  }
  const mode = await world.locum('campaign', 'create', '--image', 'demo/ends', '--device', 'cam-1', '--duration', '5s', '--mode', 'beside', '--dry-run', '--json');
  assert.notEqual(mode.code, 0);
  assert.match(mode.stderr + mode.stdout, /signed for the mode replace/);
  assert.equal((await world.json('campaign', 'list')).length, before);
});

test('a campaign that repeats runs in the window of now and holds the next one ready on the device', { skip }, async () => {
  const created = await create('ends', ['cam-1'], 30, '--repeat', 'daily', '--window', windowAt(5, 15), '--count', '3', '--max-failures', '50%', '--collect', 'proc');
  isBack(await inState(created.id, 'cam-1', ['done']));
  assert.equal((await runOf(created.id)).state, 'completed');
  const next = await inState(created.id, 'cam-1', ['scheduled_on_device'], 2);
  assert.equal(Date.parse(next.start_after) % 60000, 0);
  assert.ok(Date.parse(next.start_after) > Date.now() + 23 * 3600000);
  const shown = await campaign(created.id);
  assert.equal(shown.state, 'active');
  assert.equal(shown.repeat, 'daily');
  assert.equal(shown.ticket, 'T-7');
  assert.equal(shown.occurrences[0].local[0].zone, 'UTC');
  // Its newest run that has begun is what the words mean.
  assert.equal((await world.json('run', 'show', String(created.id))).number, 1);
  const steps = (await world.api('GET', `/campaigns/${created.id}/runs/1/devices/cam-1`)).steps;
  assert.deepEqual(steps.map((s) => s.state).filter((s) => ['waiting', 'running', 'uploading', 'done'].includes(s)), ['waiting', 'running', 'uploading', 'done']);
  assert.ok(steps.slice(0, -1).every((s) => s.duration_ms >= 0));
  const ended = await world.json('campaign', 'end', String(created.id));
  assert.equal(ended.state, 'ended');
  await inState(created.id, 'cam-1', ['cancelled'], 2);
  const row = (await world.api('GET', `/campaigns/${created.id}/runs/1/devices?state=done`));
  assert.equal(row.length, 1);
});

test('each device is ordered for the window of its own clock', { skip }, async () => {
  const created = await create('ends', ['cam-2', 'cam-3'], 30, '--window', windowAt(-120, 180, 330));
  const kolkata = await inState(created.id, 'cam-2', ['scheduled_on_device']), utc = await inState(created.id, 'cam-3', ['scheduled_on_device']);
  const ahead = Date.parse(utc.start_after) - Date.parse(kolkata.start_after);
  assert.ok(ahead === 5.5 * 3600000 || ahead === (5.5 - 24) * 3600000, `${utc.start_after} ${kolkata.start_after}`);
  await world.json('campaign', 'end', String(created.id));
  await inState(created.id, 'cam-2', ['cancelled']);
  await inState(created.id, 'cam-3', ['cancelled']);
});

test('paused nobody begins, resumed the next one does', { skip }, async () => {
  const created = await create('stays', ['cam-1', 'cam-3'], 4, '--parallel', '1');
  await inState(created.id, 'cam-1', ['running']);
  const paused = await world.json('campaign', 'pause', String(created.id), '--reason', 'the line is down');
  assert.equal(paused.state, 'paused');
  assert.equal(paused.state_reason.text, 'the line is down');
  isBack(await inState(created.id, 'cam-1', ['done']));
  assert.equal((await of(created.id, 'cam-3')).state, 'queued');
  assert.equal((await world.json('campaign', 'resume', String(created.id))).state, 'active');
  isBack(await inState(created.id, 'cam-3', ['done']));
  assert.equal((await campaign(created.id)).state, 'ended');
});

test('one device is asked back, another stays longer than planned, then all come back', { skip }, async () => {
  const created = await create('stays', ['cam-1', 'cam-3'], 6);
  await inState(created.id, 'cam-1', ['running']);
  const before = await inState(created.id, 'cam-3', ['running']);
  await world.json('run', 'extend', String(created.id), '--duration', '90s', '--device', 'cam-3');
  const longer = await of(created.id, 'cam-3');
  assert.equal(longer.duration_s, 90);
  assert.equal(Date.parse(longer.ends_at) - Date.parse(before.started_at), 90000);
  const refused = await world.locum('run', 'extend', String(created.id), '--duration', '1h', '--json');
  assert.match(refused.stderr + refused.stdout, /max_runtime_s/);
  await world.json('run', 'return-now', String(created.id), '1', '--device', 'cam-1', '--reason', 'enough');
  const back = await inState(created.id, 'cam-1', ['cancelled', 'done']);
  isBack(back);
  // Past its first deadline it is still there, by its own word.
  await until('cam-3 is past its first deadline', () => Date.now() > Date.parse(before.ends_at) + 4000);
  assert.equal((await of(created.id, 'cam-3')).state, 'running');
  await world.json('run', 'return-now', String(created.id));
  isBack(await inState(created.id, 'cam-3', ['cancelled', 'done']));
  assert.equal((await until('the run is over', async () => { const r = await runOf(created.id); return r.state === 'aborted' && r; })).counts.running, undefined);
});

test('more failures than the limit hold the campaign with the figures', { skip }, async () => {
  const created = await create('broken', ['cam-1', 'cam-2', 'cam-3'], 5, '--parallel', '1', '--max-failures', '0');
  const held = await until('the campaign is held', async () => { const c = await campaign(created.id); return c.state === 'paused' && c; }, 60000);
  assert.equal(held.state_reason.code, 'max_failures');
  assert.match(held.state_reason.text, /^[12] of 3 devices failed, at most 0 may$/);
  // A place is free while the one before reverts, so a second may have begun by then; not the third.
  assert.ok((held.counts.queued ?? 0) + (held.counts.waiting ?? 0) >= 1, JSON.stringify(held.counts));
  await world.json('campaign', 'end', String(created.id));
  const ended = await until('nobody is left', async () => { const c = await campaign(created.id); return (c.counts.cancelled ?? 0) + (c.counts.failed ?? 0) === 3 && c; });
  assert.equal(ended.state, 'ended');
});

test('where the product asks for two people the second one lets it begin, and nobody approves their own', { skip }, async () => {
  // What only one person signed is offered to nobody from here on; what is published waits.
  const listed = async (version) => (await world.api('GET', `/assets/demo/ends/versions/${version}`)).listed;
  assert.equal(await listed('1.0.0'), true);
  await world.json('product', 'set', 'demo', 'approval=two');
  assert.equal(await listed('1.0.0'), false);
  await world.publish('demo/ends', '1.1.0', { 'diagnostic.json': JSON.stringify(limits), run: { bytes: '#!/bin/sh\necho approved > $LOCUM_OUTPUT/run.log\n', mode: 0o755 } }, '--kind', 'diagnostic');
  assert.equal(await listed('1.1.0'), false);
  await world.api('POST', '/operators', { name: 'bob', password: 'a long enough password', role: 'support' });
  const { token } = await world.api('POST', '/login', { name: 'bob', password: 'a long enough password', token: 'bob' });
  const ask = ['campaign', 'create', '--image', 'demo/ends@1.1.0', '--device', 'cam-1', '--duration', '10s', '--json'];
  assert.equal((await world.json(...ask, '--dry-run')).needs_approval, true);
  const said = await world.locum(...ask), created = JSON.parse(said.stdout);
  assert.equal(said.stderr, `It waits for a second person: locum campaign approve ${created.id}\n`);
  const waits = await campaign(created.id);
  assert.equal(waits.state, 'draft');
  assert.deepEqual(waits.approval, { needed: 2, by: null, at: null });
  const summary = await world.api('GET', '/summary');
  assert.ok(summary.needs_person.some((n) => n.kind === 'approval' && n.link.includes(`/campaigns/${created.id}`)), JSON.stringify(summary.needs_person));
  const own = await world.locum('campaign', 'approve', String(created.id), '--json');
  assert.equal(own.code, 4, own.stderr);
  assert.equal((await of(created.id, 'cam-1')).state, 'queued');
  assert.equal(await listed('1.1.0'), false);
  const bob = await run(path.join(build, 'locum'), ['campaign', 'approve', String(created.id), '--json'], { env: world.env({ LOCUM_TOKEN: token }) });
  assert.equal(bob.code, 0, bob.stderr);
  assert.equal(JSON.parse(bob.stdout).approval.by, 'bob');
  // Now the device finds it, with the signatures of author and approver, and what nobody approved it still does not.
  isBack(await inState(created.id, 'cam-1', ['done']));
  assert.deepEqual([await listed('1.0.0'), await listed('1.1.0')], [false, true]);
  const verified = await run(path.join(build, 'locum'), ['repo', 'verify', '--data', world.data]);
  assert.equal(verified.code, 0, verified.stderr);
  assert.match(verified.stdout, /signed by author and approver/);
  const audit = (await world.api('GET', '/audit')).filter((row) => row.object === `campaign ${created.id}`);
  assert.ok(audit.some((row) => row.operator === 'bob' && row.action === 'approve' && row.detail.includes('demo/ends 1.1.0')), JSON.stringify(audit));
  await world.json('product', 'set', 'demo', 'approval=one');
  assert.equal(await listed('1.0.0'), true);
});

test('a device begins and comes back on time while the console is gone', { skip }, async () => {
  await image('away', '#!/bin/sh\nwhile :; do sleep 1; done');
  const at = new Date(Math.ceil(Date.now() / 1000) * 1000 + 20000).toISOString().replace('.000', '');
  const created = await create('away', ['cam-1'], 3, '--at', at);
  await inState(created.id, 'cam-1', ['scheduled_on_device'], 1, 10000);
  const { next } = await world.api('GET', '/summary');
  assert.deepEqual(next, [{ at, what: `campaign ${created.id}: away 1.0.0`, link: `/campaigns/${created.id}/runs/1` }], 'the overview says what begins within a day');
  // It has the order; the image is fetched ahead, and with the console gone nobody has it to give.
  await until('the image is on the device', () => existsSync(path.join(devices['cam-1'].state, 'versions/away/1.0.0/run')));
  await world.console.stop('SIGKILL');
  // Its own word, in its own outbox: it began and came back with nobody to ask.
  await until('the image has been and gone', () => Date.now() > Date.parse(at) + 3000 + 5000, 60000);
  await world.serve();
  const a = await inState(created.id, 'cam-1', ends);
  assert.equal(a.state, 'done', JSON.stringify(a));
  isBack(a);
  assert.ok(Math.abs(Date.parse(a.started_at) - Date.parse(at)) <= 5000, `${a.started_at} for ${at}`);
  assert.ok(Date.parse(a.reverted.at) <= Date.parse(at) + 3000 + 5000 + 5000, `${a.reverted.at} for ${at}`);
});

test('a window that went by is skipped, never run late', { skip }, async () => {
  await devices['cam-3'].stop();
  const created = await create('ends', ['cam-3'], 5, '--window', windowAt(5, 30));
  assert.equal((await of(created.id, 'cam-3')).state, 'waiting');
  await world.console.stop();
  await world.serve([], { LOCUM_CLOCK_SHIFT_S: '7200' });
  const a = await inState(created.id, 'cam-3', ['skipped']);
  assert.equal(a.reason.code, 'missed_window');
  assert.equal((await campaign(created.id)).state, 'ended');
  await devices['cam-3'].start({ TZ: 'UTC' });
  await until('cam-3 is back', async () => (await devices['cam-3'].show()).connectivity === 'online');
  assert.equal((await of(created.id, 'cam-3')).state, 'skipped');
});
