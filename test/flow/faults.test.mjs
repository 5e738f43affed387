// Bad input, cut connections, killed programs, full disks: a sentence for each, and nothing is lost.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createHash, randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { readFile, writeFile, mkdir, truncate } from 'node:fs/promises';
import { World, until, run, path, build, isRoot } from './lib/locum.mjs';

let world;
before(async () => { world = await World.open(); });
after(async () => { await world.close(); });

const sha = (bytes) => createHash('sha256').update(bytes).digest('hex');
const put = (url, bytes, headers = {}) => fetch(`${world.url}/api/v1${url}`, { method: 'PUT', body: bytes, headers: { authorization: `Bearer ${world.token}`, 'content-type': 'application/octet-stream', ...headers } });
const sentence = async (answer) => (await answer.json()).error.message;

test('names and paths that want out are refused with the rule', async () => {
  const file = await world.file('x.bin', 'x');
  for (const [asset, version] of [['../x/y', '1.0.0'], ['demo/..', '1.0.0'], ['demo/A', '1.0.0'], ['metadata/a', '1.0.0'], ['demo/a.lock', '1.0.0'], ['demo/a', '1.0'], ['demo/a', '01.0.0'], ['demo/a', '1.0.0/../..']]) {
    const result = await world.locum('asset', 'publish', asset, '--version', version, file);
    assert.equal(result.code, 2, `${asset} ${version}: ${result.stderr}`);
    assert.ok(result.stderr.length > 20);
  }
  const hash = sha('x');
  assert.equal((await put(`/objects/${hash}?offset=0&length=1`, 'x')).status, 200);
  for (const name of ['../x', '/x', 'a/../b', '.git/config', 'a/.GIT/x', 'a//b', 'a\\b', 'x'.repeat(256), 'a\u0001', '.', '', 'a/'.repeat(40) + 'a']) {
    const answer = await fetch(`${world.url}/api/v1/assets/demo/paths/versions`, { method: 'POST', headers: { authorization: `Bearer ${world.token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ version: '1.0.0', files: [{ path: name, mode: 420, length: 1, sha256: hash }] }) });
    assert.equal(answer.status, 400, JSON.stringify(name));
    assert.ok((await sentence(answer)).length > 10);
  }
});

test('an upload that is cut goes on where it stopped, a wrong or oversized one is refused', async () => {
  const bytes = randomBytes(300000), hash = sha(bytes), first = bytes.subarray(0, 100000);
  let answer = await put(`/objects/${hash}?offset=0&length=300000`, first);
  assert.ok([200, 400].includes(answer.status), 'a part is kept, or the cut is told');
  const held = (await world.api('GET', `/objects/${hash}`)).held;
  assert.ok(held === 100000 || held === 0);
  answer = await put(`/objects/${hash}?offset=77&length=300000`, bytes.subarray(77));
  assert.equal(answer.status, held === 77 ? 200 : 409);
  answer = await put(`/objects/${hash}?offset=${held}&length=300000`, bytes.subarray(held));
  assert.equal(answer.status, 200);
  assert.deepEqual(await world.api('GET', `/objects/${hash}`), { held: 300000, complete: true });
  const wrong = randomBytes(1000);
  answer = await put(`/objects/${sha('other')}?offset=0&length=1000`, wrong);
  assert.equal(answer.status, 422);
  assert.deepEqual(await world.api('GET', `/objects/${sha('other')}`), { held: 0, complete: false });
  answer = await put(`/objects/${sha('more')}?offset=0&length=10`, wrong);
  assert.ok([400, 413].includes(answer.status), `${answer.status}`);
  answer = await put('/objects/nonsense?offset=0&length=10', wrong);
  assert.equal(answer.status, 400);
});

test('what somebody else sends at the same time is waited for', async () => {
  const bytes = randomBytes(400000), hash = sha(bytes), half = 3 * 65536; // the console keeps whole pieces
  const other = request(`${world.url}/api/v1/objects/${hash}?offset=0&length=${bytes.length}`,
    { method: 'PUT', headers: { authorization: `Bearer ${world.token}`, 'content-type': 'application/octet-stream', 'content-length': bytes.length } });
  const answered = once(other, 'response');
  other.write(bytes.subarray(0, half));
  await until('half of it is there', async () => (await world.api('GET', `/objects/${hash}`)).held === half);
  const publishing = world.publish('demo/together', '1.0.0', { 'a.bin': bytes });
  const requests = async () => Number(/^locum_requests_total\{listener="people"\} (\d+)$/m.exec(await (await fetch(`${world.url}/metrics`, { headers: { authorization: `Bearer ${world.token}` } })).text())[1]);
  const before = await requests();
  let own = 0;
  await Promise.race([publishing, until('it has been refused twice', async () => await requests() - before - ++own >= 4)]);
  other.end(bytes.subarray(half));
  const [{ statusCode }] = await answered;
  assert.equal(statusCode, 200);
  assert.equal((await publishing).already, false);
});

test('the console is killed while it publishes: afterwards the version is there whole or not at all, and it verifies', async () => {
  for (let n = 0; n < 6; n++) {
    const files = { 'a.bin': randomBytes(400000), 'b.txt': `n ${n}\n` };
    const publishing = world.publish('demo/killed', `1.${n}.0`, files).then(() => true, () => false);
    await new Promise((done) => setTimeout(done, 5 + n * 12)); // where it dies is the point: another place each time
    world.console.kill('SIGKILL');
    await world.console.ended;
    const answered = await publishing;
    await world.serve();
    const verified = await run(path.join(build, 'locum'), ['repo', 'verify', '--data', world.data]);
    assert.equal(verified.code, 0, verified.stdout + verified.stderr);
    const shown = await world.json('asset', 'show', 'demo/killed').catch(() => ({ versions: [] }));
    const there = shown.versions.some((version) => version.version === `1.${n}.0`);
    if (answered) assert.ok(there, 'answered means durable');
    const again = await world.publish('demo/killed', `1.${n}.0`, files);
    assert.equal(again.already, there);
  }
});

test('a second console on the same data and a second agent on the same state are refused', async () => {
  const second = await run(path.join(build, 'locum'), ['serve', '--data', world.data, '--listen', '127.0.0.1:0', '--device-listen', '127.0.0.1:0']);
  assert.equal(second.code, 5, second.stderr);
  const device = await world.device('only-one');
  await until('it is online', async () => (await device.show()).connectivity === 'online');
  const agent = await run(device.program, ['run', '--state', device.state, '--config', device.config]);
  assert.equal(agent.code, 5, agent.stderr);
  assert.match(agent.stderr, /already|another/);
});

test('a claim code works once, a wrong one never, and each refusal is a sentence', async () => {
  const claim = await world.json('device', 'claim', '--product', 'demo');
  const enrol = (code, name) => run(path.join(build, 'locum-agent'), ['enrol', '--server', world.deviceUrl, '--claim', code, '--state', path.join(world.folder, `enrol-${name}`), '--name', name]);
  assert.equal((await enrol(claim.code, 'once')).code, 0);
  const twice = await enrol(claim.code, 'twice');
  assert.notEqual(twice.code, 0);
  assert.match(twice.stderr, /claim/);
  const fresh = (await world.json('device', 'claim', '--product', 'demo')).code.split('.');
  const foreign = [fresh[0], sha('another authority'), fresh[2]].join('.');
  const refused = await enrol(foreign, 'foreign');
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /authority|fingerprint|certificate/);
  const guess = ['a'.repeat(26), fresh[1], fresh[2]].join('.');
  assert.notEqual((await enrol(guess, 'guess')).code, 0);
  assert.notEqual((await enrol('nonsense', 'nonsense')).code, 0);
  const review = await world.json('device', 'claim', '--product', 'demo', '--review');
  assert.equal((await enrol(review.code, 'reviewed')).code, 0);
  assert.equal((await world.json('device', 'show', 'reviewed')).admission, 'pending');
  await world.json('device', 'accept', 'reviewed');
  assert.equal((await world.json('device', 'show', 'reviewed')).admission, 'accepted');
});

test('a tampered object never becomes a version, and the repaired one does', async () => {
  const bytes = randomBytes(500000), hash = sha(bytes);
  await world.publish('tampered/data', '1.0.0', { 'x.bin': bytes });
  const object = path.join(world.data, 'assets.git/lfs/objects', hash.slice(0, 2), hash.slice(2, 4), hash);
  const bad = Buffer.from(bytes);
  bad[1234] ^= 1;
  await run('chmod', ['u+w', object]);
  await writeFile(object, bad);
  const verified = await run(path.join(build, 'locum'), ['repo', 'verify', '--data', world.data]);
  assert.equal(verified.code, 1);
  const device = await world.device('wary', { product: 'tampered' });
  await world.release('tampered/data', '1.0.0');
  const shown = await until('it is refused', async () => { const d = await device.show(); return d.running.data?.result === 5 && d; });
  assert.notEqual(shown.running.data.version, '1.0.0');
  assert.ok(shown.running.data.reason);
  await writeFile(object, bytes);
  await device.runs('data', '1.0.0', 90000);
  assert.deepEqual(await readFile(device.current('data/x.bin')), bytes);
});

test('a release for another hardware revision leaves a device with what it had, and the console says why', async () => {
  const b = await world.device('rev-b', { product: 'hw', enrol: ['--hardware', 'rev-b'] });
  const a = await world.device('rev-a', { product: 'hw', enrol: ['--hardware', 'rev-a'] });
  await world.publish('hw/data', '1.0.0', { x: 'for all\n' });
  await world.release('hw/data', '1.0.0');
  await b.runs('data', '1.0.0');
  await world.publish('hw/data', '1.1.0', { x: 'for a\n' }, '--hardware', 'rev-a');
  await world.release('hw/data', '1.1.0');
  await a.runs('data', '1.1.0');
  await world.publish('hw/other', '1.0.0', { x: 'for all\n' });
  await world.release('hw/other', '1.0.0');
  const shown = await b.runs('other', '1.0.0'); // a later order came through: the one before changed nothing
  assert.equal(shown.running.data.version, '1.0.0');
  assert.equal(await readFile(b.current('data/x'), 'utf8'), 'for all\n');
  assert.deepEqual(shown.unfit, { data: { version: '1.1.0', hardware: ['rev-a'] } });
  assert.deepEqual((await a.show()).unfit, {});
});

test('the agent is killed anywhere in an update: it ends at the new version with the right bytes', async () => {
  const device = await world.device('killed', { product: 'kills' });
  for (let n = 0; n < 6; n++) {
    const bytes = randomBytes(3 << 20);
    await world.publish('kills/data', `1.${n}.0`, { 'x.bin': bytes, 'y.txt': `${n}\n` });
    await world.release('kills/data', `1.${n}.0`);
    await new Promise((done) => setTimeout(done, 60 + n * 150)); // where it dies is the point
    device.agent.kill('SIGKILL');
    await device.agent.ended;
    await device.start();
    await device.runs('data', `1.${n}.0`);
    assert.deepEqual(await readFile(device.current('data/x.bin')), bytes);
  }
});

test('a full disk on the device is told, and the update goes on when there is space', { skip: isRoot ? false : 'a small file system needs root' }, async () => {
  const mount = path.join(world.folder, 'devices', 'small');
  await mkdir(mount, { recursive: true });
  assert.equal((await run('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'none', mount])).code, 0);
  try {
    const device = await world.device('small', { product: 'small' });
    const fill = path.join(mount, 'ballast');
    await writeFile(fill, Buffer.alloc(3 << 20));
    await world.publish('small/data', '1.0.0', { 'x.bin': randomBytes(4 << 20) });
    await world.release('small/data', '1.0.0');
    const shown = await until('it is told', async () => { const d = await device.show(); return d.running.data?.result === 2 && d; });
    assert.match(`${shown.running.data.reason}`, /space/i);
    await truncate(fill, 0);
    await device.runs('data', '1.0.0', 90000);
    await device.stop();
  } finally {
    await run('umount', [mount]);
  }
});

test('a full disk on the server is told, and nothing is lost', { skip: isRoot ? false : 'a small file system needs root' }, async () => {
  const mount = path.join(world.folder, 'small-server');
  await mkdir(mount, { recursive: true });
  assert.equal((await run('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'none', mount])).code, 0);
  const small = await World.open();
  try {
    await small.console.stop();
    small.data = path.join(mount, 'var');
    await small.serve();
    small.token = (await run(path.join(build, 'locum'), ['token', 'create', '--user', 'admin', '--name', 'small', '--data', small.data])).stdout.trim();
    await small.publish('demo/fits', '1.0.0', { 'x.bin': randomBytes(1 << 20) });
    await small.file('large/x.bin', randomBytes(30 << 20));
    const refused = await small.locum('asset', 'publish', 'demo/large', '--version', '1.0.0', path.join(small.folder, 'large'));
    assert.equal(refused.code, 1, refused.stderr);
    assert.match(refused.stderr, /space/i);
    const again = await small.publish('demo/fits', '1.1.0', { 'x.bin': randomBytes(100000) });
    assert.equal(again.already, false);
    const verified = await run(path.join(build, 'locum'), ['repo', 'verify', '--data', small.data]);
    assert.equal(verified.code, 0, verified.stdout + verified.stderr);
  } finally {
    await small.close();
    await run('umount', [mount]);
  }
});

test('unknown words and flags exit with 2 and say what there is; --help exits with 0', async () => {
  for (const args of [['asset', 'publis'], ['nonsense'], ['asset', 'list', '--nonsense'], ['asset', 'diff', 'a/b'], ['device', 'list', '--filter', 'nonsense:x'], ['campaign', 'create']]) {
    const result = await world.locum(...args);
    assert.equal(result.code, 2, `${args}: ${result.stderr}`);
    assert.ok(result.stderr.length > 20);
    assert.equal(result.stdout, '');
  }
  for (const args of [['--help'], ['asset', '--help'], ['asset', 'publish', '--help'], ['serve', '--help']]) {
    const result = await world.locum(...args);
    assert.equal(result.code, 0, `${args}`);
    assert.match(result.stdout, /locum/);
  }
  const rows = (await world.locum('--help')).stdout.split('\n').filter((row) => /^ {2}\S/.test(row));
  assert.ok(rows.length > 40);
  for (const row of rows) assert.match(row, /^.{40} \S/, 'each help begins in the same column, an ellipsis before it or not');
  const agent = await run(path.join(build, 'locum-agent'), ['run', '--nonsense']);
  assert.equal(agent.code, 2);
  assert.equal((await run(path.join(build, 'locum-agent'), ['--help'])).code, 0);
  const away = await run(path.join(build, 'locum'), ['asset', 'list'], { env: world.env({ LOCUM_URL: 'http://127.0.0.1:1' }) });
  assert.equal(away.code, 8);
  const stranger = await run(path.join(build, 'locum'), ['asset', 'list'], { env: world.env({ LOCUM_TOKEN: 'wrong' }) });
  assert.equal(stranger.code, 4);
  assert.equal((await world.locum('asset', 'show', 'demo/none')).code, 3);
  const json = await world.locum('asset', 'show', 'demo/none', '--json');
  assert.equal(JSON.parse(json.stderr).error.code, 'missing');
});
