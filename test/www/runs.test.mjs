// Runs in the browser, with real devices: one device's steps with times and bytes, longer, returned now, cancelled; what was collected and what is missing.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { World, isRoot, until } from '../flow/lib/locum.mjs';
import { Browser, accessible, noProblems, picture, settled, visit } from './lib/browser.mjs';

const limits = { entry: ['./run'], mode: 'replace', max_runtime_s: 600, grace_s: 2, max_output: 1 << 20, max_memory: 64 << 20, max_pids: 32, collect: ['proc'], network: 'none', outputs: [{ path: 'run.log', type: 'log' }] };
const script = `#!/bin/sh
echo began > $LOCUM_OUTPUT/run.log
trap 'echo asked to stop >> $LOCUM_OUTPUT/run.log; exit 0' TERM
i=0; while [ $i -lt 6000 ]; do sleep 0.1; i=$((i + 1)); done
`;
const skip = isRoot ? false : 'diagnostic runs need root for their namespaces';
let world, browser, page;
before(async () => {
  if (skip) return;
  world = await World.open();
  await world.publish('demo/watch', '1.0.0', { 'diagnostic.json': JSON.stringify(limits), run: { bytes: script, mode: 0o755 } }, '--kind', 'diagnostic');
  for (const name of ['cam-1', 'cam-2']) await world.device(name);
  await world.json('campaign', 'create', '--image', 'demo/watch', '--device', 'cam-1', 'cam-2', '--duration', '300s', '--parallel', '1');
  browser = await Browser.open(world);
  page = await browser.page();
});
after(async () => {
  await browser?.close();
  await world?.close();
});
const one = (device) => world.api('GET', `/campaigns/1/runs/1/devices/${device}`);
const running = () => until('a device is on the image', async () => (await world.api('GET', '/campaigns/1/runs/1')).assignments.find((a) => a.state === 'running')?.device, 60000);
let first, second;

test('the run shows who is on the image and who waits, and leads to each', { skip }, async () => {
  first = await running();
  second = first === 'cam-1' ? 'cam-2' : 'cam-1';
  await visit(page, world, '/campaigns/1/runs/1');
  await page.getByRole('row', { name: new RegExp(`${first}.*running`) }).waitFor();
  await page.getByRole('row', { name: new RegExp(`${second}.*queued.*never left it`) }).waitFor();
  await page.getByLabel('Show').selectOption('queued');
  await page.getByRole('row', { name: new RegExp(first) }).waitFor({ state: 'detached' });
  await page.getByLabel('Show').selectOption('');
  await page.getByRole('link', { name: first, exact: true }).click();
  await page.getByRole('heading', { name: first, level: 1 }).waitFor();
});

test('one device has its steps with times', { skip }, async () => {
  const steps = page.getByRole('table', { name: 'Steps' });
  await steps.getByRole('row', { name: /downloading.*\d+:\d\d:\d\d/ }).waitFor();
  await steps.getByRole('row', { name: /running.*\d+:\d\d:\d\d.*now/ }).waitFor();
  await page.getByRole('button', { name: 'Cancel…' }).hover();
  await page.getByText('It has begun: return it now instead.').waitFor();
  await picture(page, 'steps');
  await accessible(page, 'steps');
});

test('it stays longer within the signed limit, never past it', { skip }, async () => {
  await page.getByRole('button', { name: 'Extend…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('the image was signed for 10 min at most').waitFor();
  await dialog.getByLabel('Minutes longer').fill('6');
  await dialog.getByText('The image allows 10 min in all: 5 min more at most.').first().waitFor();
  assert.equal(await dialog.getByRole('button', { name: /^Extend for/ }).getAttribute('aria-disabled'), 'true');
  await dialog.getByLabel('Minutes longer').fill('2');
  await dialog.getByText(`locum run extend 1 1 --duration 420s --device ${first}`).waitFor();
  await accessible(page, 'extend dialog');
  await dialog.getByRole('button', { name: `Extend for ${first} to 7 min` }).click();
  await until('the device has the longer time', async () => { const a = await one(first); return a.duration_s === 420 && new Date(a.ends_at) - new Date(a.started_at) > 400000; }, 40000);
});

test('it is returned now, proven, and its steps are all there', { skip }, async () => {
  await page.getByRole('button', { name: 'Return now…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Reason (optional)').fill('seen enough');
  await dialog.getByText(`locum run return-now 1 1 --device ${first} --reason 'seen enough'`).waitFor();
  await accessible(page, 'return dialog');
  await dialog.getByRole('button', { name: `Return ${first} now` }).click();
  await page.getByRole('heading', { name: 'Proof of the return' }).waitFor({ timeout: 60000 });
  await page.getByText('0 processes, mounts and files').waitFor();
  const steps = page.getByRole('table', { name: 'Steps' });
  await steps.getByRole('row', { name: /uploading/ }).waitFor({ timeout: 40000 });
  await until('it is over', async () => ['done', 'cancelled'].includes((await one(first)).state), 40000);
  await picture(page, 'steps-done');
  await accessible(page, 'steps of a device that is back');
  assert.ok((await world.api('GET', '/audit')).some((row) => JSON.stringify(row).includes('seen enough')), 'the reason is in the audit log');
});

test('all others are returned at once, and the run says who ended it', { skip }, async () => {
  await until('the second device is on the image', async () => (await one(second)).state === 'running', 60000);
  await visit(page, world, '/campaigns/1/runs/1');
  await page.getByRole('button', { name: 'Return now…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('returns to its app now and sends what was collected').waitFor();
  await dialog.getByRole('button', { name: 'Return 1 device now' }).click();
  await page.getByRole('row', { name: new RegExp(`${second}.*proven`) }).waitFor({ timeout: 60000 });
  await until('the run is over', async () => (await world.api('GET', '/campaigns/1')).state === 'ended', 60000);
  await page.locator('.lead').getByText('ended by admin').waitFor();
  assert.equal(await page.getByText('over by').count(), 0, 'who came back in time is not late');
  await page.getByRole('button', { name: 'Return now…' }).hover();
  await page.getByText(/^The run is (aborted|completed)\.$/).first().waitFor();
});

test('the pages made no errors', { skip }, async () => {
  await settled(page);
  noProblems(page);
});
