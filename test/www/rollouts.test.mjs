// Rollouts in the browser, with real devices: the form and its dry run, a rollout that is watched to its end, one that a gate holds.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { World, until } from '../flow/lib/locum.mjs';
import { Browser, accessible, noProblems, picture, settled, visit } from './lib/browser.mjs';

let world, browser, page;
before(async () => {
  world = await World.open();
  for (const version of ['1.0.0', '1.1.0', '1.2.0']) await world.publish('demo/detector', version, { 'model.txt': `${version}\n` }, '--kind', 'model');
  await world.release('demo/detector', '1.0.0');
  for (const name of ['cam-1', 'cam-2', 'cam-3']) await world.device(name);
  await world.device('cam-off', { start: false });
  for (const one of world.devices.slice(0, 3)) await one.runs('detector', '1.0.0');
  await world.api('POST', '/groups', { name: 'lab', devices: ['cam-1', 'cam-2', 'cam-3'] });
  browser = await Browser.open(world);
  page = await browser.page();
});
after(async () => {
  await browser?.close();
  await world?.close();
});
const rollout = (id) => world.api('GET', `/rollouts/${id}`);

test('the form shows the dry run of what it says, and why it cannot be started', async () => {
  await visit(page, world, '/rollouts');
  await page.getByText('No rollout has been made yet.').waitFor();
  await page.getByRole('link', { name: 'New rollout' }).click();
  await page.getByLabel('To version').selectOption('1.1.0');
  const plan = page.getByRole('complementary', { name: 'Dry run' });
  await plan.getByText('3 devices move to').waitFor();
  await page.getByRole('textbox', { name: 'Stages' }).fill('none');
  await plan.getByText('Shares or numbers of devices').first().waitFor();
  assert.equal(await plan.locator('button[type=submit]').getAttribute('aria-disabled'), 'true');
  await page.getByRole('textbox', { name: 'Stages' }).fill('1, 100%');
  await page.getByLabel('Soak').fill('1s');
  await plan.getByText('1: 1', { exact: true }).waitFor();
  await plan.getByText('2: 100%', { exact: true }).waitFor();
  await page.getByLabel('Take it up only inside a window').check();
  await page.getByText("In each device's own time zone, not yours.").waitFor();
  await plan.getByText('--window 02:00-05:00', { exact: false }).waitFor();
  await page.getByLabel('Take it up only inside a window').uncheck();
  await page.getByLabel('All that match a filter').check();
  await page.getByLabel('Filter', { exact: true }).fill('name~cam-off');
  await plan.getByText('1 device moves to').waitFor();
  await plan.getByText('1: it fails when silent past the deadline').waitFor();
  await page.getByLabel('A group', { exact: true }).check();
  await plan.getByText('3 devices move to').waitFor();
  await plan.getByText('locum rollout create demo/detector 1.1.0 --group lab --stages 1,100% --soak 1s', { exact: false }).waitFor();
  await picture(page, 'rollout-form');
  await accessible(page, 'rollout form');
});

test('a rollout is started from the form and watched, live, to its end', async () => {
  await page.getByRole('button', { name: 'Start for 3 devices' }).click();
  await page.getByRole('heading', { name: 'Rollout 1', level: 1 }).waitFor();
  const lead = page.locator('.page-title .lead');
  await lead.getByText('completed').waitFor({ timeout: 90000 });
  await page.locator('.run-bar').getByText('3 applied').waitFor();
  const stages = page.getByRole('table', { name: 'Stages' });
  assert.equal(await stages.getByText('done').count(), 2);
  for (const one of world.devices.slice(0, 3)) await one.runs('detector', '1.1.0');
  await page.getByRole('navigation', { name: 'Rollout', exact: true }).getByRole('link', { name: 'Devices' }).click();
  await page.getByRole('row', { name: /cam-2/ }).getByText('applied').waitFor();
  assert.equal(await page.getByRole('row', { name: /cam-/ }).count(), 3);
  await page.getByRole('navigation', { name: 'Rollout', exact: true }).getByRole('link', { name: 'Timeline' }).click();
  await page.locator('.timeline').getByText('completed').first().waitFor();
  await page.getByRole('navigation', { name: 'Rollout', exact: true }).getByRole('link', { name: 'Definition' }).click();
  await page.getByText('silence counts as failure').waitFor();
  const off = page.getByRole('button', { name: 'Abort…' });
  assert.equal(await off.getAttribute('aria-disabled'), 'true', 'it is over');
});

