// What browsers, scripts and fronts see of the console over HTTP: files in parts, headers, roles, sign-in, stops and kills.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { World, Process, freePort, until, run, path, build } from './lib/locum.mjs';

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
const locum = path.join(build, 'locum');
let world;

before(async () => { world = await World.open(); });
after(async () => { await world.close(); });

/** One request without a client's own ideas about headers: {status, headers, bytes, json}. */
function ask(method, url, { headers = {}, body, token = world.token, ca, onAnswer } = {}) {
  return new Promise((done, fail) => {
    const where = new URL(url, world.url);
    const sent = { ...(token ? { authorization: `Bearer ${token}` } : {}), ...(body !== undefined ? { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) } : {}), ...headers };
    const asked = (where.protocol === 'https:' ? httpsRequest : httpRequest)(where, { method, headers: sent, ca, agent: false }, (answer) => {
      const pieces = [];
      onAnswer?.(answer);
      answer.on('data', (piece) => pieces.push(piece));
      answer.once('error', fail);
      answer.once('end', () => {
        const bytes = Buffer.concat(pieces);
        done({ status: answer.statusCode, headers: answer.headers, bytes, get json() { return JSON.parse(bytes.toString()); } });
      });
    });
    asked.once('error', fail);
    asked.end(body);
  });
}
const call = (method, url, body, options = {}) => ask(method, `/api/v1${url}`, { body: body === undefined ? undefined : JSON.stringify(body), ...options });
const cookieOf = (answer) => answer.headers['set-cookie']?.[0].split(';')[0];
const signIn = (name, password, headers = {}) => call('POST', '/session', { name, password }, { token: null, headers });

test('an object is served whole, in parts, by its tag, and is kept for ever', async () => {
  const bytes = randomBytes(700001), hash = sha256(bytes);
  await world.publish('demo/ranges', '1.0.0', { 'x.bin': bytes });
  for (const url of [`/objects/${hash}`, '/api/v1/assets/demo/ranges/versions/1.0.0/file?path=x.bin']) {
    const part = (range, more = {}) => ask('GET', url, { headers: { range, ...more } });
    const whole = await ask('GET', url);
    assert.equal(whole.status, 200);
    assert.deepEqual(whole.bytes, bytes);
    assert.equal(whole.headers.etag, `"${hash}"`);
    assert.equal(whole.headers['accept-ranges'], 'bytes');
    assert.equal(whole.headers['cache-control'], 'private, max-age=31536000, immutable');
    assert.match(whole.headers['content-disposition'], /^attachment; filename/);
    assert.equal(whole.headers['content-security-policy'], 'sandbox');
    assert.equal(whole.headers['x-content-type-options'], 'nosniff');

    const head = await ask('HEAD', url);
    assert.equal(head.status, 200);
    assert.equal(head.headers['content-length'], '700001');
    assert.equal(head.headers.etag, `"${hash}"`);
    assert.equal(head.bytes.length, 0);

    for (const [range, from, to] of [['bytes=0-0', 0, 1], ['bytes=10-19', 10, 20], ['bytes=700000-', 700000, 700001], ['bytes=-5', 699996, 700001], ['bytes=5-99999999', 5, 700001], ['bytes=-99999999', 0, 700001]]) {
      const got = await part(range);
      assert.equal(got.status, 206, range);
      assert.equal(got.headers['content-range'], `bytes ${from}-${to - 1}/700001`, range);
      assert.deepEqual(got.bytes, bytes.subarray(from, to), range);
    }
    for (const range of ['bytes=700001-', 'bytes=-0']) {
      const got = await part(range);
      assert.equal(got.status, 416, range);
      assert.equal(got.headers['content-range'], 'bytes */700001');
    }
    // What is no range of ours is no range: the whole.
    for (const range of ['bytes=9-3', 'bytes=0-1,4-5', 'lines=1-2', 'bytes=x-y', 'bytes=-', 'bytes=99999999999999999999-'])
      assert.equal((await part(range)).status, 200, range);
    // RFC 9110, 13.1.5: only the very same strong tag makes a part of it.
    assert.equal((await part('bytes=0-9', { 'if-range': `"${hash}"` })).status, 206);
    for (const tag of [`"${sha256('other')}"`, `W/"${hash}"`, '*', 'Sat, 21 Nov 2026 00:00:00 GMT'])
      assert.equal((await part('bytes=0-9', { 'if-range': tag })).status, 200, tag);
    const known = await ask('GET', url, { headers: { 'if-none-match': `"nothing", W/"${hash}"` } });
    assert.equal(known.status, 304);
    assert.equal(known.bytes.length, 0);
    assert.equal(known.headers.etag, `"${hash}"`);
  }
  assert.equal((await ask('GET', `/objects/${hash}`, { token: null })).status, 401);
  assert.equal((await ask('GET', `/objects/${sha256('none')}`)).status, 404);
  assert.equal((await ask('GET', '/objects/..%2f..%2fconsole.db')).status, 400);
});

