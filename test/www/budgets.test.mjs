// What the pages may cost: bytes, requests, time.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { readFileSync, readdirSync } from 'node:fs';
import { World, build, path } from '../flow/lib/locum.mjs';
import { Browser, settled } from './lib/browser.mjs';

const www = path.join(build, 'www');
const files = ['index.html', ...readdirSync(path.join(www, 'static')).map((name) => `static/${name}`)].filter((name) => !name.endsWith('.gz'));
const kib = (name) => gzipSync(readFileSync(path.join(www, name)), { level: 9 }).length / 1024;
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

/* The scripts that `name` needs before it runs. */
function closure(name, seen = new Set()) {
  if (seen.has(name)) return seen;
  seen.add(name);
  for (const [, other] of readFileSync(path.join(www, name), 'utf8').matchAll(/(?:from|import)"\.\/([^"]+)"/g)) closure(`static/${other}`, seen);
  return seen;
}

test('the first scripts are at most 30 KiB, everything at most 100 KiB', () => {
  const first = /src="\/(static\/[^"]+)"/.exec(readFileSync(path.join(www, 'index.html'), 'utf8'))[1];
  const start = [...closure(first)].reduce((sum, name) => sum + kib(name), 0);
  const all = files.reduce((sum, name) => sum + kib(name), 0);
  assert.ok(start <= 30, `first scripts: ${start.toFixed(1)} KiB`);
  assert.ok(all <= 100, `everything: ${all.toFixed(1)} KiB`);
});

test('nothing in the pages comes from elsewhere or puts markup in', () => {
  for (const name of files) {
    const text = readFileSync(path.join(www, name), 'utf8');
    const foreign = [...text.matchAll(/https?:\/\/[^\s"'`)\\]+/g)].map(([url]) => url).filter((url) => !url.startsWith('http://www.w3.org/') && !url.startsWith('https://HOST'));
    assert.deepEqual(foreign, [], name);
    assert.doesNotMatch(text, /sourceMappingURL|eval\(|new Function/, name);
  }
});

test('a usable list takes at most six requests cold and three warm', async () => {
  const page = await browser.page();
  for (const [how, most] of [['cold', 6], ['warm', 3]]) {
    if (how === 'cold') {
      const session = await page.context().newCDPSession(page);
      await session.send('Network.clearBrowserCache');
      await session.detach();
    }
    await page.goto(`${world.url}/devices`, { waitUntil: 'commit' });
    await page.getByRole('link', { name: 'cam-1' }).waitFor();
    const requests = await page.evaluate(() => {
      const list = performance.getEntriesByType('resource').find((entry) => entry.name.includes('/api/v1/devices'));
      return ['page', ...performance.getEntriesByType('resource').filter((entry) => entry.startTime < list.responseEnd && (entry.transferSize > 0 || entry.name.includes('/api/')) && !entry.name.startsWith('data:')).map((entry) => new URL(entry.name).pathname)];
    });
    assert.ok(requests.length <= most, `${how}: ${requests.length} ${requests}`);
    await settled(page);
  }
});

test('the first paint is at most 60 ms after that of a page of one line', async () => {
  const page = await browser.page();
  const paint = async (url) => {
    await page.goto(url);
    return page.evaluate(() => new Promise((done) => new PerformanceObserver((list) => {
      for (const entry of list.getEntriesByName('first-contentful-paint')) done(entry.startTime);
    }).observe({ type: 'paint', buffered: true })));
  };
  const times = { control: [], console: [] };
  for (let i = 0; i < 15; i++) {
    times.control.push(await paint(`${world.url}/healthz`));
    times.console.push(await paint(`${world.url}/devices`));
  }
  const median = (list) => list.sort((a, b) => a - b)[7];
  const more = median(times.console) - median(times.control);
  assert.ok(more <= 60, `${Math.round(more)} ms`);
});
