// The support engineer's journey with a real agent and a real app: enrol, release, diagnose, watch it return, look at the plot.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { World, build, isRoot, path, run, until, Device } from '../flow/lib/locum.mjs';
import { Browser, accessible, noProblems, picture, settled, visit } from './lib/browser.mjs';

const app = path.join(build, 'test/flow/app');
const limits = { entry: ['./run'], mode: 'replace', max_runtime_s: 120, grace_s: 2, max_output: 1 << 20, max_memory: 64 << 20, max_pids: 32, collect: ['proc'], network: 'none',
  outputs: [{ path: 'counters.csv', type: 'timeseries' }, { path: 'run.log', type: 'log' }] };
const script = `#!/bin/sh
echo "time,load [1],free [kB],cached [kB]" > $LOCUM_OUTPUT/counters.csv
echo "sampling began" > $LOCUM_OUTPUT/run.log
echo "<img src=x onerror=alert(1)>" >> $LOCUM_OUTPUT/run.log
end=$(( $(date +%s) + LOCUM_DURATION_S - 1 ))
while [ $(date +%s) -lt $end ]; do
  read load rest < /proc/loadavg
  free=$(sed -n 's/^MemFree: *\\([0-9]*\\).*/\\1/p' /proc/meminfo); cached=$(sed -n 's/^Cached: *\\([0-9]*\\).*/\\1/p' /proc/meminfo)
  echo "$(date +%s.%N),$load,$free,$cached" >> $LOCUM_OUTPUT/counters.csv
  sleep 0.05
done
echo "sampling ended" >> $LOCUM_OUTPUT/run.log
`;
const big = `#!/bin/sh
exec awk 'BEGIN { print "time,a [V],b [V],c [V],d [V]"; for (i = 0; i < 100000; i++) printf "%.3f,%.3f,%.3f,%.3f,%.3f\\n", 1795230000 + i / 1000, sin(i / 900), 2 + cos(i / 700), 4 + sin(i / 50) / 2, (i % 977) / 977 }' > $LOCUM_OUTPUT/counters.csv
`;
const skip = isRoot ? false : 'diagnostic runs need root for their namespaces';
let world, browser, page;

before(async () => {
  if (skip) return;
  world = await World.open();
  await world.publish('demo/model', '1.0.0', { VERSION: '1.0.0\n', w: '1.0.0\n'.repeat(1000) });
  await world.publish('demo/model', '2.0.0', { VERSION: '2.0.0\n', w: '2.0.0\n'.repeat(1000) });
  await world.publish('demo/raw', '1.0.0', { 'diagnostic.json': JSON.stringify(limits), run: { bytes: script, mode: 0o755 } }, '--kind', 'diagnostic');
  await world.publish('demo/big', '1.0.0', { 'diagnostic.json': JSON.stringify({ ...limits, max_output: 16 << 20, outputs: [{ path: 'counters.csv', type: 'timeseries' }] }), run: { bytes: big, mode: 0o755 } }, '--kind', 'diagnostic');
  await world.release('demo/model', '1.0.0');
  browser = await Browser.open(world);
  page = await browser.page();
});
after(async () => {
  await browser?.close();
  await world?.close();
});