test('pages come with a strict policy, changing names only by revalidation, hashed names for ever, packed on demand', async () => {
  const index = await ask('GET', '/', { token: null });
  assert.equal(index.status, 200);
  assert.match(index.headers['content-type'], /^text\/html/);
  assert.equal(index.headers['cache-control'], 'no-cache');
  const policy = index.headers['content-security-policy'];
  for (const rule of ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'", "require-trusted-types-for 'script'"])
    assert.ok(policy.includes(rule), `${rule} in ${policy}`);
  assert.ok(!/unsafe|https?:|\*/.test(policy), policy);
  assert.equal(index.headers['x-content-type-options'], 'nosniff');
  assert.equal(index.headers['referrer-policy'], 'no-referrer');
  assert.equal(index.headers['cross-origin-opener-policy'], 'same-origin');
  assert.ok(index.headers['x-request-id']);
  assert.ok(!('access-control-allow-origin' in index.headers));
  const script = /(?:src|href)="(\/[^"]+\.js)"/.exec(index.bytes.toString())[1];
  const plain = await ask('GET', script, { token: null });
  assert.equal(plain.status, 200);
  assert.match(plain.headers['content-type'], /^text\/javascript/);
  assert.equal(plain.headers['cache-control'], 'public, max-age=31536000, immutable');
  const packed = await ask('GET', script, { token: null, headers: { 'accept-encoding': 'br, gzip' } });
  assert.equal(packed.headers['content-encoding'], 'gzip');
  assert.match(packed.headers.vary, /Accept-Encoding/i);
  assert.ok(packed.bytes.length < plain.bytes.length / 2);
  assert.notEqual(packed.headers.etag, plain.headers.etag);
  assert.equal((await ask('GET', script, { token: null, headers: { 'if-none-match': plain.headers.etag } })).status, 304);
  // A place inside the pages is the page; a file that is not there is not.
  for (const place of ['/devices', '/assets/demo/detector/versions', '/devices/cam-1'])
    assert.deepEqual((await ask('GET', place, { token: null })).bytes, index.bytes, place);
  for (const none of ['/static/none.js', '/style.css', '/index.html.gz', '/..%2f..%2fetc%2fpasswd.js'])
    assert.ok([400, 404].includes((await ask('GET', none, { token: null })).status), none);
  const api = await ask('GET', '/api/v1/none');
  assert.equal(api.status, 404);
  assert.equal(api.json.error.request_id, api.headers['x-request-id']);
});

test('each role does its own and is told what it lacks', async () => {
  for (const role of ['viewer', 'support', 'release'])
    assert.equal((await call('POST', '/operators', { name: role, password: 'a long password', role })).status, 201);
  await world.publish('demo/roles', '1.0.0', { 'x.txt': 'x\n' });
  const hash = sha256('roles');
  const acts = [
    ['viewer', 'GET', '/assets'], ['viewer', 'GET', '/audit'], ['viewer', 'GET', '/devices'],
    ['support', 'POST', '/claims', { product: 'demo' }],
    ['release', 'PUT', `/objects/${hash}?offset=0&length=5`, 'roles'], ['release', 'GET', `/objects/${hash}`],
    ['release', 'POST', '/assets/demo/roles/release', { version: '1.0.0' }],
    ['release', 'POST', '/assets/demo/roles/versions', { version: '1.0.1', files: [{ path: 'x', mode: 420, length: 5, sha256: hash }] }],
    ['admin', 'GET', '/operators'], ['admin', 'POST', '/operators', { name: 'another', password: 'a long password', role: 'viewer' }],
  ];
  const order = ['viewer', 'support', 'release', 'admin'];
  for (const role of order) {
    const cookie = cookieOf(await signIn(role, role === 'admin' ? world.password : 'a long password'));
    for (const [least, method, url, body] of acts) {
      const may = order.indexOf(role) >= order.indexOf(least);
      const answer = await ask(method, `/api/v1${url}`, { token: null, headers: { cookie, origin: world.url }, body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body) });
      if (may) assert.ok(answer.status < 300, `${role} ${method} ${url}: ${answer.status} ${answer.bytes}`);
      else {
        assert.equal(answer.status, 403, `${role} ${method} ${url}`);
        assert.match(answer.json.error.message, new RegExp(`needs the role "${least}"; ${role} has "${role}"`));
        assert.ok(answer.json.error.hint);
      }
    }
  }
  const history = await world.json('asset', 'history', 'demo/roles');
  assert.deepEqual(history.map((row) => [row.what, row.version, row.author]), [['publish', '1.0.1', 'release'], ['release', '1.0.0', 'release'], ['publish', '1.0.0', 'admin']]);
  const audit = (await call('GET', '/audit')).json.filter((row) => row.object.startsWith('demo/roles@'));
  assert.deepEqual(audit.map((row) => [row.action, row.object, row.operator]), [['publish', 'demo/roles@1.0.1', 'release'], ['release', 'demo/roles@1.0.0', 'release'], ['publish', 'demo/roles@1.0.0', 'admin']]);
  for (const [i, row] of audit.entries()) assert.ok(row.detail.startsWith(`commit ${history[i].commit.slice(0, 12)}`), row.detail);
});

