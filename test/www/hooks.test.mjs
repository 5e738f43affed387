// Web hooks in the browser: made with a secret that is seen once, told what happens, tried again until taken, deleted.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import { World, until } from '../flow/lib/locum.mjs';
import { Browser, accessible, noProblems, picture, settled, visit } from './lib/browser.mjs';

const limits = { entry: ['./run'], mode: 'replace', max_runtime_s: 60, grace_s: 1, max_output: 1 << 20, max_memory: 64 << 20, max_pids: 32, collect: [], network: 'none', outputs: [{ path: 'run.log', type: 'log' }] };
const later = new Date(Date.now() + 86400000).toISOString().slice(0, 19) + 'Z';
let world, browser, page, desk, answers, told = [], secret;
before(async () => {
  /* A desk that refuses the first time. */
  answers = [503, 200];
  desk = createServer((request, answer) => {
    let body = '';
    request.on('data', (piece) => (body += piece));
    request.on('end', () => {
      told.push({ headers: request.headers, body });
      answer.writeHead(answers.shift() ?? 200).end();
    });
  });
  await new Promise((done) => desk.listen(0, '127.0.0.1', done));
  world = await World.open();
  await world.publish('demo/look', '1.0.0', { 'diagnostic.json': JSON.stringify(limits), run: { bytes: '#!/bin/sh\n', mode: 0o755 } }, '--kind', 'diagnostic');
  await world.device('cam-1', { start: false });
  browser = await Browser.open(world);
  page = await browser.page();
});
after(async () => {
  await browser?.close();
  await world?.close();
  desk?.closeAllConnections();
  desk?.close();
});

test('a hook is made; its secret is seen once and copied', async () => {
  await visit(page, world, '/');
  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Settings' }).click();
  await page.getByRole('heading', { name: 'Web hooks', level: 1 }).waitFor();
  await page.getByText('Nobody is told yet').waitFor();
  await page.getByRole('button', { name: 'New web hook' }).click();
  const dialog = page.getByRole('dialog');
  const make = dialog.getByRole('button', { name: 'Make the hook' });
  await dialog.getByText('Give a name.').waitFor();
  await dialog.getByLabel('Name').fill('desk');
  await dialog.getByLabel('Address').fill('ftp://desk');
  await dialog.getByText('An address that begins with https:').first().waitFor();
  assert.equal(await make.getAttribute('aria-disabled'), 'true');
  /* What only the console knows is said by the console, and nothing that was typed is lost. */
  await dialog.getByLabel('Address').fill('http://desk.example/locum');
  await make.click();
  await dialog.getByRole('alert').waitFor();
  assert.equal(await dialog.getByLabel('Name').inputValue(), 'desk');
  const url = `http://127.0.0.1:${desk.address().port}/locum`;
  await dialog.getByLabel('Address').fill(url);
  await dialog.getByLabel(/^Campaigns:/).check();
  assert.equal(await dialog.locator('.command code').innerText(), `locum hook create desk --to ${url} --event alarm --event campaign`);
  await make.click();
  await page.getByRole('dialog', { name: 'Secret of desk' }).waitFor();
  secret = await dialog.locator('.command code').innerText();
  assert.ok(secret.length >= 16, secret);
  await accessible(page, 'secret');
  await picture(page, 'hook-secret');
  await dialog.getByRole('button', { name: 'Copy the secret' }).click();
  await dialog.getByText('Copied').waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), secret);
  await dialog.getByRole('button', { name: 'I have it' }).click();
  await page.getByRole('heading', { name: 'Web hook desk', level: 1 }).waitFor();
  await page.getByText('Nothing has happened yet').waitFor();
  assert.ok(!(await page.content()).includes(secret), 'it is nowhere any more');
  const [hook] = await world.api('GET', '/hooks');
  assert.deepEqual([hook.name, hook.url, hook.events.sort()], ['desk', url, ['alarm', 'campaign']]);
});

test('what happens is sent, refused, tried again and taken, and the log shows each step by itself', async () => {
  const { id } = await world.api('POST', '/campaigns', { image: 'demo/look', devices: ['cam-1'], duration_s: 5, at: later, parallel: null });
  await world.api('POST', `/campaigns/${id}/end`, { reason: 'not needed' });
  const rows = page.getByRole('table', { name: 'Deliveries of desk' }).getByRole('row');
  await rows.getByText('tried 1 of 8 times').waitFor();
  await rows.getByText(/503/).first().waitFor();
  await accessible(page, 'a delivery that waits');
  await picture(page, 'hook-waits');
  const first = rows.filter({ hasText: 'tried 1 of 8 times' }).first();
  await first.locator('summary').click();
  assert.equal(JSON.parse(await first.locator('details code').innerText()).campaign, id);
  await rows.getByText('tried 1 of 8 times').waitFor({ state: 'detached', timeout: 60000 });
  await rows.getByText('taken, 200').first().waitFor();
  for (const { headers, body } of told) {
    const [, at, signature] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(headers['locum-signature']);
    assert.equal(createHmac('sha256', secret).update(`${at}.${body}`).digest('hex'), signature, 'signed with the secret that was shown');
  }
  await picture(page, 'hook-taken');
  await visit(page, world, '/settings/hooks');
  const row = page.getByRole('table', { name: 'Web hooks' }).getByRole('row', { name: /^desk/ });
  await row.getByText('campaign').waitFor();
  await picture(page, 'hooks');
});

test('a hook is deleted when its name is typed', async () => {
  await page.getByRole('link', { name: 'desk' }).click();
  await page.getByRole('button', { name: 'Delete…' }).click();
  const dialog = page.getByRole('dialog');
  const doIt = dialog.getByRole('button', { name: 'Delete desk' });
  assert.equal(await doIt.getAttribute('aria-disabled'), 'true');
  await dialog.getByLabel('Type desk').fill('desk');
  await doIt.click();
  await page.getByText('Nobody is told yet').waitFor();
  assert.deepEqual(await world.api('GET', '/hooks'), []);
  await settled(page);
  noProblems(page, (one) => one.includes('/api/v1/hooks') && one.includes('400'));
});
