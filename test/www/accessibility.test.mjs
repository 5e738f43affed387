// Every page in light and dark, wide and narrow: axe finds nothing, nothing sticks out, no errors; and the keyboard reaches what the mouse does.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { World } from '../flow/lib/locum.mjs';
import { Browser, accessible, accessibleInAllLooks, noProblems, settled, visit } from './lib/browser.mjs';

const limits = { entry: ['./run'], mode: 'replace', max_runtime_s: 900, grace_s: 5, max_output: 1 << 20, max_memory: 64 << 20, max_pids: 32, collect: ['proc', 'app-logs'], network: 'none',
  outputs: [{ path: 'counters.csv', type: 'timeseries' }] };
const later = new Date(Date.now() + 86400000).toISOString().slice(0, 19) + 'Z';
let world, browser, page;
before(async () => {
  world = await World.open();
  const version = (n) => ({ 'model.bin': randomBytes(70000 + n), 'labels.txt': `cpu\n${n}\n`, 'a/very/long/path/that/goes/on/and/on/without/an/end/in/sight/so-that-it-must-wrap-somewhere.conf': `threshold = ${n}\n` });
  await world.publish('demo/detector', '1.0.0', version(1), '--kind', 'model', '--notes', 'The first one.');
  await world.publish('demo/detector', '1.1.0-rc.1+build.5', version(2), '--kind', 'model', '--notes', 'A note that is rather long, so that it has to be broken into several lines on a narrow page.');
  await world.publish('demo/raw-counters', '1.0.0', { 'diagnostic.json': JSON.stringify(limits), run: { bytes: '#!/bin/sh\n', mode: 0o755 } }, '--kind', 'diagnostic');
  await world.release('demo/detector', '1.0.0');
  await world.device('cam-1', { start: true });
  await world.device('a-device-with-a-long-name-that-has-to-wrap-on-narrow-pages', { start: false, claim: ['--review'] });
  await world.api('POST', '/groups', { name: 'lab', filter: 'tag:lab or name~nobody-with-such-a-long-name-in-this-fleet' });
  await world.json('asset', 'release', 'demo/detector', '1.1.0-rc.1+build.5', '--group', 'lab');
  await world.api('POST', '/rollouts', { product: 'demo', asset: 'detector', version: '1.1.0-rc.1+build.5', filter: 'name~long-name', stages: ['10%', '100%'], soak_s: 600, device_deadline_s: 3600, max_failures: '5%', min_successes: 1, approval: true, window: '02:00-05:00', draft: true, ticket: 'CASE-8' });
  await world.api('PUT', '/devices/cam-1/tags', { tags: ['lab', 'north', 'a-long-tag-to-wrap'] });
  await world.api('POST', '/campaigns', { image: 'demo/raw-counters', devices: ['cam-1'], duration_s: 30, at: later, parallel: null, ticket: 'CASE-7', reason: 'intermittent stalls' });
  await world.api('POST', '/campaigns', { image: 'demo/raw-counters', devices: ['cam-1'], duration_s: 60, at: null, parallel: null, window: '02:00-05:00', repeat: 'weekly:mon,thu', blackout: ['2031-12-24'], max_failures: '5%' });
  await world.api('POST', '/hooks', { name: 'desk', url: 'http://127.0.0.1:9/a/rather/long/address/that-has-to-wrap-somewhere-on-a-narrow-page', events: ['alarm', 'rollout', 'campaign'] });
  browser = await Browser.open(world);
  page = await browser.page();
});
after(async () => {
  await browser?.close();
  await world?.close();
});

const pages = {
  fleet: {
    overview: '/', devices: '/devices', 'devices-none': '/devices?filter=name~nothing', device: '/devices/cam-1', 'device-timeline': '/devices/cam-1/timeline', 'device-captures': '/devices/cam-1/captures',
    audit: '/audit', hooks: '/settings/hooks', hook: '/settings/hooks/desk', nowhere: '/no/such/page',
  },
  assets: {
    assets: '/assets', asset: '/assets/demo/detector', 'asset-history': '/assets/demo/detector/history', 'asset-files': '/assets/demo/detector/files', compare: '/assets/demo/detector/compare/1.0.0...1.1.0-rc.1%2Bbuild.5',
    groups: '/groups', group: '/groups/lab', product: '/products/demo',
  },
  delivery: {
    rollouts: '/rollouts', 'rollout-new': '/rollouts/new?group=lab', rollout: '/rollouts/1', 'rollout-devices': '/rollouts/1/devices', 'rollout-timeline': '/rollouts/1/timeline', 'rollout-definition': '/rollouts/1/definition',
  },
  diagnostics: {
    campaigns: '/campaigns', 'campaign-new': '/campaigns/new?device=cam-1', campaign: '/campaigns/1', run: '/campaigns/1/runs/1', 'run-definition': '/campaigns/1/runs/1?tab=definition', captures: '/captures',
    images: '/images', image: '/images/demo/raw-counters', calendar: '/campaigns?view=calendar', 'campaign-repeating': '/campaigns/2', 'run-captures': '/campaigns/1/runs/1?tab=captures', 'run-matrix': '/campaigns/1/runs/1?tab=matrix',
    'run-device': '/campaigns/1/runs/1/devices/cam-1', 'compare-captures': '/compare',
  },
};