test('with a cookie only our own pages change anything; a token needs no origin', async () => {
  const cookie = cookieOf(await signIn('admin', world.password));
  const make = (name, headers, token = null) => call('POST', '/tokens', { name, role: 'viewer' }, { token, headers });
  assert.equal((await make('no-origin', { cookie })).status, 403);
  for (const origin of ['http://evil.example', 'null', `http://127.0.0.1:${world.port + 1}`, `${world.url}.evil.example`])
    assert.equal((await make('foreign', { cookie, origin })).status, 403, origin);
  assert.equal((await make('cross-site', { cookie, origin: world.url, 'sec-fetch-site': 'cross-site' })).status, 403);
  assert.equal((await make('own', { cookie, origin: world.url, 'sec-fetch-site': 'same-origin' })).status, 201);
  assert.equal((await make('script', {}, world.token)).status, 201);
  assert.equal((await signIn('admin', world.password, { origin: 'http://evil.example' })).status, 403);
  const names = (await call('GET', '/tokens')).json.map((token) => token.name);
  assert.deepEqual(names.filter((name) => ['no-origin', 'foreign', 'cross-site', 'own', 'script'].includes(name)), ['own', 'script']);
});

test('a token lapses at its time, has no more than its role, and ends when it is removed', async () => {
  const viewer = (await call('POST', '/tokens', { name: 'small', role: 'viewer' })).json.token;
  assert.equal((await call('GET', '/assets', undefined, { token: viewer })).status, 200);
  const refused = await call('POST', '/claims', { product: 'demo' }, { token: viewer });
  assert.equal(refused.status, 403);
  assert.match(refused.json.error.message, /support/);
  assert.equal((await call('POST', '/tokens', { name: 'larger', role: 'admin' }, { token: viewer })).status, 403);
  const brief = (await call('POST', '/tokens', { name: 'brief', expires_in_s: 1 })).json.token;
  await until('it lapses', async () => (await call('GET', '/assets', undefined, { token: brief })).status === 401, 5000);
  for (const expires_in_s of [0, -1, 1.5, '60', 1e12])
    assert.equal((await call('POST', '/tokens', { name: 'odd', expires_in_s })).status, 400, `${expires_in_s}`);
  assert.equal((await call('DELETE', '/tokens/small')).status, 204);
  assert.equal((await call('GET', '/assets', undefined, { token: viewer })).status, 401);
  assert.equal((await call('DELETE', '/tokens/small')).status, 404);
});

test('after five failures a name waits, told for how long, and others do not', async () => {
  assert.equal((await call('POST', '/operators', { name: 'clumsy', password: 'a long password', role: 'viewer' })).status, 201);
  for (let n = 0; n < 5; n++) assert.equal((await signIn('clumsy', `wrong ${n}`)).status, 401);
  const closed = await signIn('clumsy', 'a long password');
  assert.equal(closed.status, 429);
  assert.ok(Number(closed.headers['retry-after']) > 0);
  assert.match(closed.json.error.message, /wait/);
  assert.equal((await call('POST', '/login', { name: 'clumsy', password: 'a long password', token: 'x' }, { token: null })).status, 429);
  assert.equal((await signIn('admin', world.password)).status, 200);
  const cli = await run(locum, ['login', '--name', 'clumsy', '--password-file', await world.file('clumsy', 'a long password\n')], { env: world.env({ HOME: world.folder }) });
  assert.equal(cli.code, 1);
  assert.match(cli.stderr, /wait/);
});

