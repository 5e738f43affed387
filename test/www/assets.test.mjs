// Assets in the browser: publish by upload, with the hash computed in the browser; resume; compare; release.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { World, path } from '../flow/lib/locum.mjs';
import { Browser, accessible, noProblems, visit } from './lib/browser.mjs';

const model = randomBytes(9 << 20); // more than two pieces
const labels = 'cpu\nmemory\ndisk\n';
let world, browser, page;
before(async () => {
  world = await World.open();
  await world.file('one/model.bin', model);
  await world.file('one/labels.txt', labels);
  await world.file('one/tables/deep/empty.txt', '');
  await world.file('one/tables/tool', '#!/bin/sh\nexit 0\n');
  browser = await Browser.open(world);
  page = await browser.page();
});
after(async () => {
  await browser?.close();
  await world?.close();
});

test('a folder becomes the first version of an asset, byte for byte', async () => {
  await visit(page, world, '/assets');
  await page.getByText('No asset has been published yet.').waitFor();
  await page.getByRole('button', { name: 'Publish an asset' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.locator('[data-folder]').setInputFiles(path.join(world.folder, 'one'));
  await dialog.getByLabel('Product').fill('demo');
  await dialog.getByLabel('Asset', { exact: true }).fill('detector');
  await dialog.getByLabel('Notes').fill('The first one.');
  await dialog.getByText('4 files', { exact: false }).first().waitFor();
  await dialog.getByText('on the server').nth(3).waitFor();
  await dialog.getByText(createHash('sha256').update(model).digest('hex')).waitFor();
  assert.equal(await dialog.getByLabel('program tables/tool').isChecked(), true, 'a script is proposed as a program');
  await accessible(page, 'publish dialog');
  await dialog.getByRole('button', { name: 'Publish detector 1.0.0' }).click();
  await page.getByRole('heading', { name: 'detector', level: 1 }).waitFor();
  await page.getByText('Published detector 1.0.0.').waitFor();
  const version = await world.api('GET', '/assets/demo/detector/versions/1.0.0');
  assert.deepEqual(version.manifest.files.map((file) => [file.path, file.length, file.mode]),
    [['labels.txt', labels.length, 420], ['model.bin', model.length, 420], ['tables/deep/empty.txt', 0, 420], ['tables/tool', 17, 493]]);
  assert.equal(version.notes, 'The first one.');
  assert.equal(version.manifest.files[1].sha256, createHash('sha256').update(model).digest('hex'));
});

test('what is dropped is taken, and the next version is proposed', async () => {
  await visit(page, world, '/assets/demo/detector');
  await page.getByRole('button', { name: 'Publish a version' }).click();
  const dialog = page.getByRole('dialog');
  assert.equal(await dialog.getByLabel('Version').inputValue(), '1.0.1');
  const transfer = await page.evaluateHandle((text) => {
    const data = new DataTransfer();
    data.items.add(new File([text], 'labels.txt'));
    data.items.add(new File([new Uint8Array(300000).fill(7)], 'model.bin'));
    return data;
  }, 'cpu\nmemory\nswap\ndisk\n');
  await dialog.locator('.drop').dispatchEvent('drop', { dataTransfer: transfer });
  await dialog.getByText('on the server').nth(1).waitFor();
  await dialog.getByLabel('Version').fill('1.1');
  await dialog.getByText('A semantic version, for example').first().waitFor();
  await dialog.getByLabel('Version').fill('1.1.0');
  await dialog.getByRole('button', { name: 'Publish detector 1.1.0' }).click();
  await page.getByRole('cell', { name: '1.1.0' }).first().waitFor();
});

test('an upload that is cut goes on where the server stopped', async () => {
  const bytes = randomBytes(10 << 20);
  await world.file('cut/model.bin', bytes);
  const offsets = [];
  let cut = 0;
  await page.route('**/api/v1/objects/**', async (route) => {
    const request = route.request();
    if (request.method() === 'PUT') {
      offsets.push(Number(new URL(request.url()).searchParams.get('offset')));
      if (offsets.length === 2 && !cut++) return route.abort();
    }
    return route.continue();
  });
  await visit(page, world, '/assets/demo/detector');
  await page.getByRole('button', { name: 'Publish a version' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.locator('[data-files]').setInputFiles(path.join(world.folder, 'cut/model.bin'));
  await dialog.getByText('on the server').waitFor();
  await page.unroute('**/api/v1/objects/**');
  assert.deepEqual(offsets, [0, 4 << 20, 4 << 20, 8 << 20]);
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  page.problems = page.problems.filter((one) => !one.includes('ERR_FAILED'));
});

test('two versions are compared: text by lines, everything else by facts', async () => {
  await visit(page, world, '/assets/demo/detector');
  await page.getByRole('link', { name: 'Compare', exact: true }).first().click();
  await page.waitForURL(/compare\/1\.0\.0\.\.\.1\.1\.0$/);
  await page.locator('.line-added .line-text', { hasText: 'swap' }).waitFor();
  await page.getByText('First difference at byte').waitFor();
  await page.getByText('removed', { exact: true }).first().waitFor();
  await page.getByRole('button', { name: 'Swap sides' }).click();
  await page.locator('.line-removed .line-text', { hasText: 'swap' }).waitFor();
});

test('history and files tell who, when, why and the hashes', async () => {
  await visit(page, world, '/assets/demo/detector/history');
  await page.getByText('The first one.').waitFor();
  assert.equal(await page.locator('.timeline li').count(), 2);
  assert.match(await page.locator('.timeline-what').first().textContent(), /^published 1\.1\.0$/);
  await visit(page, world, '/assets/demo/detector/files?version=1.0.0');
  const saved = page.waitForEvent('download');
  await page.getByRole('link', { name: 'model.bin' }).click();
  assert.deepEqual(await readFile(await (await saved).path()), model);
});

test('a release says before for how many devices, and after that it is one', async () => {
  await visit(page, world, '/assets/demo/detector');
  await page.getByRole('button', { name: 'Release… 1.1.0' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('locum asset release demo/detector 1.1.0').waitFor();
  await dialog.getByRole('button', { name: 'Release 1.1.0 for 0 devices' }).click();
  await dialog.waitFor({ state: 'detached' });
  await page.getByRole('row', { name: /1\.1\.0/ }).getByText('released').waitFor();
  await page.getByRole('button', { name: 'Release… 1.1.0' }).click(); // a group may still have another one
  await dialog.getByText('This version is the release already.').waitFor();
  assert.equal(await dialog.getByRole('button', { name: /^Release 1\.1\.0/ }).getAttribute('aria-disabled'), 'true');
  await page.keyboard.press('Escape');
  assert.equal((await world.api('GET', '/assets/demo/detector')).released, '1.1.0');
});

test('the pages made no errors', () => noProblems(page));
