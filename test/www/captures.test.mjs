// Captures in the browser: chosen in the list, compared in one plot aligned by their start; held, deleted, downloaded; what is missing and why.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { World, isRoot, run, until } from '../flow/lib/locum.mjs';
import { Browser, accessible, noProblems, picture, settled, visit } from './lib/browser.mjs';

const limits = { entry: ['./run'], mode: 'replace', max_runtime_s: 120, grace_s: 2, max_output: 1 << 20, max_memory: 64 << 20, max_pids: 32, collect: ['proc'], network: 'none',
  outputs: [{ path: 'wave.csv', type: 'timeseries' }, { path: 'run.log', type: 'log' }] };
/* Each device has a wave of its own: 100 samples, 0.1 s apart, from another start. */
const script = `#!/bin/sh
seed=$(cksum < /proc/self/mountinfo | cut -d' ' -f1)
awk -v seed=$seed -v start=$(date +%s) 'BEGIN { print "time,wave [V],level [kPa]"; for (i = 0; i < 100; i++) printf "%.3f,%.3f,%d\\n", start + i / 10, sin(i / 10 + seed % 7), seed % 100 + i }' > $LOCUM_OUTPUT/wave.csv
echo done > $LOCUM_OUTPUT/run.log
`;
/* What is declared and never written, read only in part, and blotted out on the device. */
const gaps = { ...limits, collect: ['proc', 'app-logs'], outputs: [{ path: 'run.log', type: 'log' }, { path: 'never.csv', type: 'timeseries' }] };
const leaky = `#!/bin/sh
printf 'user=ann token=abc\\nuser=bob token=def\\n' > $LOCUM_OUTPUT/run.log
`;
const skip = isRoot ? false : 'diagnostic runs need root for their namespaces';
let world, browser, page, campaign, gappy;
before(async () => {
  if (skip) return;
  world = await World.open();
  await world.publish('demo/wave', '1.0.0', { 'diagnostic.json': JSON.stringify(limits), run: { bytes: script, mode: 0o755 } }, '--kind', 'diagnostic');
  await world.publish('demo/gaps', '1.0.0', { 'diagnostic.json': JSON.stringify(gaps), run: { bytes: leaky, mode: 0o755 } }, '--kind', 'diagnostic');
  for (const name of ['cam-1', 'cam-2', 'cam-3', 'cam-4']) await world.device(name);
  campaign = (await world.json('campaign', 'create', '--image', 'demo/wave', '--device', 'cam-1', 'cam-2', 'cam-3', '--duration', '30s')).id;
  gappy = (await world.api('POST', '/campaigns', { image: 'demo/gaps', devices: ['cam-4'], duration_s: 30, at: null, parallel: null, collect: ['proc'], redact: ['token=[a-z]+'] })).id;
  browser = await Browser.open(world);
  page = await browser.page();
  await until('all is collected', async () => (await world.api('GET', `/captures?campaign=${campaign}`)).filter((one) => one.state === 'complete').length === 3, 90000);
  await until('what there is of the other is collected', async () => (await world.api('GET', `/captures?campaign=${gappy}`)).some((one) => ['complete', 'partial'].includes(one.state)), 90000);
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
  await page.getByText('Could not load the captures:').waitFor();
});