test('the first start without a password prints a link that makes one administrator, once', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'locum-setup-'));
  const port = await freePort(), url = `http://127.0.0.1:${port}`;
  const start = async () => {
    const started = new Process(locum, ['serve', '--data', path.join(folder, 'var'), '--listen', `127.0.0.1:${port}`, '--device-listen', `127.0.0.1:${await freePort()}`]);
    await until('it answers', async () => { if (started.exit) throw new Error(started.output); return (await ask('GET', `${url}/healthz`, { token: null })).status === 200; });
    return started;
  };
  const link = async (started) => until('the link', () => /set up\s+(\S+)\/setup#(\S+)/.exec(started.output));
  const setUp = (token, more = {}) => call('POST', '/setup', { token, name: 'boss', password: 'a long password', ...more }, { token: null });
  const before = world.url;
  let first, second;
  world.url = url;
  try {
    first = await start();
    const [, where, lapsed] = await link(first);
    assert.equal(where, url);
    assert.deepEqual((await call('GET', '/setup', undefined, { token: null })).json, { needed: true });
    assert.equal((await signIn('admin', '')).status, 401);
    assert.equal((await setUp('guess')).status, 401);
    await first.stop();
    second = await start();
    const [, , token] = await link(second);
    assert.notEqual(token, lapsed);
    assert.equal((await setUp(lapsed)).status, 401, 'the link of another start has lapsed');
    assert.equal((await setUp(token, { password: 'short' })).status, 400);
    const made = await setUp(token);
    assert.ok(made.status < 300, `${made.status} ${made.bytes}`);
    assert.deepEqual(made.json.operator, { name: 'boss', role: 'admin' });
    assert.match(made.headers['set-cookie'][0], /HttpOnly; SameSite=Strict/);
    assert.equal((await call('GET', '/operators', undefined, { token: null, headers: { cookie: cookieOf(made) } })).status, 200);
    assert.ok((await setUp(token, { name: 'thief' })).status >= 400, 'the link works once');
    assert.deepEqual((await call('GET', '/setup', undefined, { token: null })).json, { needed: false });
    await second.stop();
    second = await start();
    assert.ok(!/set up/.test(second.output), 'no link where there is an operator');
    assert.equal((await call('GET', '/session', undefined, { token: null, headers: { cookie: cookieOf(made) } })).status, 200, 'the session outlives a restart');
  } finally {
    world.url = before;
    await first?.stop();
    await second?.stop();
    await rm(folder, { recursive: true, force: true });
  }
});

test('with a certificate people get https, a secure cookie, and the command line trusts LOCUM_CA', async () => {
  // The authority that the console made for its devices' listener can vouch for this one as well.
  const tls = path.join(world.data, 'tls'), ca = path.join(tls, 'ca.pem');
  const before = world.url;
  await world.publish('demo/listed', '1.0.0', { x: 'x\n' });
  await world.console.stop();
  world.url = `https://localhost:${world.port}`;
  const device = await freePort();
  world.console = new Process(locum, ['serve', '--data', world.data, '--listen', `127.0.0.1:${world.port}`, '--device-listen', `127.0.0.1:${device}`, '--cert', path.join(tls, 'server.pem'), '--key', path.join(tls, 'server.key')]);
  try {
    const trusted = await readFile(ca);
    await until('it answers', async () => { if (world.console.exit) throw new Error(world.console.output); return (await ask('GET', '/healthz', { token: null, ca: trusted })).status === 200; });
    const signed = await call('POST', '/session', { name: 'admin', password: world.password }, { token: null, ca: trusted, headers: { origin: world.url } });
    assert.equal(signed.status, 200);
    assert.match(signed.headers['set-cookie'][0], /; Secure/);
    const plainOrigin = await call('POST', '/session', { name: 'admin', password: world.password }, { token: null, ca: trusted, headers: { origin: world.url.replace('https', 'http') } });
    assert.equal(plainOrigin.status, 403, 'a page over plain http is another origin');
    const listed = await run(locum, ['asset', 'list', '--json'], { env: world.env({ LOCUM_CA: ca }) });
    assert.equal(listed.code, 0, listed.stderr);
    assert.ok(JSON.parse(listed.stdout).length > 0);
    const flag = await run(locum, ['asset', 'list', '--ca', ca], { env: world.env() });
    assert.equal(flag.code, 0, flag.stderr);
    const stranger = await run(locum, ['asset', 'list'], { env: world.env() });
    assert.equal(stranger.code, 1, 'not unreachable: not trusted');
    assert.match(stranger.stderr, /certificate/i);
    await assert.rejects(ask('GET', world.url.replace('https', 'http') + '/healthz', { token: null }), 'plain http is not answered');
  } finally {
    await world.console.stop();
    world.url = before;
    await world.serve();
  }
  for (const wrong of [['--cert', path.join(tls, 'server.pem')], ['--cert', path.join(tls, 'server.pem'), '--key', path.join(tls, 'none.key')], ['--cert', path.join(tls, 'server.pem'), '--key', path.join(tls, 'ca.key')]]) {
    const folder = path.join(world.folder, 'other');
    const refused = await run(locum, ['serve', '--data', folder, '--listen', '127.0.0.1:0', '--device-listen', '127.0.0.1:0', ...wrong], { timeout: 20000 });
    assert.ok([1, 2].includes(refused.code), `${wrong}: ${refused.code}`);
    assert.ok(refused.stderr.length > 20);
  }
});

