// Devices that do not come back: the loudest thing on every page, and live. Devices here are made by hand, since a real agent returns.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { World, until } from '../flow/lib/locum.mjs';
import { Hand } from '../flow/lib/hand.mjs';
import { Browser, accessible, noProblems, picture, settled, visit } from './lib/browser.mjs';

const limits = { entry: ['./run'], mode: 'replace', max_runtime_s: 60, grace_s: 1, max_output: 1 << 20, max_memory: 64 << 20, max_pids: 32, collect: [], network: 'none', outputs: [{ path: 'run.log', type: 'log' }] };
const zulu = (ms) => new Date(ms).toISOString().replace(/\.\d+/, '');
/* The colours of style.css as the browser says them. */
const DANGER = { light: 'rgb(179, 38, 30)', dark: 'rgb(255, 154, 145)' };
let world, browser, page, campaign;
const hands = {};
before(async () => {
  world = await World.open();
  await world.publish('demo/look', '1.0.0', { 'diagnostic.json': JSON.stringify(limits), run: { bytes: '#!/bin/sh\n', mode: 0o755 } }, '--kind', 'diagnostic');
  for (const name of ['quiet-1', 'wrong-1', 'safe-1']) {
    const hand = (hands[name] = new Hand(world));
    const { code } = await world.json('device', 'claim', '--product', 'demo');
    assert.equal((await hand.enrol(code, { name })).status, 200);
    assert.equal((await hand.open()).status, 200);
    assert.equal((await hand.checkin({ app: { state: 'running', pid: 7, since: zulu(Date.now()) } })).status, 200);
  }
  browser = await Browser.open(world);
  page = await browser.page();
});
after(async () => {
  await browser?.close();
  await world?.close();
});

const chip = () => page.locator('header .chip').first();
const background = (locator) => locator.evaluate((one) => getComputedStyle(one).backgroundColor);
const needs = () => page.getByRole('region', { name: 'Needs a person' });

/* Takes the order, says that the image runs, and gives the run's id. */
async function begins(hand) {
  const order = await until('the order with the run', async () => { await hand.checkin(); return hand.order?.runs.length && hand.order; });
  const [{ id }] = order.runs;
  const ends_at = zulu(Date.now() + 1000);
  const told = await hand.report({ type: 'assignment', run: id, state: 'running', reason: null, ends_at });
  assert.equal(told.status, 200, told.text);
  const answer = await hand.checkin({ image: { run: id, campaign, image: 'look', version: '1.0.0', state: 'running', started_at: zulu(Date.now()), ends_at } });
  assert.equal(answer.status, 200, answer.text);
  return id;
}

test('a device on a diagnostic image is counted on every page, calmly', async () => {
  await visit(page, world, '/');
  await chip().getByText('0 devices on a diagnostic image').waitFor();
  campaign = (await world.api('POST', '/campaigns', { image: 'demo/look', devices: ['quiet-1', 'wrong-1'], duration_s: 1, at: null, parallel: null })).id;
  await begins(hands['quiet-1']);
  const id = await begins(hands['wrong-1']);
  await chip().getByText('2 devices on a diagnostic image').waitFor();
  assert.notEqual(await background(chip()), DANGER.light);
  /* One comes back otherwise than it left. */
  const proof = hands['wrong-1'].proof(id, { equal: false, after: 'f'.repeat(64), leftovers: 2 });
  const told = await hands['wrong-1'].report({ type: 'assignment', run: id, state: 'uploading', reason: null, proof, capture: 'none', capture_reason: 'empty' },
    { type: 'assignment', run: id, state: 'done', reason: null, proof, capture: 'none', capture_reason: 'empty' });
  assert.equal(told.status, 200, told.text);
  await hands['wrong-1'].checkin({ image: null });
  await needs().getByText('wrong-1 did not return as it was').waitFor();
});

