// Groups in the browser: made by filter and by name, with who is in them before anything is saved; changed with the difference; deleted.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { World, until } from '../flow/lib/locum.mjs';
import { Browser, accessible, noProblems, picture, settled, visit } from './lib/browser.mjs';

let world, browser, page;
const tag = (name, tags) => world.api('PUT', `/devices/${name}/tags`, { tags });
before(async () => {
  world = await World.open();
  for (const name of ['cam-1', 'cam-2', 'cam-3']) await world.device(name, { start: false });
  await tag('cam-1', ['lab']);
  await tag('cam-2', ['lab']);
  browser = await Browser.open(world);
  page = await browser.page();
});
after(async () => {
  await browser?.close();
  await world?.close();
});

test('a group by filter says who would be in it, makes what it said, and follows its devices live', async () => {
  await visit(page, world, '/groups');
  await page.getByText('No group has been made yet.').waitFor();
  await page.getByRole('button', { name: 'New group' }).click();
  const dialog = page.getByRole('dialog', { name: 'New group' });
  await dialog.getByText('Give a name.').waitFor();
  await dialog.getByLabel('Name', { exact: true }).fill('Lab 1');
  await dialog.getByText('Small letters, digits').first().waitFor();
  await dialog.getByLabel('Name', { exact: true }).fill('lab');
  await dialog.getByLabel('Filter', { exact: true }).fill('tag:lab');
  await dialog.getByText('2 devices match now: cam-1, cam-2').waitFor();
  await dialog.getByText('locum group create lab --filter tag:lab').waitFor();
  await accessible(page, 'group dialog');
  await dialog.getByRole('button', { name: 'Make group lab' }).click();
  await page.getByRole('heading', { name: 'lab', level: 1 }).waitFor();
  await page.getByText('2 devices', { exact: false }).first().waitFor();
  assert.equal((await world.api('GET', '/groups/lab')).filter, 'tag:lab');
  await tag('cam-3', ['lab']);
  await page.locator('main').getByRole('link', { name: 'cam-3' }).waitFor();
  await tag('cam-3', []);
  await page.locator('main').getByRole('link', { name: 'cam-3' }).waitFor({ state: 'detached' });
});

test('a filter that is wrong or matches nobody says so before it is saved', async () => {
  await visit(page, world, '/groups?new=1');
  const dialog = page.getByRole('dialog', { name: 'New group' });
  await dialog.getByLabel('Name', { exact: true }).fill('none');
  await dialog.getByLabel('Filter', { exact: true }).fill('tag:nowhere');
  await dialog.getByText('0 devices match now').waitFor();
  await dialog.getByLabel('Filter', { exact: true }).fill('product:(');
  await dialog.locator('.bad').waitFor();
  assert.equal(await dialog.getByRole('button', { name: 'Make group none' }).getAttribute('aria-disabled'), 'true');
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  assert.equal((await world.api('GET', '/groups')).length, 1);
  page.problems = page.problems.filter((one) => !/status of 400/.test(one)); // the wrong filter
});

test('a change shows who comes and who goes before it is saved', async () => {
  await visit(page, world, '/groups/lab');
  await page.getByRole('button', { name: 'Change…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Change group lab' });
  await dialog.getByText('The members stay as they are.').waitFor();
  await dialog.getByLabel('Filter', { exact: true }).fill('name~cam-2 or name~cam-3');
  await dialog.getByText('comes in: cam-3').waitFor();
  await dialog.getByText('goes out: cam-1').waitFor();
  await picture(page, 'group-change');
  await accessible(page, 'group change');
  await dialog.getByRole('button', { name: 'Save lab' }).click();
  await dialog.waitFor({ state: 'detached' });
  await page.locator('main').getByRole('link', { name: 'cam-3' }).waitFor();
  await until('the group has its new members', async () => (await world.api('GET', '/groups/lab')).members.join() === 'cam-2,cam-3');
});

test('a fixed group is chosen by name and changed by name', async () => {
  await visit(page, world, '/groups?new=1');
  let dialog = page.getByRole('dialog', { name: 'New group' });
  await dialog.getByLabel('Name', { exact: true }).fill('field');
  await dialog.getByLabel('Fixed: chosen by name').check();
  await dialog.getByText('Choose at least one device.').waitFor();
  await dialog.getByLabel('cam-1').check();
  await dialog.getByText('locum group create field --device cam-1').waitFor();
  await dialog.getByRole('button', { name: 'Make group field' }).click();
  await page.getByRole('heading', { name: 'field', level: 1 }).waitFor();
  await page.getByText('fixed, chosen by name').waitFor();
  await page.getByRole('button', { name: 'Change…' }).click();
  dialog = page.getByRole('dialog', { name: 'Change group field' });
  await dialog.getByLabel('cam-1').uncheck();
  await dialog.getByLabel('cam-3').check();
  await dialog.getByText('comes in: cam-3').waitFor();
  await dialog.getByText('goes out: cam-1').waitFor();
  await dialog.getByRole('button', { name: 'Save field' }).click();
  await dialog.waitFor({ state: 'detached' });
  assert.deepEqual((await world.api('GET', '/groups/field')).members, ['cam-3']);
});

test('a device names its groups, and the fleet is filtered by one', async () => {
  await visit(page, world, '/devices/cam-3');
  await page.locator('main').getByRole('link', { name: 'field' }).click();
  await page.getByRole('heading', { name: 'field', level: 1 }).waitFor();
  await page.getByRole('link', { name: 'Show in the fleet' }).click();
  await page.getByRole('link', { name: 'cam-3' }).waitFor();
  assert.equal(await page.getByRole('link', { name: 'cam-1' }).count(), 0);
});

test('a group is deleted once its name is typed', async () => {
  await visit(page, world, '/groups/field');
  await page.getByRole('button', { name: 'Delete…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Delete group field' });
  const button = dialog.getByRole('button', { name: 'Delete field' });
  assert.equal(await button.getAttribute('aria-disabled'), 'true');
  await dialog.getByLabel('Type field').fill('field');
  await button.click();
  await page.getByRole('heading', { name: 'Groups', level: 1 }).waitFor();
  await page.getByRole('link', { name: 'lab' }).waitFor();
  assert.deepEqual((await world.api('GET', '/groups')).map((one) => one.name), ['lab']);
});

test('who may only look sees the groups, and why they cannot change them', async () => {
  await world.api('POST', '/operators', { name: 'vera', password: 'correct horse battery', role: 'viewer' });
  const other = await browser.page({ operator: 'vera', password: 'correct horse battery' });
  await visit(other, world, '/groups');
  const button = other.getByRole('button', { name: 'New group' });
  assert.equal(await button.getAttribute('aria-disabled'), 'true');
  await button.hover();
  await other.getByText('Needs the role support').waitFor();
  noProblems(other);
});

test('the pages made no errors', async () => {
  await settled(page);
  noProblems(page);
});
