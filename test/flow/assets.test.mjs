// Publishing, releasing and swapping: a real console, a real agent, an app that notices every failed read and wrong byte.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFile, readdir, readlink } from 'node:fs/promises';
import { World, until, run, path, build } from './lib/locum.mjs';

const app = path.join(build, 'test/flow/app');
let world;

before(async () => { world = await World.open(); });
after(async () => { await world.close(); });

/** Files of one version for the test's app: every line of each is the version. */
export function lines(version, more = {}) {
  return { VERSION: `${version}\n`, 'weights.txt': `${version}\n`.repeat(5000), ...more };
}
const appStatus = async (name) => JSON.parse(await readFile(path.join(world.folder, `${name}.json`), 'utf8'));
const appSettings = (name, ...more) => ({ 'app.command': `${app} --status ${path.join(world.folder, `${name}.json`)} ${more.join(' ')}`, 'app.adopt.timeout_s': '10' });

test('a released version reaches the device byte for byte, in one file or many, binary or text, executable or not', async () => {
  const big = randomBytes(3 << 20), tool = randomBytes(100000);
  const device = await world.device('bytes');
  const files = { 'big.onnx': big, 'deep/er/labels.txt': 'cat\ndog\n', 'empty': '', 'again/labels.txt': 'cat\ndog\n', 'naïve name #1 [x].bin': randomBytes(70000), 'bin/tool': { bytes: tool, mode: 0o755 } };
  const published = await world.publish('demo/vision', '1.0.0', files, '--kind', 'model', '--notes', 'first');
  assert.equal(published.already, false);
  await world.release('demo/vision', '1.0.0');
  const shown = await device.runs('vision', '1.0.0');
  assert.equal(shown.running.vision.result, 1);
  assert.equal(shown.running.vision.sha256, published.sha256);
  assert.equal(shown.connectivity, 'online');
  for (const [name, value] of Object.entries(files))
    assert.deepEqual(await readFile(device.current('vision', name)), Buffer.from(value.bytes ?? value), name);
  const stat = await import('node:fs/promises').then((fs) => fs.stat(device.current('vision/bin/tool')));
  assert.equal(stat.mode & 0o111, 0o111 & stat.mode, 'readable mode');
  assert.ok(stat.mode & 0o100, 'the tool is executable');
});

test('the same bytes again are no news, other bytes under the same version are refused and lose nothing', async () => {
  const files = { 'a.bin': randomBytes(1000), 'b.txt': 'b\n' };
  const first = await world.publish('demo/again', '1.0.0', files);
  const second = await world.publish('demo/again', '1.0.0', files);
  assert.equal(second.already, true);
  assert.equal(second.commit, first.commit);
  await world.file('publish/demo/again/1.0.0/b.txt', 'c\n');
  const refused = await world.locum('asset', 'publish', 'demo/again', '--version', '1.0.0', path.join(world.folder, 'publish/demo/again/1.0.0'));
  assert.equal(refused.code, 5, refused.stderr);
  assert.match(refused.stderr, /1\.0\.0/);
  const shown = await world.json('asset', 'show', 'demo/again');
  assert.equal(shown.versions.length, 1);
  assert.equal(shown.versions[0].sha256, first.sha256);
});

test('an update moves changed files only', async () => {
  const device = await world.device('frugal', { product: 'frugal' });
  const same = randomBytes(2 << 20);
  const moved = async () => Number(/^locum_object_bytes_total\S* (\d+)/m.exec(await (await fetch(`${world.url}/metrics`)).text())[1]);
  await world.publish('frugal/parts', '1.0.0', { 'same.bin': same, 'new.bin': randomBytes(70000) });
  await world.release('frugal/parts', '1.0.0');
  await device.runs('parts', '1.0.0');
  const before = await moved();
  await world.publish('frugal/parts', '1.1.0', { 'same.bin': same, 'new.bin': randomBytes(80000) });
  await world.release('frugal/parts', '1.1.0');
  await device.runs('parts', '1.1.0');
  assert.equal(await moved() - before, 80000);
});

test('a version that the app rejects is rolled back, said with the reason, and not tried again', async () => {
  const device = await world.device('picky', { product: 'picky', settings: appSettings('picky', '--reject', '1.1.0') });
  await world.publish('picky/model', '1.0.0', lines('1.0.0'));
  await world.release('picky/model', '1.0.0');
  await device.runs('model', '1.0.0');
  await world.publish('picky/model', '1.1.0', lines('1.1.0'));
  await world.release('picky/model', '1.1.0');
  const shown = await until('the failure is told', async () => {
    const now = await device.show();
    return now.running.model.result === 8 && now.running.model.state === 'idle' && now;
  });
  assert.equal(shown.running.model.version, '1.0.0');
  assert.match(shown.running.model.reason, /does not please the test/);
  const calm = await until('the app has rejected it', async () => { const now = await appStatus('picky'); return now.rejections && now; });
  await until('three check-ins later', async () => (await appStatus('picky')).evaluations > calm.evaluations + 500);
  assert.equal((await appStatus('picky')).rejections, 1, 'tried again');
  await world.publish('picky/model', '1.2.0', lines('1.2.0'));
  await world.release('picky/model', '1.2.0');
  await device.runs('model', '1.2.0');
  const end = await appStatus('picky');
  assert.equal(end.failures, 0);
  assert.equal(end.wrong, 0);
});