const dialogs = [
  ['claim', '/devices', 'Enrol a device'], ['publish', '/assets/demo/detector', 'Publish a version'], ['release', '/assets/demo/detector', 'Release… 1.1.0-rc.1+build.5'], ['retire', '/devices/cam-1', 'Retire…'],
  ['end', '/campaigns/1', 'End campaign…'], ['pause', '/campaigns/2', 'Pause campaign…'], ['return', '/campaigns/1/runs/1', 'Return now…'], ['extend', '/campaigns/1/runs/1', 'Extend…'], ['account', '/', 'Account admin'],
  ['withdraw', '/assets/demo/detector', 'Withdraw… 1.1.0-rc.1+build.5'], ['pin', '/devices/cam-1', 'Pin… detector'], ['group', '/groups', 'New group'], ['group-change', '/groups/lab', 'Change…'], ['group-delete', '/groups/lab', 'Delete…'],
  ['group-end', '/groups/lab', 'End release…'], ['rollout-start', '/rollouts/1', 'Start…'], ['rollout-abort', '/rollouts/1', 'Abort…'], ['hook', '/settings/hooks', 'New web hook'], ['hook-delete', '/settings/hooks/desk', 'Delete…'],
];

/* Each page is loaded once, in one of the four looks, and then seen in all of them. */
for (const [what, some] of Object.entries(pages))
  test(`every page of ${what} is accessible in light and dark, at 1280 and 320 px`, async () => {
    for (const [turn, [name, where]] of Object.entries(some).entries()) {
      await visit(page, world, where);
      await accessibleInAllLooks(page, name, turn);
    }
    noProblems(page);
  });

test('every dialog is accessible in light and dark, at 1280 and 320 px', async () => {
  for (const [turn, [name, where, button]] of dialogs.entries()) {
    await visit(page, world, where);
    await page.getByRole('button', { name: button }).click();
    await settled(page);
    await accessibleInAllLooks(page, `dialog-${name}`, turn);
  }
  noProblems(page);
});

test('the sign-in is accessible in light and dark, at 1280 and 320 px', async () => {
  const alone = await browser.page({ signedIn: false });
  await visit(alone, world, '/login');
  await accessibleInAllLooks(alone, 'login');
  noProblems(alone);
});

test('keys go places, the focus goes to the heading, and nothing fires in a field', async () => {
  const page = await browser.page();
  await visit(page, world, '/');
  await page.keyboard.press('g');
  await page.keyboard.press('d');
  await page.getByRole('heading', { name: 'Devices', level: 1 }).waitFor();
  await page.locator('h1:focus').waitFor();
  await page.keyboard.press('/');
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), 'Filter devices');
  await page.keyboard.type('ga?');
  assert.equal(await page.getByLabel('Filter devices').inputValue(), 'ga?');
  await page.getByRole('heading', { name: 'Devices', level: 1 }).focus();
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
  await accessible(page, 'keys');
  await page.getByLabel('Single keys are on').uncheck();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await page.keyboard.press('?');
  assert.equal(await page.getByRole('dialog').count(), 0, 'switched off');
  await page.keyboard.press('Tab');
});

test('a filter that matches nothing says so and is cleared; a wrong one says where', async () => {
  const page = await browser.page();
  await visit(page, world, '/devices');
  await page.getByLabel('Filter devices').fill('name~nothing');
  await page.getByText('No devices match').waitFor();
  assert.match(page.url(), /filter=name%7Enothing|filter=name~nothing/);
  await page.getByRole('button', { name: 'Clear filter' }).click();
  await page.getByRole('link', { name: 'cam-1' }).waitFor();
  await page.getByLabel('Filter devices').fill('product:(');
  await page.locator('#filter-says.bad').waitFor();
  assert.equal(await page.getByRole('link', { name: 'cam-1' }).count(), 1, 'old data stays');
});

test('a device that asks is accepted from the list', async () => {
  const page = await browser.page();
  await visit(page, world, '/devices?filter=admission%3Apending');
  await page.getByRole('button', { name: /^Accept/ }).click();
  await page.getByText(/accepted\.$/).waitFor();
  assert.equal((await world.api('GET', '/devices?filter=admission:accepted')).length, 2);
});

test('pages hold together with forced colours and reduced motion', async () => {
  const page = await browser.page();
  await page.emulateMedia({ forcedColors: 'active', reducedMotion: 'reduce' });
  await visit(page, world, '/devices');
  const border = await page.getByRole('link', { name: 'Devices', exact: true }).first().evaluate((link) => getComputedStyle(link).outlineStyle);
  assert.equal(border, 'solid', 'the current page is seen without colours');
});
