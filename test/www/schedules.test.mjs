// Campaigns that repeat, in the browser: the form and its dry run, the next times in UTC and on the devices' clocks, the calendar, pause, approval.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { World, until } from '../flow/lib/locum.mjs';
import { Browser, accessible, noProblems, picture, settled, visit } from './lib/browser.mjs';

const limits = { entry: ['./run'], mode: 'replace', max_runtime_s: 900, grace_s: 5, max_output: 1 << 20, max_memory: 64 << 20, max_pids: 32, collect: ['proc', 'app-logs'], network: 'none', outputs: [{ path: 'out.log', type: 'log' }] };
const ZONES = { 'cam-berlin': 'Europe/Berlin', 'cam-york': 'America/New_York' };
let world, browser, page;
before(async () => {
  world = await World.open();
  await world.publish('demo/raw', '1.0.0', { 'diagnostic.json': JSON.stringify(limits), run: { bytes: '#!/bin/sh\n', mode: 0o755 } }, '--kind', 'diagnostic');
  for (const [name, TZ] of Object.entries(ZONES)) await (await world.device(name, { start: false })).start({ TZ });
  for (const [name, zone] of Object.entries(ZONES)) await until(`${name} says its zone`, async () => (await world.api('GET', `/devices/${name}`)).timezone === zone);
  browser = await Browser.open(world);
  page = await browser.page();
});
after(async () => {
  await browser?.close();
  await world?.close();
});
const aside = () => page.getByRole('complementary', { name: 'Before you send it' });

test('the form says what is wrong with a schedule, and the dry run shows its next times', async () => {
  await visit(page, world, '/campaigns/new?filter=product%3Ademo');
  await page.getByLabel('Repeatedly').check();
  await page.getByLabel('Repeat', { exact: true }).selectOption('weekly');
  await page.getByLabel('Monday').uncheck();
  await aside().getByText('Choose at least one day.').waitFor();
  assert.equal(await aside().locator('button[type=submit]').getAttribute('aria-disabled'), 'true');
  await page.getByLabel('Tuesday').check();
  await page.getByLabel('Friday').check();
  await page.getByLabel('Only inside a window of the day').check();
  await page.getByLabel('Not on (optional)').fill('Christmas');
  await aside().getByText('Dates as 2026-12-24.').waitFor();
  await page.getByLabel('Not on (optional)').fill('2031-12-24');
  await aside().getByText('Weekly on Tuesday and Friday, between 02:00 and 05:00 of each device\'s own time').waitFor();
  const times = aside().getByRole('table', { name: 'Next times' });
  await times.getByText('Europe/Berlin').first().waitFor();
  const rows = await until('a heading and five times', async () => { const all = await times.getByRole('row').allInnerTexts(); return all.length === 6 && all; });
  for (const row of rows.slice(1)) assert.match(row, /^(Tue|Fri|Mon|Thu) \d{4}-\d\d-\d\d \d\d:\d\d[\s\S]*02:00 Europe\/Berlin[\s\S]*02:00 America\/New_York/);
  assert.match(await aside().innerText(), /--window 02:00-05:00 --repeat weekly:tue,fri --blackout 2031-12-24/);
  await picture(page, 'schedule');
  await accessible(page, 'schedule');
});

test('what it reads and writes is narrowed, and said before it is sent', async () => {
  await page.getByLabel("the app's log").uncheck();
  await aside().getByText("Only the device's /proc, with the rights of its own user.").waitFor();
  await aside().getByText("leaves out the app's log").waitFor();
  await page.getByLabel('Blot out (optional)').fill('password=[^ ]+\ntoken=[^ ]+');
  await page.getByLabel('KiB at most (optional)').fill('4096');
  await aside().getByText('The image allows 1.0 MiB at most.').waitFor();
  await page.getByLabel('KiB at most (optional)').fill('512');
  await aside().getByText('1.0 MiB at most', { exact: true }).waitFor(); // 2 devices, 512 KiB each
  await page.getByLabel('Most failures (optional)').fill('5%');
  await page.getByLabel('Ticket (optional)').fill('CASE-7');
  await aside().getByText('5% of a run; more pause it until a person resumes it').waitFor();
  assert.match(await aside().innerText(), /--max-failures 5% --collect proc --redact '\(password=\[\^ \]\+\)\|\(token=\[\^ \]\+\)' --max-output 524288 --ticket CASE-7/);
});

