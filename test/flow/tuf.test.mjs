// The independent judge: npm's tuf-js, which knows nothing of Locum, accepts what the console serves and notices what was tampered with.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { Readable } from 'node:stream';
import { World, path } from './lib/locum.mjs';

const require = createRequire(import.meta.url);
const { Updater, BaseFetcher } = require('tuf-js');
const { DownloadHTTPError } = require('tuf-js/dist/error');
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
let world;

before(async () => { world = await World.open(); });
after(async () => { await world.close(); });

/** Fetches with the operator's token; `bend` may change what arrives. */
class Fetcher extends BaseFetcher {
  constructor(bend = (url, bytes) => bytes) { super(); this.bend = bend; this.urls = []; }
  async fetch(url) {
    this.urls.push(url.slice(world.url.length));
    const answer = await fetch(url, { headers: { authorization: `Bearer ${world.token}` } });
    if (!answer.ok) throw new DownloadHTTPError('refused', answer.status);
    return Readable.from([this.bend(url, Buffer.from(await answer.arrayBuffer()))]);
  }
}

/** A client with its own folder that trusts the first root. */
async function client(name, fetcher = new Fetcher()) {
  const folder = path.join(world.folder, 'tuf', name);
  await mkdir(path.join(folder, 'targets'), { recursive: true });
  const root = await fetch(`${world.url}/metadata/1.root.json`, { headers: { authorization: `Bearer ${world.token}` } });
  assert.equal(root.status, 200);
  await writeFile(path.join(folder, 'root.json'), Buffer.from(await root.arrayBuffer()), { flag: 'wx' }).catch(() => {});
  return new Updater({ metadataDir: folder, metadataBaseUrl: `${world.url}/metadata`, targetDir: path.join(folder, 'targets'),
    targetBaseUrl: `${world.url}/targets`, fetcher });
}

async function download(updater, target) {
  const info = await updater.getTargetInfo(target);
  assert.ok(info, `${target} is listed`);
  return readFile(await updater.downloadTarget(info, path.join(world.folder, 'tuf', sha256(target))));
}

const image = { 'diagnostic.json': JSON.stringify({ entry: ['./run'], max_runtime_s: 30, collect: ['proc'] }), run: { bytes: '#!/bin/sh\nexit 0\n', mode: 0o755 } };

test('the metadata of an empty repository verify', async () => {
  await (await client('empty')).refresh();
});

test('manifests of assets and of diagnostic images are found through their delegations and arrive whole', async () => {
  const model = await world.publish('demo/detector', '1.0.0-rc.1+build.7', { 'model.bin': Buffer.alloc(100000, 7), 'labels.txt': 'cat\n' }, '--kind', 'model');
  const probe = await world.publish('demo/probe', '1.0.0', image, '--kind', 'diagnostic');
  const other = await world.publish('other/detector', '2.0.0', { 'model.bin': 'x' });
  const updater = await client('targets');
  for (const [target, published] of [['assets/demo/detector/1.0.0-rc.1+build.7', model], ['diagnostics/demo/probe/1.0.0', probe], ['assets/other/detector/2.0.0', other]]) {
    const manifest = await download(updater, target);
    assert.equal(sha256(manifest), published.sha256);
    assert.equal(JSON.parse(manifest).version, target.split('/').at(-1));
  }
  for (const missing of ['assets/demo/detector/9.9.9', 'diagnostics/demo/detector/1.0.0-rc.1+build.7', 'assets/demo/probe/1.0.0', 'director/none'])
    assert.equal(await updater.getTargetInfo(missing).catch(() => undefined), undefined, missing);
});

test('a client that was here before follows news by fetching only what changed', async () => {
  await world.publish('demo/follow', '1.0.0', { a: 'one' });
  await download(await client('follow'), 'assets/demo/follow/1.0.0');
  await world.publish('demo/follow', '1.1.0', { a: 'two' });
  const fetcher = new Fetcher();
  const manifest = await download(await client('follow', fetcher), 'assets/demo/follow/1.1.0');
  assert.equal(JSON.parse(manifest).files[0].sha256, sha256('two'));
  assert.ok(!fetcher.urls.some((url) => url.endsWith('.targets.json')), fetcher.urls.join(' '));
  assert.ok(fetcher.urls.some((url) => /\/\d+\.assets-demo\.json$/.test(url)), fetcher.urls.join(' '));
});

test('after a restart of the console the same client goes on', async () => {
  await world.publish('demo/restart', '1.0.0', { a: 'one' });
  await download(await client('restart'), 'assets/demo/restart/1.0.0');
  await world.console.stop();
  await world.serve();
  await world.publish('demo/restart', '1.1.0', { a: 'two' });
  await download(await client('restart'), 'assets/demo/restart/1.1.0');
});

test('one changed byte in any file is noticed', async () => {
  await world.publish('demo/bent', '1.0.0', { a: 'one' });
  await download(await client('unbent'), 'assets/demo/bent/1.0.0');
  for (const file of ['timestamp.json', '.snapshot.json', '.targets.json', '.assets-demo.json', '/targets/']) {
    const bend = (url, bytes) => {
      if (file === '/targets/' ? url.includes(file) : url.endsWith(file)) bytes[bytes.length - 10] ^= 1;
      return bytes;
    };
    await assert.rejects(async () => download(await client(`bent${file.replaceAll('/', '-')}`, new Fetcher(bend)), 'assets/demo/bent/1.0.0'), file);
  }
});

test('nobody reads the repository on the people’s listener without signing in', async () => {
  for (const url of ['/metadata/timestamp.json', '/metadata/1.root.json', '/targets/assets/demo/bent/x'])
    assert.ok([401, 403].includes((await fetch(world.url + url)).status), url);
});