test('a device that stays silent past its deadline becomes the loudest thing on the page that is open', async () => {
  const item = needs().getByRole('listitem').filter({ hasText: 'quiet-1 has not returned' });
  await item.waitFor({ timeout: 120000 });
  await chip().getByText(/, \d overdue/).waitFor();
  assert.equal(await background(chip()), DANGER.light);
  assert.equal(await background(item), DANGER.light);
  const order = await page.locator('main h2').allInnerTexts();
  assert.equal(order[0], 'Needs a person', `before all else: ${order}`);
  const sizes = await page.evaluate(() => ['.needs .loud', '.needs li:not(.loud)', 'main p'].map((what) => parseFloat(getComputedStyle(document.querySelector(what) ?? document.body).fontSize)));
  assert.ok(sizes[0] > sizes[1] && sizes[0] > sizes[2], `sizes ${sizes}`);
  for (const colorScheme of ['dark', 'light']) {
    await page.emulateMedia({ colorScheme });
    assert.equal(await background(chip()), DANGER[colorScheme]);
    await accessible(page, `alarms ${colorScheme}`);
    await picture(page, `alarms-${colorScheme}`);
  }
  await chip().click();
  await item.getByRole('link').click();
  await page.getByRole('heading', { name: `Campaign ${campaign}`, level: 1 }).waitFor();
});

test('its run says so first, with how long it is over, and so does the device', async () => {
  const alarm = page.getByRole('alert');
  await alarm.getByText(/quiet-1 should be back and has not said so: over by\s+\d+:\d\d/).waitFor();
  await alarm.getByText('wrong-1 did not return as it was').waitFor();
  assert.equal(await background(alarm), DANGER.light);
  const rows = page.getByRole('table', { name: 'Devices of the run' }).getByRole('row');
  await rows.filter({ hasText: 'quiet-1' }).getByText('overdue').waitFor();
  await rows.filter({ hasText: 'wrong-1' }).getByText('revert failed').first().waitFor();
  for (const colorScheme of ['dark', 'light']) {
    await page.emulateMedia({ colorScheme });
    await accessible(page, `run ${colorScheme}`);
    await picture(page, `alarms-run-${colorScheme}`);
  }
  await visit(page, world, '/devices/quiet-1');
  await page.locator('main').getByText(/overdue|over by/).first().waitFor();
  await picture(page, 'alarms-device');
});

test('a good proof ends the alarm, with nobody loading the page again', async () => {
  await visit(page, world, '/');
  const hand = hands['quiet-1'];
  const [{ id }] = hand.order.runs;
  const told = await hand.report({ type: 'assignment', run: id, state: 'uploading', reason: null, proof: hand.proof(id), capture: 'none', capture_reason: 'empty' },
    { type: 'assignment', run: id, state: 'done', reason: null, proof: hand.proof(id), capture: 'none', capture_reason: 'empty' });
  assert.equal(told.status, 200, told.text);
  await hand.checkin({ image: null });
  await needs().getByText('quiet-1 has not returned').waitFor({ state: 'detached' });
});

test('a device in safe mode says why it runs without its app, on its page and on the overview', async () => {
  await hands['safe-1'].checkin({ safe: 'no set could run: the app ended 3 times', app: { state: 'stopped', pid: 0, since: null } });
  await needs().getByText('safe-1 runs without its app: no set could run: the app ended 3 times').waitFor();
  await picture(page, 'safe-overview');
  await needs().getByRole('link', { name: /^safe-1/ }).click();
  const note = page.locator('.note').filter({ hasText: 'Safe mode' });
  await note.getByText('no set could run: the app ended 3 times').waitFor();
  for (const colorScheme of ['dark', 'light']) {
    await page.emulateMedia({ colorScheme });
    await accessible(page, `safe ${colorScheme}`);
    await picture(page, `safe-device-${colorScheme}`);
  }
  delete hands['safe-1'].said.safe;
  await hands['safe-1'].checkin({ app: { state: 'running', pid: 9, since: zulu(Date.now()) } });
  await note.waitFor({ state: 'detached' });
  await settled(page);
  noProblems(page);
});