test('a download in flight at SIGTERM arrives whole, new requests are refused, and the console ends with 0', async () => {
  const bytes = randomBytes(24 << 20), hash = sha256(bytes);
  await world.publish('demo/drain', '1.0.0', { 'x.bin': bytes });
  let go;
  const begun = new Promise((done) => (go = done));
  const download = ask('GET', `/objects/${hash}`, { onAnswer: (answer) => { answer.pause(); go(answer); } });
  const answer = await begun;
  const ended = world.console.stop();
  await until('new requests are refused', () => ask('GET', '/api/v1/assets').then((refused) => refused.status === 503 && /stopping/.test(refused.json.error.message) && refused.headers['retry-after'], (error) => error.code === 'ECONNREFUSED'));
  answer.resume();
  assert.equal(sha256((await download).bytes), hash);
  assert.deepEqual(await ended, { code: 0, signal: null });
  await world.serve();
});

test('a download that nobody reads does not hold up the stop for ever', async () => {
  const bytes = randomBytes(24 << 20), hash = sha256(bytes);
  await world.publish('demo/stuck', '1.0.0', { 'x.bin': bytes });
  let go;
  const begun = new Promise((done) => (go = done));
  const download = ask('GET', `/objects/${hash}`, { onAnswer: (answer) => { answer.pause(); go(answer); } }).catch(() => 'cut');
  const answer = await begun;
  const started = Date.now();
  const exit = await world.console.stop('SIGTERM', 30000);
  assert.deepEqual(exit, { code: 0, signal: null });
  assert.ok(Date.now() - started < 20000);
  answer.resume();
  assert.equal(await download, 'cut');
  await world.serve();
});

test('sessions, tokens and what was answered survive kill -9; the audit is whole and has each deed once', async () => {
  const cookie = cookieOf(await signIn('admin', world.password));
  const published = await world.publish('demo/killed', '1.0.0', { 'x.bin': randomBytes(100000) });
  await world.release('demo/killed', '1.0.0');
  world.console.kill('SIGKILL');
  await world.console.ended;
  await world.serve();
  assert.equal((await call('GET', '/session', undefined, { token: null, headers: { cookie } })).status, 200);
  assert.equal((await call('GET', '/assets')).status, 200);
  const shown = await world.json('asset', 'show', 'demo/killed');
  assert.equal(shown.released, '1.0.0');
  assert.equal(shown.versions[0].commit, published.commit);
  const audit = (await call('GET', '/audit?limit=1000')).json.filter((row) => row.object === 'demo/killed@1.0.0').map((row) => row.action);
  assert.deepEqual(audit, ['release', 'publish']);
  const verified = await world.locum('repo', 'verify', '--data', world.data);
  assert.equal(verified.code, 0, verified.stdout);
  assert.match(verified.stdout, /audit: \d+ rows, the chain is whole/);
  assert.equal((await call('DELETE', '/session', undefined, { token: null, headers: { cookie, origin: world.url } })).status, 204);
  assert.equal((await call('GET', '/session', undefined, { token: null, headers: { cookie } })).status, 401);
});

test('repo verify in flight ends soon when the console is stopped, and says so', async () => {
  const bytes = randomBytes(1 << 20);
  for (let n = 0; n < 8; n++) {
    bytes.writeInt32LE(n);
    await world.publish('demo/checked', `1.${n}.0`, { 'x.bin': Buffer.concat(Array(24).fill(bytes)) });
  }
  const check = new Process(locum, ['repo', 'verify', '--data', world.data]);
  await until('it has begun', () => /git: \d+ objects read/.test(check.output) || check.exit);
  const exit = await world.console.stop();
  assert.equal(exit.code, 0);
  const checked = await check.ended;
  // On a fast machine it may have come to its end before.
  if (checked.code !== 0) assert.match(check.output, /stopped before its end/);
  await world.serve();
});
