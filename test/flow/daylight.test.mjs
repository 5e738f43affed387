// A campaign that repeats goes over a change of daylight saving: a real console and a real agent, both on a clock that is set to the three nights of it.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { World, until, path, build, isRoot } from './lib/locum.mjs';

const skip = isRoot ? false : 'diagnostic runs need root for their namespaces';
const HOUR = 3600000, ZONE = 'Europe/Berlin', WINDOW = '02:30-02:45';
const limits = { entry: ['./run'], mode: 'beside', max_runtime_s: 60, grace_s: 2, max_output: 1 << 20, max_memory: 64 << 20, max_pids: 32, collect: [], network: 'none' };
let world, device;

/** When clocks in Berlin go from 02:00 to 03:00 the next time: the last Sunday of a March, 01:00 UTC. */
function change() {
  for (let year = new Date().getUTCFullYear(); ; year++) {
    const last = new Date(Date.UTC(year, 2, 31, 1));
    const at = last.getTime() - last.getUTCDay() * 24 * HOUR;
    if (at > Date.now() + 48 * HOUR) return at;
  }
}
/** Console and device start again with this moment on their clocks. */
async function clock(at) {
  await device.stop();
  await world.console.stop();
  const shift = { LOCUM_CLOCK_SHIFT_S: String(Math.round((at - Date.now()) / 1000)) };
  await world.serve([], shift);
  await device.start({ TZ: ZONE, ...shift });
}

before(async () => {
  if (skip) return;
  world = await World.open();
  device = await world.device('cam-1', { settings: { 'app.command': `${path.join(build, 'test/flow/app')} --status ${path.join(world.folder, 'cam-1.json')}` }, start: false });
  await device.start({ TZ: ZONE });
  await world.publish('demo/look', '1.0.0', { 'diagnostic.json': JSON.stringify(limits), run: { bytes: '#!/bin/sh\necho here > $LOCUM_OUTPUT/run.log\n', mode: 0o755 } }, '--kind', 'diagnostic');
  await until('its zone is known', async () => (await device.show()).timezone === ZONE);
});
after(async () => { if (world) await world.close(); });

test('a nightly campaign keeps the devices\' local time across the change, and runs in the night whose window is left out', { skip }, async () => {
  const spring = change(), zulu = (at) => new Date(at).toISOString().replace('.000', '');
  // 02:30 in winter time; 02:30 is not there, so the first moment after it; 02:30 in summer time.
  const nights = [spring - 23.5 * HOUR, spring, spring + 23.5 * HOUR];
  await clock(nights[0] - 20000);
  const words = ['campaign', 'create', '--image', 'demo/look@1.0.0', '--device', 'cam-1', '--duration', '5s', '--repeat', 'daily', '--window', WINDOW, '--count', '3'];
  const plan = await world.json(...words, '--dry-run');
  assert.deepEqual(plan.occurrences.map(({ utc }) => utc), nights.map(zulu));
  assert.deepEqual(plan.occurrences.map(({ local }) => local[0].time.slice(10)), ['T02:30+01:00', 'T03:00+02:00', 'T02:30+02:00']);
  const { id } = await world.json(...words), campaign = () => world.json('campaign', 'show', String(id));
  for (const [index, night] of nights.entries()) {
    const run = async () => (await world.json('run', 'show', String(id), String(index + 1))).assignments[0];
    if (index) await clock(night - 20000);
    await until('the device holds the order of the night', async () => (await run()).state === 'scheduled_on_device' || (await run()).started_at);
    const a = await until(`night ${index + 1} is over`, async () => { const is = await run(); return ['done', 'failed', 'skipped', 'cancelled'].includes(is.state) && is; }, 60000);
    assert.equal(a.state, 'done', JSON.stringify(a));
    assert.equal(a.start_after, zulu(night));
    const late = Date.parse(a.started_at) - night;
    assert.ok(late >= 0 && late <= 30000, `it began ${late} ms after its time`);
    assert.ok(a.reverted.verified && a.reverted.proof.equal && a.reverted.proof.leftovers === 0, JSON.stringify(a.reverted));
  }
  const { state, runs } = await until('it is over', async () => { const is = await campaign(); return is.state === 'ended' && is; });
  assert.deepEqual([state, runs.map((run) => [run.number, run.state]).sort()], ['ended', [[1, 'completed'], [2, 'completed'], [3, 'completed']]]);
});