test('a device says that a rollout wants its version', async () => {
  await visit(page, world, '/devices/cam-1');
  const wins = page.locator('.candidates .wins');
  await wins.getByText('1.1.0', { exact: true }).waitFor();
  await wins.getByRole('link', { name: '1', exact: true }).click();
  await page.getByRole('heading', { name: 'Rollout 1', level: 1 }).waitFor();
});

test('a rollout that silent devices fail is held by its gate, with the figures, and is rolled back', async () => {
  await visit(page, world, '/rollouts/1');
  await page.getByRole('link', { name: 'Clone' }).click();
  assert.equal(await page.getByRole('textbox', { name: 'Stages' }).inputValue(), '1, 100%');
  await page.getByLabel('To version').selectOption('1.2.0');
  await page.getByLabel('By name').check();
  for (const name of ['cam-1', 'cam-off']) await page.getByLabel(name).check();
  await page.getByRole('textbox', { name: 'Stages' }).fill('100%');
  await page.getByLabel('Deadline for a device').fill('8s');
  await page.getByLabel('Most failures in a stage').fill('0');
  await page.getByLabel('Tries again').fill('0');
  await page.getByRole('button', { name: 'Start for 2 devices' }).click();
  await page.getByRole('heading', { name: 'Rollout 2', level: 1 }).waitFor();
  await page.locator('.page-title .lead').getByText('held').waitFor({ timeout: 90000 });
  const failures = page.getByRole('region', { name: 'Failures' });
  await failures.getByRole('link', { name: 'cam-off' }).waitFor();
  await until('cam-1 has it', async () => (await rollout(2)).counts.applied === 1, 60000);
  await picture(page, 'rollout-held');
  await accessible(page, 'held rollout');
  await page.getByRole('button', { name: 'Roll back…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('1 that took it goes back as well').waitFor();
  await dialog.getByLabel('Reason').fill('too slow');
  await dialog.getByText("locum rollout roll-back 2 --reason 'too slow'").waitFor();
  await accessible(page, 'roll back dialog');
  await dialog.getByRole('button', { name: 'Roll back for 1 device' }).click();
  await dialog.waitFor({ state: 'detached' });
  await world.devices[0].runs('detector', '1.1.0');
});

test('a draft is started, paused, resumed and aborted, each saying for how many', async () => {
  const { id } = await world.api('POST', '/rollouts', { product: 'demo', asset: 'detector', version: '1.2.0', devices: ['cam-2', 'cam-3'], stages: ['50%', '100%'], soak_s: 3600, device_deadline_s: 3600, draft: true });
  await visit(page, world, `/rollouts/${id}`);
  const lead = page.locator('.page-title .lead');
  await lead.getByText('draft').waitFor();
  await page.getByRole('button', { name: 'Start…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('2 are asked, stage by stage').waitFor();
  await dialog.getByRole('button', { name: 'Start for 2 devices' }).click();
  await dialog.waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Pause', exact: true }).click();
  await lead.getByText('paused').waitFor();
  await page.getByRole('button', { name: 'Resume…' }).click();
  await dialog.getByRole('button', { name: /^Resume for/ }).click();
  await dialog.waitFor({ state: 'detached' });
  await lead.getByText(/running|soaking/).waitFor();
  await visit(page, world, `/rollouts/${id}/devices`);
  const pending = page.getByRole('row', { name: /pending/ });
  await pending.getByRole('checkbox').check();
  await page.getByRole('button', { name: 'Exclude 1 device…' }).click();
  await dialog.getByRole('button', { name: 'Exclude 1 device' }).click();
  await dialog.waitFor({ state: 'detached' });
  await page.getByRole('row', { name: /skipped/ }).waitFor();
  await page.getByRole('button', { name: 'Abort…' }).click();
  await dialog.getByText('not begun').waitFor();
  const asked = page.waitForRequest((one) => one.url().endsWith('/abort'));
  await dialog.getByRole('button', { name: /^Abort for/ }).click();
  assert.ok(!('expect' in (await asked).postDataJSON()), 'it may have gone from running to soaking just now');
  await dialog.waitFor({ state: 'detached' });
  await lead.getByText(/aborting|aborted/).waitFor();
});

test('the list shows every rollout and finds one', async () => {
  await visit(page, world, '/rollouts');
  assert.equal(await page.getByRole('row', { name: /detector/ }).count(), 3);
  await page.getByLabel('Search in the rollouts shown').fill('1.1.0');
  await page.getByText('1 rollout', { exact: true }).waitFor();
  await accessible(page, 'rollouts');
});

test('the pages made no errors', async () => {
  await settled(page);
  noProblems(page);
});