test('one copied line enrols a device, and the dialog sees it come', { skip }, async () => {
  await visit(page, world, '/devices');
  await page.getByText('No device has enrolled yet.').waitFor();
  let answer;
  const held = new Promise((done) => (answer = done));
  await page.route('**/api/v1/products', async (route) => { await held; await route.continue(); });
  await page.getByRole('button', { name: 'Enrol a device' }).click();
  await page.getByRole('dialog').waitFor();
  const product = page.getByRole('dialog').getByLabel('Product');
  const early = await product.isVisible() ? await product.inputValue() : null;
  const came = page.waitForResponse('**/api/v1/products');
  answer();
  await came;
  await product.waitFor();
  await settled(page);
  if (early !== null) assert.equal(await product.inputValue(), early, 'no field changes under the hand that types into it');
  await page.unroute('**/api/v1/products');
  await product.fill('demo');
  await page.getByRole('button', { name: 'Make a claim code' }).click();
  const line = await page.getByRole('dialog').getByText('locum-agent enrol --server').innerText();
  await accessible(page, 'claim dialog');
  const device = new Device(world, 'cam-1');
  world.devices.push(device);
  const [, ...words] = line.split(' ');
  words[words.indexOf('--state') + 1] = device.state;
  const enrolled = await run(device.program, [...words, '--name', 'cam-1']);
  assert.equal(enrolled.code, 0, enrolled.stderr);
  await page.getByText('cam-1 has enrolled').waitFor();
  device.settings = { 'poll.idle_s': '1', 'app.command': `${app} --status ${path.join(world.folder, 'app.json')}` };
  await device.writeSettings();
  await device.start();
  await page.getByRole('link', { name: 'Show cam-1' }).click();
  await page.getByRole('heading', { name: 'cam-1', level: 1 }).waitFor();
});

test('the device page shows live what runs, what is wanted and why', { skip }, async () => {
  await page.getByText('app running').waitFor();
  await page.getByRole('row', { name: /model.*1\.0\.0.*1\.0\.0.*current/ }).waitFor();
  const loads = await page.evaluate(() => performance.getEntriesByType('navigation').length);
  await world.release('demo/model', '2.0.0');
  await page.getByRole('row', { name: /model.*2\.0\.0.*2\.0\.0.*current/ }).waitFor();
  assert.equal(await page.evaluate(() => performance.getEntriesByType('navigation').length), loads, 'without loading the page again');
  await page.getByRole('link', { name: 'Timeline' }).click();
  await page.locator('.timeline li').first().waitFor();
});

test('before it is sent, the limits of an image are there in words', { skip }, async () => {
  await visit(page, world, '/devices/cam-1');
  await page.getByRole('link', { name: 'Diagnose' }).click();
  await page.getByRole('heading', { name: 'New campaign' }).waitFor();
  await page.getByLabel('Diagnostic image').selectOption('demo/raw');
  await page.getByText("The device's app is stopped and the image runs instead of it.").waitFor();
  await page.getByText('counters.csv (time series) and run.log (log)').waitFor();
  assert.equal(await page.getByLabel('cam-1').isChecked(), true);
  await page.getByLabel('Collect for').fill('500');
  await page.getByText('The image allows 2 min 0 s at most.').or(page.getByText('The image allows 2 min at most.')).first().waitFor();
  await page.getByLabel('Collect for').fill('8');
  await page.getByLabel('All that match a filter').check();
  await page.getByRole('textbox', { name: 'Filter' }).fill('tag:none-has-this');
  await page.getByText('No device matches the filter.').first().waitFor();
  await page.getByRole('textbox', { name: 'Filter' }).fill('product:(');
  await page.locator('.field .bad').first().waitFor();
  await page.getByRole('textbox', { name: 'Filter' }).fill('product:demo');
  await page.getByText('1 device matches now: cam-1').waitFor();
  page.problems = page.problems.filter((one) => !one.includes('400'));
});

