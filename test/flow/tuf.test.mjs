// The independent judge: npm's tuf-js, which knows nothing of Locum, accepts what the console serves and notices what was tampered with.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { createHash, createPrivateKey, sign } from 'node:crypto';
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

/** Canonical JSON of what we write: sorted keys, no white space. */
const canonical = (value) => Array.isArray(value) ? `[${value.map(canonical)}]` : value && typeof value === 'object'
  ? `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`)}}` : JSON.stringify(value);
const bytesOf = (envelope) => Buffer.from(canonical(envelope));

/** A snapshot or timestamp that says `bytes` is the file, signed with the server's own key. */
async function signAnew(role, envelope, name, bytes) {
  const { private: seed } = JSON.parse(await readFile(path.join(world.data, 'keys', role)));
  const key = createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.from(seed, 'hex')]), format: 'der', type: 'pkcs8' });
  const meta = { ...envelope.signed.meta, [name]: { ...envelope.signed.meta[name], length: bytes.length, hashes: { sha256: sha256(bytes) } } };
  const signed = { ...envelope.signed, meta };
  return bytesOf({ signed, signatures: [{ keyid: envelope.signatures[0].keyid, sig: sign(null, Buffer.from(canonical(signed)), key).toString('hex') }] });
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

test('an image that two people sign for is found once both did, with their two keys', async () => {
  const of = (role, target) => { const found = role.signed.delegations.roles.find((r) => r.name === target); return { threshold: found.threshold, keys: found.keyids.length }; };
  const file = async (name) => (await fetch(`${world.url}/metadata/${name}`, { headers: { authorization: `Bearer ${world.token}` } })).json();
  const newest = async (role) => {
    const { version } = (await file('timestamp.json')).signed.meta['snapshot.json'];
    return file(`${(await file(`${version}.snapshot.json`)).signed.meta[`${role}.json`].version}.${role}.json`);
  };
  await world.publish('pair/probe', '1.0.0', image, '--kind', 'diagnostic');
  await download(await client('two'), 'diagnostics/pair/probe/1.0.0');
  await world.json('product', 'set', 'pair', 'approval=two');
  assert.deepEqual(of(await newest('targets'), 'diagnostics-pair'), { threshold: 2, keys: 2 });
  assert.deepEqual(of(await newest('targets'), 'assets-pair'), { threshold: 1, keys: 1 });
  assert.equal(await (await client('two')).getTargetInfo('diagnostics/pair/probe/1.0.0'), undefined);

  const probe = await world.publish('pair/probe', '2.0.0', image, '--kind', 'diagnostic');
  assert.equal(await (await client('two')).getTargetInfo('diagnostics/pair/probe/2.0.0'), undefined);
  await world.device('pair-1', { product: 'pair', start: false });
  await world.api('POST', '/operators', { name: 'bob', password: 'a long enough password', role: 'support' });
  const { token } = await world.api('POST', '/login', { name: 'bob', password: 'a long enough password', token: 'bob' });
  const made = await world.json('campaign', 'create', '--image', 'pair/probe@2.0.0', '--device', 'pair-1', '--duration', '10s');
  const approved = await fetch(`${world.url}/api/v1/campaigns/${made.id}/approve`, { method: 'POST', headers: { authorization: `Bearer ${token}` } });
  assert.equal(approved.status, 200, await approved.text());
  const updater = await client('two');
  assert.equal(sha256(await download(updater, 'diagnostics/pair/probe/2.0.0')), probe.sha256);
  const signed = await newest('diagnostics-pair');
  assert.equal(new Set(signed.signatures.map((s) => s.keyid)).size, 2);

  // A server that was taken over has the keys of snapshot and timestamp, not the approver's: the judge wants both.
  const served = { list: await newest('diagnostics-pair'), timestamp: await file('timestamp.json') };
  served.snapshot = await file(`${served.timestamp.signed.meta['snapshot.json'].version}.snapshot.json`);
  const takenOver = async (signatures) => {
    const list = bytesOf({ ...served.list, signatures });
    const snapshot = await signAnew('snapshot', served.snapshot, 'diagnostics-pair.json', list);
    const timestamp = await signAnew('timestamp', served.timestamp, 'snapshot.json', snapshot);
    return new Fetcher((url, bytes) => url.endsWith('.diagnostics-pair.json') ? list : url.endsWith('.snapshot.json') ? snapshot : url.endsWith('/timestamp.json') ? timestamp : bytes);
  };
  const [author, approver] = served.list.signatures;
  assert.equal(sha256(await download(await client('taken-both', await takenOver([approver, author])), 'diagnostics/pair/probe/2.0.0')), probe.sha256);
  for (const [name, signatures] of Object.entries({ author: [author], approver: [approver], twice: [author, author] })) {
    const fresh = await client(`taken-${name}`, await takenOver(signatures));
    await assert.rejects(async () => download(fresh, 'diagnostics/pair/probe/2.0.0'), /signed by 1\/2 keys|threshold|signatures/i, name);
  }
});
