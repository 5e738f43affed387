// Captures in the browser: chosen in the list, compared in one plot aligned by their start; held, deleted, downloaded; what is missing and why.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { World, isRoot, until } from '../flow/lib/locum.mjs';
import { Browser, accessible, noProblems, picture, settled, visit } from './lib/browser.mjs';

const limits = { entry: ['./run'], mode: 'replace', max_runtime_s: 120, grace_s: 2, max_output: 1 << 20, max_memory: 64 << 20, max_pids: 32, collect: ['proc'], network: 'none',
  outputs: [{ path: 'wave.csv', type: 'timeseries' }, { path: 'run.log', type: 'log' }] };
/* Each device has a wave of its own: 100 samples, 0.1 s apart, from another start. */
const script = `#!/bin/sh
seed=$(cksum < /proc/self/mountinfo | cut -d' ' -f1)
awk -v seed=$seed -v start=$(date +%s) 'BEGIN { print "time,wave [V],level [kPa]"; for (i = 0; i < 100; i++) printf "%.3f,%.3f,%d\\n", start + i / 10, sin(i / 10 + seed % 7), seed % 100 + i }' > $LOCUM_OUTPUT/wave.csv
echo done > $LOCUM_OUTPUT/run.log
`;
const skip = isRoot ? false : 'diagnostic runs need root for their namespaces';
let world, browser, page, campaign;
before(async () => {
  if (skip) return;
  world = await World.open();
  await world.publish('demo/wave', '1.0.0', { 'diagnostic.json': JSON.stringify(limits), run: { bytes: script, mode: 0o755 } }, '--kind', 'diagnostic');
  for (const name of ['cam-1', 'cam-2', 'cam-3']) await world.device(name);
  campaign = (await world.json('campaign', 'create', '--image', 'demo/wave', '--device', 'cam-1', 'cam-2', 'cam-3', '--duration', '30s')).id;
  browser = await Browser.open(world);
  page = await browser.page();
  await until('all is collected', async () => (await world.api('GET', `/captures?campaign=${campaign}`)).filter((one) => one.state === 'complete').length === 3, 90000);
});
after(async () => {
  await browser?.close();
  await world?.close();
});

test('captures are chosen in the list, and the button says what is lacking', { skip }, async () => {
  await visit(page, world, '/captures');
  await page.getByRole('button', { name: 'Compare', exact: true }).hover();
  await page.getByText('Choose 2 to 8 captures in the list.').waitFor();
  await page.getByRole('checkbox', { name: /of cam-1$/ }).check();
  assert.equal(await page.getByRole('button', { name: 'Compare 1 capture' }).getAttribute('aria-disabled'), 'true');
  await page.getByRole('checkbox', { name: /of cam-2$/ }).check();
  await page.getByRole('checkbox', { name: /of cam-3$/ }).check();
  assert.match(page.url(), /c=\d+&c=\d+&c=\d+/, 'the choice is in the address');
  await accessible(page, 'captures with a choice');
  await page.getByRole('link', { name: 'Compare 3 captures' }).click();
  await page.getByRole('heading', { name: 'Compare 3 captures', level: 1 }).waitFor();
});

test('several captures are one plot a column, aligned by their start, with a legend', { skip }, async () => {
  await page.locator('.plot-box[data-drawn-ms] canvas').nth(1).waitFor();
  assert.equal(await page.locator('.plot').count(), 2, 'wave and level');
  const legend = page.getByRole('list', { name: /^Lines of the plot of wave/ });
  for (const name of ['cam-1', 'cam-2', 'cam-3']) await legend.getByRole('link', { name }).waitFor();
  /* A dotted line has hardly a pixel that is quite in its colour. */
  const near = await page.locator('.plot-box canvas').first().evaluate((canvas, colours) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return colours.map(([r, g, b]) => {
      let n = 0;
      for (let i = 0; i < data.length; i += 4) n += data[i + 3] > 150 && Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 60;
      return n;
    });
  }, [[11, 87, 208], [179, 38, 30], [10, 107, 61]]);
  assert.ok(near.every((n) => n > 20), `pixels of each line: ${near}`);
  const figures = page.getByRole('table', { name: 'Figures of wave' });
  for (const name of ['cam-1', 'cam-2', 'cam-3']) await figures.getByRole('row', { name: new RegExp(`${name} 100 10 s`) }).waitFor();
  await page.getByRole('list', { name: 'When each began' }).getByText('0 s is').first().waitFor();
  await picture(page, 'compare');
  await accessible(page, 'compare');
});

test('the pointer reads all lines at once, a drag looks closer, a double click goes back', { skip }, async () => {
  const box = await page.locator('.plot-box').first().boundingBox();
  const middle = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  await page.mouse.move(middle.x, middle.y);
  const legends = page.locator('.legend');
  await until('both plots say the same moment', async () => {
    const said = await legends.evaluateAll((lists) => lists.map((list) => list.lastElementChild.textContent));
    const seconds = Number(/^at (\d+\.\d\d) s$/.exec(said[0])?.[1]);
    return seconds > 2 && seconds < 8 && said[0] === said[1]; // the middle of 10 s, from the start of each
  });
  assert.match(await legends.first().locator('li').first().innerText(), /-?\d/, 'with the value of each line');
  const picture1 = await page.locator('.plot-box canvas').first().evaluate((canvas) => canvas.toDataURL());
  await page.mouse.down();
  await page.mouse.move(middle.x + 120, middle.y, { steps: 4 });
  await page.mouse.up();
  const picture2 = await page.locator('.plot-box canvas').first().evaluate((canvas) => canvas.toDataURL());
  assert.notEqual(picture1, picture2, 'another stretch');
  await page.mouse.dblclick(middle.x, middle.y);
  assert.equal(await page.locator('.plot-box canvas').first().evaluate((canvas) => canvas.toDataURL()), picture1, 'all of it again');
});

test('a capture that is not there, or too few, is said in words', { skip }, async () => {
  await settled(page);
  noProblems(page);
  await visit(page, world, '/compare?c=1');
  await page.getByText('Choose 2 to 8 captures in the list, then compare them.').waitFor();
  await visit(page, world, '/compare?c=1&c=9999');
  await page.getByText('Could not load the captures.').waitFor();
});