test('it is scheduled, shown with its next times, and stands in the calendar', async () => {
  await aside().getByRole('button', { name: 'Schedule for 2 devices' }).click();
  await page.getByRole('heading', { name: 'Campaign 1', level: 1 }).waitFor();
  await page.getByText('Weekly on Tuesday and Friday, between 02:00 and 05:00 of each device\'s own time').waitFor();
  await until('its next five times', async () => (await page.getByRole('table', { name: 'Next times' }).getByRole('row').count()) === 6);
  const made = await world.api('GET', '/campaigns/1');
  assert.deepEqual([made.repeat, made.window, made.collect, made.redact, made.max_failures, made.ticket], ['weekly:tue,fri', '02:00-05:00', ['proc'], ['password=[^ ]+', 'token=[^ ]+'], '5%', 'CASE-7']);
  await picture(page, 'campaign-repeating');
  await accessible(page, 'campaign');
  await visit(page, world, '/campaigns');
  await page.getByRole('link', { name: 'Calendar' }).click();
  await page.getByRole('heading', { level: 2 }).first().waitFor();
  await until('each of the next times stands under its day', async () => (await page.getByRole('link', { name: '1: raw 1.0.0' }).count()) === 5);
  await picture(page, 'calendar');
  await accessible(page, 'calendar');
});

test('it is paused and resumed, with what that does to the devices', async () => {
  await page.getByRole('link', { name: '1: raw 1.0.0' }).first().click();
  await page.getByRole('button', { name: 'Pause campaign…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('until it is resumed').waitFor();
  await dialog.getByLabel('Reason (optional)').fill('the line stands still');
  await dialog.getByText("locum campaign pause 1 --reason 'the line stands still'").waitFor();
  await accessible(page, 'pause dialog');
  await dialog.getByRole('button', { name: /^Pause for/ }).click();
  await page.locator('.note').getByText('Paused.').waitFor();
  await until('the server says so', async () => (await world.api('GET', '/campaigns/1')).state === 'paused');
  assert.ok((await world.api('GET', '/audit')).some((one) => JSON.stringify(one).includes('the line stands still')), 'the reason is in the audit log');
  await page.getByRole('button', { name: 'Resume campaign…' }).click();
  await dialog.getByRole('button', { name: /^Resume for/ }).click();
  await page.getByRole('button', { name: 'Pause campaign…' }).waitFor();
});

test('where a product asks for two persons, who made it cannot approve it, another can', async () => {
  await world.api('PATCH', '/products/demo', { settings: { approval: 'two' } });
  await world.api('POST', '/operators', { name: 'eva', password: 'another horse battery', role: 'support' });
  await visit(page, world, '/campaigns/new?device=cam-berlin');
  await aside().getByText('Needs approval by another person').waitFor();
  await aside().getByRole('button', { name: 'Ask for approval for 1 device' }).click();
  await page.getByRole('heading', { name: 'Campaign 2', level: 1 }).waitFor();
  await page.getByText('another person must approve it before any device begins.').waitFor();
  const approve = page.getByRole('button', { name: 'Approve campaign…' });
  await approve.hover();
  await page.getByText('You made it: another person must approve it.').waitFor();
  await accessible(page, 'campaign that waits for approval');
  await visit(page, world, '/campaigns/2/runs/1');
  await page.getByRole('button', { name: 'Extend…' }).hover();
  await page.getByText('It waits for approval: it begins as it was asked for.').waitFor();
  await visit(page, world, '/campaigns/2/runs/1/devices/cam-berlin');
  await page.getByRole('button', { name: 'Extend…' }).hover();
  await page.getByText('It waits for approval: it begins as it was asked for.').waitFor();
  await visit(page, world, '/campaigns/2');
  const other = await browser.page({ operator: 'eva', password: 'another horse battery', colorScheme: 'dark' });
  await visit(other, world, '/campaigns/2');
  await picture(other, 'approval');
  await other.getByRole('button', { name: 'Approve campaign…' }).click();
  await other.getByRole('button', { name: 'Approve for 1 device' }).click();
  await other.getByText('by eva').waitFor();
  await approve.waitFor({ state: 'detached' });
  assert.equal((await world.api('GET', '/campaigns/2')).approval.by, 'eva');
  noProblems(other);
});

test('the pages made no errors', async () => {
  await settled(page);
  noProblems(page);
});