test('what of each device is here, what is missing and why, and all of it as one tar', { skip }, async () => {
  page.problems.length = 0; // the capture that was not there
  await visit(page, world, `/campaigns/${gappy}/runs/1`);
  await page.getByRole('link', { name: 'Collected and missing' }).click();
  await page.getByText('1 device with something missing').waitFor();
  const row = page.getByRole('table', { name: 'Collected and missing' }).getByRole('row', { name: /^cam-4/ });
  await row.getByRole('link', { name: 'run.log of cam-4' }).waitFor();
  const [, , collected, missing] = await row.getByRole('cell').allInnerTexts();
  assert.match(collected, /run\.log/);
  assert.match(missing, /never\.csv/);
  assert.match(missing, /app-logs/);
  assert.doesNotMatch(missing, /proc/, 'it was asked for, and read');
  assert.match(await page.locator('.command code').first().innerText(), new RegExp(`^locum capture matrix ${gappy} 1 --json$`));
  await accessible(page, 'matrix');
  await picture(page, 'matrix');
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download all (tar)' }).click()]);
  assert.equal(download.suggestedFilename(), `campaign-${gappy}-run-1.tar`);
  const listed = await run('tar', ['-xOf', await download.path(), 'cam-4/run.log']);
  assert.equal(listed.stdout, 'user=ann [redacted]\nuser=bob [redacted]\n');
  await visit(page, world, `/campaigns/${campaign}/runs/1?tab=matrix`);
  await page.getByText('Nothing is missing.').waitFor();
  assert.equal(await page.getByRole('table', { name: 'Collected and missing' }).getByRole('row').count(), 4, 'three devices under a head');
});

test('a capture says until when it is kept and what was blotted out; it is held, let go and deleted, each with its reason', { skip }, async () => {
  await world.json('product', 'set', 'demo', 'capture.keep_days=30');
  const [{ id }] = await world.api('GET', `/captures?campaign=${gappy}`);
  await visit(page, world, `/captures/${id}`);
  const facts = page.locator('main .facts').first();
  await facts.getByText(/^until /).waitFor();
  const days = (new Date(await facts.locator('time').getAttribute('datetime')) - Date.now()) / 86400000;
  assert.ok(days > 29 && days <= 30.01, `kept for ${days} days`);
  await facts.getByText('2 places, on the device').waitFor();
  await page.getByRole('navigation', { name: 'Files of the capture' }).getByText('2 places blotted out').waitFor();
  await page.getByText('user=ann [redacted]').waitFor();

  await page.getByRole('button', { name: 'Hold…' }).click();
  const dialog = page.getByRole('dialog');
  assert.equal(await dialog.getByRole('button', { name: 'Hold capture' }).getAttribute('aria-disabled'), 'true', 'not without a reason');
  await dialog.getByLabel('Reason').fill('CASE-9 is before a court');
  await accessible(page, 'hold');
  await dialog.getByRole('button', { name: 'Hold capture' }).click();
  await page.getByText('Held by admin').waitFor();
  await page.getByText('CASE-9 is before a court').waitFor();
  await facts.getByText('until a person ends the hold').waitFor();
  await page.getByRole('button', { name: 'Delete…' }).hover();
  await page.getByText('It is held: end the hold first.').waitFor();
  await accessible(page, 'held');
  await picture(page, 'capture-held');

  await page.getByRole('button', { name: 'End the hold…' }).click();
  await dialog.getByLabel('Reason').fill('the court has spoken');
  await dialog.getByRole('button', { name: 'End the hold' }).click();
  await page.getByText('Held by admin').waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Delete…' }).click();
  await dialog.getByLabel('Reason').fill('the customer asked for it');
  const doIt = dialog.getByRole('button', { name: /^Delete \d+ files?, / });
  assert.equal(await doIt.getAttribute('aria-disabled'), 'true', 'not before the name is typed');
  await dialog.getByLabel('Type cam-4').fill('cam-4');
  await accessible(page, 'delete');
  await doIt.click();
  await page.getByRole('heading', { name: 'Captures', level: 1 }).waitFor();
  assert.deepEqual(await world.api('GET', `/captures?campaign=${gappy}`), []);
  const audit = await world.api('GET', '/audit?limit=20');
  for (const reason of ['before a court', 'court has spoken', 'customer asked']) assert.ok(audit.some((row) => row.operator === 'admin' && row.detail?.includes(reason)), reason);
  await visit(page, world, `/campaigns/${gappy}/runs/1?tab=matrix`);
  await page.getByRole('table', { name: 'Collected and missing' }).getByText('the customer asked for it').waitFor();
  await settled(page);
  noProblems(page);
});
