// Releases, pins and withdrawal in the browser, with real devices: proven before it is released, held on one device, and why.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { World, until } from '../flow/lib/locum.mjs';
import { Browser, accessible, noProblems, picture, settled, visit } from './lib/browser.mjs';

let world, browser, page;
before(async () => {
  world = await World.open();
  for (const version of ['1.0.0', '1.1.0']) await world.publish('demo/detector', version, { 'model.txt': `${version}\n` }, '--kind', 'model');
  await world.release('demo/detector', '1.0.0');
  for (const name of ['cam-1', 'cam-2']) await world.device(name);
  await world.device('cam-off', { start: false });
  for (const one of world.devices.slice(0, 2)) await one.runs('detector', '1.0.0');
  await world.api('POST', '/groups', { name: 'lab', devices: ['cam-2'] });
  browser = await Browser.open(world);
  page = await browser.page();
});
after(async () => {
  await browser?.close();
  await world?.close();
});
const versionRow = (version) => page.getByRole('table', { name: 'Versions' }).getByRole('row').filter({ has: page.getByRole('link', { name: version, exact: true }) });
const releaseDialog = async (version) => {
  await visit(page, world, '/assets/demo/detector');
  await page.getByRole('button', { name: `Release… ${version}` }).click();
  const dialog = page.getByRole('dialog', { name: `Release detector ${version}` });
  await dialog.getByText('not in touch').waitFor();
  return dialog;
};

test('a product asks for proof, and what is not proven is off, with the reason and the way', async () => {
  const dialog = await releaseDialog('1.1.0');
  await dialog.getByText('demo asks for none first.').waitFor();
  await dialog.getByRole('button', { name: 'Ask for 1 from now on' }).click();
  await dialog.getByText('proven running on 1 device').waitFor();
  await dialog.getByText('pin it to 1.1.0').waitFor();
  await dialog.getByText('Not proven yet: it runs on 0 of the 1 devices that demo asks for.').waitFor();
  const button = dialog.getByRole('button', { name: 'Release 1.1.0 for 3 devices' });
  assert.equal(await button.getAttribute('aria-disabled'), 'true');
  await dialog.getByLabel('Release it although it is not proven').check();
  await dialog.getByText('Give a reason').waitFor();
  await dialog.getByLabel('Reason').fill('a test');
  await dialog.getByText("locum asset release demo/detector 1.1.0 --force --reason 'a test'").waitFor();
  assert.equal(await button.getAttribute('aria-disabled'), null);
  await accessible(page, 'release that is not proven');
  await page.keyboard.press('Escape');
  assert.equal((await world.api('GET', '/products/demo')).settings['release.proven_on'], 1);
  assert.equal((await world.api('GET', '/assets/demo/detector')).released, '1.0.0', 'nothing was released');
});

test('a device is pinned, runs the version, and its page says why', async () => {
  await visit(page, world, '/devices/cam-1');
  await page.getByRole('button', { name: 'Pin… detector' }).click();
  const dialog = page.getByRole('dialog', { name: 'Pin detector on cam-1' });
  await dialog.getByLabel('Version').selectOption('1.1.0');
  await dialog.getByLabel('Reason').fill('tries it first');
  await dialog.getByText('locum device pin cam-1 demo/detector 1.1.0').waitFor();
  await accessible(page, 'pin dialog');
  await dialog.getByRole('button', { name: 'Pin to 1.1.0' }).click();
  await dialog.waitFor({ state: 'detached' });
  const assets = page.getByRole('table', { name: 'Assets of the device' });
  await assets.getByText('pinned to 1.1.0 by admin').waitFor();
  await assets.getByText('tries it first', { exact: false }).waitFor();
  const candidates = page.getByRole('list', { name: 'Candidates for detector' });
  await candidates.locator('.wins', { hasText: 'pinned' }).getByText('1.1.0', { exact: true }).waitFor();
  await candidates.locator(':not(.wins)', { hasText: "product's release" }).getByText('1.0.0', { exact: true }).first().waitFor();
  await page.locator('.runs-now').getByText('1.1.0').waitFor();
  await picture(page, 'device-pinned');
});

