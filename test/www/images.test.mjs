// Diagnostic images in the browser: what each may do, in words, per version, and how devices came back from it.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { World, isRoot, until } from '../flow/lib/locum.mjs';
import { Browser, accessible, noProblems, picture, settled, visit } from './lib/browser.mjs';

const limits = { entry: ['./run'], mode: 'replace', max_runtime_s: 900, grace_s: 5, max_output: 1 << 20, max_memory: 64 << 20, max_pids: 32, collect: ['proc', 'app-logs'], network: 'none', outputs: [{ path: 'out.log', type: 'log' }] };
const run = { bytes: '#!/bin/sh\necho here > $LOCUM_OUTPUT/out.log\n', mode: 0o755 };
const skip = isRoot ? false : 'diagnostic runs need root for their namespaces';
let world, browser, page;
before(async () => {
  world = await World.open();
  browser = await Browser.open(world);
  page = await browser.page();
});
after(async () => {
  await browser?.close();
  await world?.close();
});

test('without an image the page says how to make one', async () => {
  await visit(page, world, '/images');
  await page.getByText('There is no diagnostic image yet.').waitFor();
  await page.getByText('locum asset publish demo/raw-counters --version 1.0.0 --kind diagnostic FOLDER').waitFor();
});

test('an image is listed with its mode and limits as soon as it is published', async () => {
  await world.publish('demo/raw', '1.0.0', { 'diagnostic.json': JSON.stringify(limits), run }, '--kind', 'diagnostic', '--title', 'The first one');
  await world.publish('demo/raw', '1.1.0', { 'diagnostic.json': JSON.stringify({ ...limits, mode: 'beside', network: 'host', capabilities: ['net_raw'] }), run }, '--kind', 'diagnostic');
  await page.getByRole('row', { name: /demo\/raw.*beside the app.*1\.1\.0 of 2.*15 min, 1\.0 MiB.*not sent yet/ }).waitFor();
  await picture(page, 'images');
  await accessible(page, 'images');
});

test('its page has the limits of each version in words', async () => {
  await page.getByRole('link', { name: 'demo/raw' }).click();
  await page.getByRole('heading', { name: 'What 1.1.0 may do' }).waitFor();
  await page.getByText('The image runs beside the app, which goes on.').waitFor();
  await page.getByText('It may send and receive raw network packets.').waitFor();
  await page.getByText("It may use the device's network.").waitFor();
  await page.getByText('No campaign has sent this image yet.').waitFor();
  await page.getByRole('row', { name: /1\.0\.0.*The first one/ }).getByRole('link', { name: '1.0.0', exact: true }).click();
  await page.getByRole('heading', { name: 'What 1.0.0 may do' }).waitFor();
  await page.getByText("The device's app is stopped and the image runs instead of it.").waitFor();
  assert.equal(await page.getByText('It may send and receive raw network packets.').count(), 0);
  await page.getByRole('link', { name: 'New campaign', exact: true }).first().click();
  await page.getByRole('heading', { name: 'New campaign' }).waitFor();
  assert.equal(await page.getByLabel('Version').inputValue(), '1.0.0');
});

test('after a campaign it says how many came back', { skip }, async () => {
  await world.device('cam-1');
  const made = await world.json('campaign', 'create', '--image', 'demo/raw@1.1.0', '--device', 'cam-1', '--duration', '20s');
  await until('the run is over', async () => (await world.api('GET', `/campaigns/${made.id}`)).state === 'ended', 60000);
  await visit(page, world, '/images/demo/raw');
  await page.getByText('1 of 1 back, proven').waitFor();
  await page.getByRole('table', { name: 'Campaigns' }).getByRole('link', { name: `${made.id}: raw 1.1.0` }).waitFor();
  await picture(page, 'image');
  await accessible(page, 'image');
});

test('an image that is not there is said so, and the pages made no errors', async () => {
  await settled(page);
  noProblems(page);
  await visit(page, world, '/images/demo/none');
  await page.getByText('There is no diagnostic image demo/none.').waitFor();
});
