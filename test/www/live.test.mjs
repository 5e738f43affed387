// Live, and honest about it: one stream for all tabs, changes on the screen in time, pause, a server that goes away and comes back.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { World, until } from '../flow/lib/locum.mjs';
import { Browser, noProblems, visit } from './lib/browser.mjs';

let world, browser;
before(async () => {
  world = await World.open();
  await world.device('cam-1');
  browser = await Browser.open(world);
});
after(async () => {
  await browser?.close();
  await world?.close();
});

const streams = async () => Number(/^locum_streams(?:\{[^}]*\})? (\d+)/m.exec(await (await fetch(`${world.url}/metrics`)).text())?.[1]);
const tag = (name) => world.api('PUT', '/devices/cam-1/tags', { tags: [name] });
const live = (page) => page.locator('[data-live="live"]').waitFor();

test('ten tabs of one browser hold one stream', async () => {
  const page = await browser.page();
  await live(page);
  const tabs = [page];
  while (tabs.length < 10) tabs.push(await page.context().newPage());
  for (const tab of tabs) {
    await visit(tab, world, '/devices');
    await live(tab);
  }
  assert.equal(await streams(), 1);
  await tag('seen-by-all');
  for (const tab of tabs) await tab.getByRole('link', { name: 'seen-by-all' }).waitFor();
  for (const tab of tabs) noProblems(tab);
  await page.context().close();
  await until('the stream is closed with the browser', async () => (await streams()) === 0);
});

test('a change is on the screen within half a second', async () => {
  const page = await browser.page();
  await visit(page, world, '/devices/cam-1');
  await live(page);
  const took = [];
  for (let i = 0; i < 20; i++) {
    await tag(`turn-${i}`);
    const from = performance.now();
    await page.getByRole('link', { name: `turn-${i}`, exact: true }).waitFor();
    took.push(performance.now() - from);
  }
  took.sort((a, b) => a - b);
  assert.ok(took[18] <= 500, `p95 ${Math.round(took[18])} ms of ${took.map(Math.round)}`);
  noProblems(page);
});

test('a paused page holds still, counts what waits, and catches up', async () => {
  const page = await browser.page();
  await visit(page, world, '/devices/cam-1');
  await live(page);
  await page.keyboard.press('.');
  await page.locator('[data-live="paused"]').waitFor();
  await tag('while-paused');
  await page.getByText(/Paused \([1-9]\d* waiting\)/).waitFor();
  assert.equal(await page.getByRole('link', { name: 'while-paused' }).count(), 0);
  await page.keyboard.press('.');
  await page.getByRole('link', { name: 'while-paused' }).waitFor();
  noProblems(page);
});

test('a server that goes away is said at once, and the page catches up when it is back', async () => {
  const page = await browser.page();
  await visit(page, world, '/devices/cam-1');
  await live(page);
  await world.console.stop();
  await page.getByText(/Reconnecting since \d\d:\d\d:\d\d/).waitFor();
  assert.equal(await page.getByRole('heading', { name: 'cam-1' }).count(), 1, 'old data stays');
  await world.serve();
  await tag('after-the-restart');
  await live(page);
  await page.getByRole('link', { name: 'after-the-restart' }).waitFor();
});