test('a campaign runs live to its proof and its capture', { skip }, async () => {
  await page.getByText("locum campaign create --image demo/raw@1.0.0 --filter product:demo --duration 8s").waitFor();
  await page.getByRole('button', { name: 'Send to 1 device' }).click();
  await page.getByRole('heading', { name: /^Campaign \d+$/, level: 1 }).waitFor();
  const row = page.getByRole('row', { name: /cam-1/ });
  await row.getByText('running').waitFor({ timeout: 40000 });
  await page.getByRole('link', { name: '1 device on a diagnostic image' }).waitFor();
  await picture(page, 'run-live');
  await accessible(page, 'run while it runs');
  await row.getByText(/proven/).waitFor({ timeout: 40000 });
  await row.getByText('done').waitFor({ timeout: 40000 });
  await page.getByRole('link', { name: '0 devices on a diagnostic image' }).waitFor();
  await row.getByRole('button', { name: /proven/ }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('yes, each hashed again').waitFor();
  await dialog.getByText('0 processes, mounts and files').waitFor();
  await dialog.getByText("verified with the device's key").waitFor();
  await accessible(page, 'proof dialog');
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  assert.match(await page.evaluate(() => document.activeElement.textContent), /proven/, 'the focus goes back');
});

test('what was collected is seen as plot, table and log, as text only', { skip }, async () => {
  await page.getByRole('row', { name: /cam-1/ }).getByRole('link', { name: /complete/ }).click();
  await page.getByRole('heading', { name: 'Capture of cam-1' }).waitFor();
  await page.locator('.plot-box canvas').nth(1).waitFor();
  assert.equal(await page.locator('.plot').count(), 2, 'one plot a unit');
  const painted = await page.locator('.plot-box canvas').nth(1).evaluate((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const colours = new Set();
    for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200) colours.add(`${data[i]},${data[i + 1]},${data[i + 2]}`);
    return [...colours];
  });
  assert.ok(painted.includes('11,87,208') && painted.includes('179,38,30'), 'both lines are drawn in their colours');
  await picture(page, 'plot');
  await accessible(page, 'plot');
  const { files } = await world.api('GET', '/captures/1');
  const csv = files.find((file) => file.path === 'counters.csv');
  const samples = (await (await fetch(`${world.url}/api/v1/captures/1/files/${csv.n}`, { headers: { authorization: `Bearer ${world.token}` } })).text()).trim().split('\n').length - 1;
  assert.ok(samples > 20, `${samples} samples`);
  await page.getByText(`${samples} samples over`).waitFor();
  await page.getByRole('button', { name: 'Table', exact: true }).click();
  await page.getByRole('columnheader', { name: 'free [kB]' }).waitFor();
  await page.getByRole('link', { name: /run\.log/ }).click();
  await page.getByText('<img src=x onerror=alert(1)>').waitFor();
  assert.equal(await page.locator('main img').count(), 0);
  await page.getByLabel('Find in the file').fill('ENDED');
  await page.getByText('1 of 3 lines').waitFor();
  const saved = page.waitForEvent('download');
  await page.getByRole('link', { name: 'Download' }).click();
  assert.match(await readFile(await (await saved).path(), 'utf8'), /sampling began\n/);
});

test('a plot of four lines of 100,000 points is drawn in 60 ms', { skip }, async () => {
  const made = await world.json('campaign', 'create', '--image', 'demo/big@1.0.0', '--device', 'cam-1', '--duration', '60s');
  const capture = await until('the capture is complete', async () => (await world.api('GET', `/captures?campaign=${made.id}`)).find((one) => one.state === 'complete'), 60000);
  const took = [];
  for (let i = 0; i < 5; i++) {
    await visit(page, world, `/captures/${capture.id}`);
    await page.getByText('100,000 samples over').waitFor();
    took.push(Number(await page.locator('.plot-box[data-drawn-ms]').getAttribute('data-drawn-ms')));
  }
  took.sort((a, b) => a - b);
  assert.ok(took[2] <= 60, `${took} ms`);
});

test('a running campaign is ended for the devices that are in it, and the app returns', { skip }, async () => {
  await visit(page, world, '/campaigns/new?image=demo%2Fraw&device=cam-1');
  await page.getByLabel('Collect for').fill('100');
  await page.getByRole('button', { name: 'Send to 1 device' }).click();
  const row = page.getByRole('row', { name: /cam-1/ });
  await row.getByText('running').waitFor({ timeout: 40000 });
  await page.getByRole('button', { name: 'End campaign…' }).click();
  await page.getByText('returns to its app now').waitFor();
  await page.getByRole('button', { name: 'End for 1 device' }).click();
  await row.getByText(/proven/).waitFor({ timeout: 40000 });
  await row.getByText('cancelled').or(row.getByText('done')).first().waitFor({ timeout: 40000 });
  await until('the app is back', async () => (await world.api('GET', '/devices/cam-1')).image === null);
});

test('the pages made no errors', { skip }, async () => {
  await settled(page);
  noProblems(page);
});