test('an app that dies of a version is back with the one before', async () => {
  const device = await world.device('fragile', { product: 'fragile', settings: appSettings('fragile', '--crash', '2.0.0') });
  await world.publish('fragile/model', '1.0.0', lines('1.0.0'));
  await world.release('fragile/model', '1.0.0');
  await device.runs('model', '1.0.0');
  await world.publish('fragile/model', '2.0.0', lines('2.0.0'));
  await world.release('fragile/model', '2.0.0');
  await until('the failure is told', async () => (await device.show()).running.model.result === 8);
  await until('the app evaluates the version before', async () => (await appStatus('fragile')).version === '1.0.0');
  assert.equal((await device.show()).running.model.version, '1.0.0');
});

test('an asset with activation restart restarts the app', async () => {
  const device = await world.device('restarts', { product: 'restarts', settings: appSettings('restarts') });
  await world.publish('restarts/model', '1.0.0', lines('1.0.0'), '--activation', 'restart');
  await world.release('restarts/model', '1.0.0');
  await device.runs('model', '1.0.0');
  const first = await until('it evaluates', async () => (await appStatus('restarts')).version === '1.0.0' && appStatus('restarts'));
  await world.publish('restarts/model', '1.1.0', lines('1.1.0'), '--activation', 'restart');
  await world.release('restarts/model', '1.1.0');
  await device.runs('model', '1.1.0');
  const second = await until('it evaluates the new one', async () => (await appStatus('restarts')).version === '1.1.0' && appStatus('restarts'));
  assert.notEqual(second.pid, first.pid);
});

test('200 swaps while the app evaluates: no failed evaluation, no wrong byte, one app all along', async () => {
  const device = await world.device('busy', { product: 'busy', settings: appSettings('busy') });
  const versions = Array.from({ length: 4 }, (_, n) => `1.${n}.0`);
  for (const version of versions) await world.publish('busy/model', version, lines(version));
  await world.release('busy/model', versions[0]);
  await device.runs('model', versions[0]);
  const start = await until('it evaluates', async () => (await appStatus('busy')).version === versions[0] && appStatus('busy'));
  for (let n = 1; n <= 200; n++) {
    await world.api('POST', '/assets/busy/model/release', { version: versions[n % 4] });
    await until(`swap ${n}`, async () => (await appStatus('busy')).version === versions[n % 4], 20000);
  }
  const end = await appStatus('busy');
  assert.equal(end.pid, start.pid);
  assert.equal(end.failures, 0);
  assert.equal(end.wrong, 0);
  assert.ok(end.adoptions - start.adoptions >= 200, `${end.adoptions - start.adoptions} adoptions`);
});

test('a stock git with git-lfs clones the repository to the same bytes, and it is clean', async () => {
  const files = { 'model.bin': randomBytes(200000), 'notes.txt': 'hello\n', 'sub dir/a b #[1]!.txt': 'text\n', 'sub dir/!c.bin': randomBytes(10) };
  await world.publish('demo/cloned', '1.0.0', files);
  const to = path.join(world.folder, 'clone');
  const env = { ...process.env, GIT_CONFIG_GLOBAL: path.join(world.folder, 'gitconfig'), GIT_CONFIG_NOSYSTEM: '1', HOME: world.folder };
  assert.equal((await run('git', ['lfs', 'install', '--skip-repo'], { env })).code, 0);
  const cloned = await run('git', ['clone', path.join(world.data, 'assets.git'), to], { env });
  assert.equal(cloned.code, 0, cloned.stderr);
  for (const [name, bytes] of Object.entries(files))
    assert.deepEqual(await readFile(path.join(to, 'demo/cloned/files', name)), Buffer.from(bytes), name);
  const status = await run('git', ['-C', to, 'status', '--porcelain'], { env });
  assert.equal(status.stdout, '');
  const verified = await run(path.join(build, 'locum'), ['repo', 'verify', '--data', world.data]);
  assert.equal(verified.code, 0, verified.stdout + verified.stderr);
});

test('history and difference tell what changed between two versions', async () => {
  await world.publish('demo/told', '1.0.0', { 'labels.txt': 'cat\ndog\n', 'w.bin': Buffer.from([0, 1, 2, 3]) }, '--notes', 'the first');
  await world.publish('demo/told', '1.1.0', { 'labels.txt': 'cat\nhorse\n', 'w.bin': Buffer.from([0, 1, 9, 3]) }, '--notes', 'a horse');
  const history = await world.json('asset', 'history', 'demo/told');
  assert.deepEqual(history.map((row) => row.version), ['1.1.0', '1.0.0']);
  assert.match(history[0].message, /a horse/);
  assert.equal(history[0].author, 'admin');
  const difference = await world.locum('asset', 'diff', 'demo/told', '1.0.0', '1.1.0');
  assert.equal(difference.code, 0, difference.stderr);
  assert.match(difference.stdout, /^-dog$/m);
  assert.match(difference.stdout, /^\+horse$/m);
  assert.match(difference.stdout, /w\.bin.*byte 2/);
});

test('old versions are kept as many as the settings say, and no object is lost that a set needs', async () => {
  const device = await world.device('keeps', { settings: { 'versions.keep': '2' }, product: 'keeps' });
  for (let n = 0; n < 5; n++) {
    await world.publish('keeps/data', `1.${n}.0`, { 'x.bin': randomBytes(70000) });
    await world.release('keeps/data', `1.${n}.0`);
    await device.runs('data', `1.${n}.0`);
  }
  await until('old versions are gone', async () => (await readdir(path.join(device.state, 'versions/data'))).length <= 3);
  assert.match(await readlink(path.join(device.state, 'current')), /^sets\/\d+$/);
  assert.equal((await readFile(device.current('data/x.bin'))).length, 70000);
});