test('a device that is not online is pinned for its next start only', async () => {
  await visit(page, world, '/devices/cam-off');
  await page.getByRole('button', { name: 'Pin… detector' }).click();
  const dialog = page.getByRole('dialog', { name: 'Pin detector on cam-off' });
  assert.equal(await dialog.getByLabel('At its next start').isChecked(), true);
  await dialog.getByLabel('Now').check();
  await dialog.getByText('The device is not online').waitFor();
  await page.keyboard.press('Escape');
});

test('what is proven is released to a group, whose devices take it', async () => {
  await visit(page, world, '/assets/demo/detector');
  const row = versionRow('1.1.0');
  await row.getByText('all proven').waitFor();
  const dialog = await releaseDialog('1.1.0');
  await dialog.getByLabel('For').selectOption('lab');
  await dialog.getByText('locum asset release demo/detector 1.1.0 --group lab').waitFor();
  await dialog.getByRole('button', { name: 'Release 1.1.0 for 1 device' }).click();
  await dialog.waitFor({ state: 'detached' });
  await row.getByText('in lab').waitFor();
  await world.devices[1].runs('detector', '1.1.0');
  await row.getByText('2', { exact: true }).first().waitFor();
  await page.getByRole('table', { name: 'Releases to groups' }).getByRole('link', { name: 'lab' }).waitFor();
  await picture(page, 'asset-groups');
  await accessible(page, 'asset with a group release');
});

test('unpinned it takes the release of its product; a development device keeps what it has', async () => {
  await visit(page, world, '/devices/cam-1');
  await page.getByRole('button', { name: 'Unpin detector' }).click();
  await page.getByText('no longer pinned').waitFor();
  await page.locator('.candidates .wins', { hasText: "product's release" }).waitFor();
  await world.devices[0].runs('detector', '1.0.0');
  await page.getByRole('button', { name: 'Make it a development device' }).click();
  await page.getByText('yes: it keeps what it has').waitFor();
  await page.locator('.candidates .wins', { hasText: 'development' }).waitFor();
  await page.getByRole('button', { name: 'End development' }).click();
  await page.getByText('no: it takes releases and rollouts').waitFor();
});

test('a version is withdrawn with a reason, and the page names who still runs it', async () => {
  await visit(page, world, '/assets/demo/detector');
  await page.getByRole('button', { name: 'Withdraw… 1.1.0' }).click();
  const dialog = page.getByRole('dialog', { name: 'Withdraw detector 1.1.0' });
  await dialog.getByRole('link', { name: 'cam-2' }).waitFor();
  await dialog.getByLabel('Reason').fill('finds cats where there are none');
  await dialog.getByText('Type 1.1.0 to go on.').waitFor();
  await dialog.getByLabel('Type 1.1.0').fill('1.1.0');
  await accessible(page, 'withdraw dialog');
  await dialog.getByRole('button', { name: 'Withdraw 1.1.0' }).click();
  await dialog.waitFor({ state: 'detached' });
  await versionRow('1.1.0').getByText('withdrawn', { exact: true }).waitFor();
  const still = page.getByRole('region', { name: 'Still on 1.1.0, which is withdrawn' });
  await still.getByText('finds cats where there are none').waitFor();
  await still.getByRole('link', { name: 'cam-2' }).waitFor();
  const button = page.getByRole('button', { name: 'Release… 1.1.0' });
  assert.equal(await button.getAttribute('aria-disabled'), 'true');
  await picture(page, 'asset-withdrawn');
  await accessible(page, 'asset with a withdrawn version');
});

test('the rules of a product are changed on its page', async () => {
  await visit(page, world, '/assets/demo/detector');
  await page.getByRole('navigation', { name: 'Where you are' }).getByRole('link', { name: 'demo' }).click();
  await page.getByRole('heading', { name: 'demo', level: 1 }).waitFor();
  const proven = page.getByLabel('Devices that must run a version');
  await proven.fill('many');
  await page.locator('p.bad').getByText('A whole number from 0.').waitFor();
  await proven.fill('0');
  await page.getByText('locum product set demo release.proven_on=0').waitFor();
  await page.getByRole('button', { name: 'Save rules' }).click();
  await page.getByText('Nothing is changed.').waitFor();
  await until('the rule is kept', async () => (await world.api('GET', '/products/demo')).settings['release.proven_on'] === 0);
});

test('the pages made no errors', async () => {
  await settled(page);
  noProblems(page);
});
