// Attacks that a defence once let through, or without which the promises of design.md would be words: a hostile device, an
// operator of a lower role, a fully compromised server, another user of the machine.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, readdirSync, existsSync, statSync, lstatSync, writeFileSync } from 'node:fs';
import { World, until, path, build, isRoot, run as execute } from './lib/locum.mjs';
import { Hand, sha256 } from './lib/hand.mjs';
import { Evil, key, envelope } from './lib/evil.mjs';

const limits = { entry: ['./run'], mode: 'replace', max_runtime_s: 60, grace_s: 1, max_output: 1 << 16, max_memory: 64 << 20, max_pids: 8, collect: ['proc'], network: 'none',
  params: { rate: { type: 'integer', min: 1, max: 10 } } };
let world;
const claim = () => world.json('device', 'claim', '--product', 'demo');
const assignment = async (id) => (await world.json('run', 'show', String(id))).assignments[0];
async function hand(name) {
  const device = new Hand(world);
  assert.equal((await device.enrol((await claim()).code, { name })).status, 200);
  assert.equal((await device.open()).status, 200);
  await device.checkin();
  return device;
}
/** A hand-made device with a run that it says is running. */
async function running(name, more = {}) {
  const device = await hand(name);
  const { id } = await world.json('campaign', 'create', '--image', 'demo/look@1.0.0', '--duration', '5s', '--device', name);
  await device.checkin();
  device.run = device.order.runs[0].id;
  await device.report({ type: 'assignment', run: device.run, state: 'running', ...more });
  return { device, id };
}
const asPerson = (token, method, url, body, headers = {}) => fetch(`${world.url}${url}`, {
  method, headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), ...(body ? { 'content-type': 'application/json' } : {}), ...headers }, body: body && JSON.stringify(body) });

before(async () => {
  world = await World.open();
  await world.publish('demo/model', '1.0.0', { VERSION: '1.0.0\n', w: '1.0.0\n'.repeat(1000) });
  await world.publish('demo/look', '1.0.0', { 'diagnostic.json': JSON.stringify(limits), run: { bytes: '#!/bin/sh\nexit 0\n', mode: 0o755 } }, '--kind', 'diagnostic');
  await world.release('demo/model', '1.0.0');
});
after(async () => { if (world) await world.close(); });

// --- a hostile device

test('a proof that says "equal" over unequal hashes, or none, is never shown as proven', async () => {
  const cases = [{ after: sha256('another') }, { before: null }, { before: 'x', after: 'x' }, { before: undefined, after: undefined }];
  for (const [i, lie] of cases.entries()) {
    const { device, id } = await running(`liar-${i}`);
    await device.report({ type: 'assignment', run: device.run, state: 'uploading', proof: device.proof(device.run, lie) });
    const a = await assignment(id);
    assert.deepEqual([a.reverted.verified, a.alarm], [false, 'revert_failed'], JSON.stringify(lie));
  }
});

test('a device cannot put off its own deadline: without an end in sight it is overdue all the same', async () => {
  for (const [i, ends_at] of ['9999-12-31T23:59:59Z', '1970-01-01T00:00:01Z', 9007199254740991].entries()) {
    const { id } = await running(`late-${i}`, { ends_at, at: '1970-01-01T00:00:01Z' });
    const a = await assignment(id);
    assert.ok(Date.parse(a.ends_at) < Date.now() + 400e3, `${ends_at}: ${a.ends_at}`);
    assert.ok(Date.parse(a.until) < Date.now() + 500e3 && Date.parse(a.started_at) > Date.now() - 400e3, `${a.started_at} ${a.until}`);
  }
});

test('what one device says without end does not stay in the database', { timeout: 120000 }, async () => {
  const device = await hand('flood');
  // An orderly stop leaves everything in the database's own file.
  const size = async () => {
    await world.console.stop();
    const { size: bytes } = statSync(path.join(world.data, 'console.db'));
    assert.ok(!existsSync(path.join(world.data, 'console.db-wal')));
    await world.serve();
    await device.open();
    return bytes;
  };
  const some = (n) => Promise.all(Array.from({ length: n }, () => device.report(...Array.from({ length: 64 }, () => ({ type: 'nonsense' })))));
  for (let i = 0; i < 25; i++) await some(8);
  const before = await size();
  for (let i = 0; i < 25; i++) await some(8);
  const more = await size() - before;
  assert.ok(more < 512 << 10, `${more} bytes more after 12,800 more reports`);
});

test('a zone that leads elsewhere, or is none, is UTC', async () => {
  const device = await hand('zoned');
  for (const [said, zone] of [['../../etc/passwd', 'UTC'], ['Etc/../../../etc/passwd', 'UTC'], ['/etc/localtime', 'UTC'], ['Europe', 'UTC'], ['Europe/Berlin', 'Europe/Berlin']]) {
    await device.checkin({ facts: { timezone: said } });
    const plan = await world.json('campaign', 'create', '--image', 'demo/look@1.0.0', '--device', 'zoned', '--duration', '5s', '--window', '02:00-05:00', '--dry-run');
    assert.equal(plan.occurrences[0].local[0].zone, zone, said);
  }
});

// --- an operator of a lower role, and pages elsewhere

test('a token can make none that is stronger or lasts longer than itself', async () => {
  const made = await (await asPerson(world.token, 'POST', '/api/v1/tokens', { name: 'short', role: 'viewer', expires_in_s: 100 })).json();
  assert.equal((await asPerson(made.token, 'POST', '/api/v1/tokens', { name: 'strong', role: 'admin' })).status, 403);
  for (const expires_in_s of [undefined, 100000]) assert.equal((await asPerson(made.token, 'POST', '/api/v1/tokens', { name: `heir-${expires_in_s}`, expires_in_s })).status, 201);
  const heirs = (await (await asPerson(world.token, 'GET', '/api/v1/tokens')).json()).filter(({ name }) => name.startsWith('heir'));
  assert.equal(heirs.length, 2);
  for (const heir of heirs) assert.ok(heir.role === 'viewer' && Date.parse(heir.expires_at) <= Date.now() + 101e3, JSON.stringify(heir));
});

test('each changing route refuses a viewer, and a page of another origin with the viewer\'s own cookie', async () => {
  await asPerson(world.token, 'POST', '/api/v1/operators', { name: 'eve', password: 'eve eve eve', role: 'viewer' });
  const signedIn = await asPerson(null, 'POST', '/api/v1/session', { name: 'eve', password: 'eve eve eve' }, { origin: world.url });
  const cookie = signedIn.headers.get('set-cookie');
  assert.match(cookie, /HttpOnly; SameSite=Strict/);
  const routes = readFileSync(new URL('../../console/routes.c', import.meta.url), 'utf8').matchAll(/\{"(POST|PUT|PATCH|DELETE)",\s*V1 "([^"]+)",\s*PEOPLE, ROLE_(SUPPORT|RELEASE|ADMIN)/g);
  let seen = 0;
  for (const [, method, route] of routes) {
    const url = `/api/v1${route.replace(/\{sha256\}/, '0'.repeat(64)).replace(/\{\w+\}/g, '1')}`;
    const headers = { cookie: cookie.split(';')[0], origin: world.url };
    assert.equal((await asPerson(null, method, url, {}, headers)).status, 403, `${method} ${url}`);
    assert.equal((await asPerson(null, method, url, {}, { ...headers, origin: 'http://evil.example' })).status, 403);
    seen++;
  }
  assert.ok(seen >= 12, `${seen} routes`);
  for (const origin of ['http://evil.example', 'null', undefined]) {
    const out = await asPerson(null, 'POST', '/api/v1/tokens', { name: 'csrf' }, { cookie: cookie.split(';')[0], ...(origin ? { origin } : {}) });
    assert.equal(out.status, 403, String(origin));
  }
});

test('names that a device chose come back as one header line, and captures only as attachments in a sandbox', async () => {
  const { device, id } = await running('names');
  const files = ['<img src=x onerror=alert(1)>.html', 'a"; filename="x.html', '%0d%0aSet-Cookie: a=b', '\u202egnp.exe'].map((name) => ({ path: name, length: 4, sha256: sha256('evil'), type: 'text' }));
  assert.equal((await device.call('POST', `/device/captures/${device.run}`, { files, omitted: [], complete: true })).status, 200);
  for (const n of files.keys()) assert.equal((await device.call('PATCH', `/device/captures/${device.run}/${n}?offset=0`, Buffer.from('evil'))).status, 200);
  await device.report({ type: 'assignment', run: device.run, state: 'uploading', proof: device.proof(device.run) }, { type: 'assignment', run: device.run, state: 'done', capture: 'complete' });
  const [capture] = await world.api('GET', `/captures?campaign=${id}`);
  for (const n of files.keys()) {
    const got = await asPerson(world.token, 'GET', `/api/v1/captures/${capture.id}/files/${n}`);
    assert.deepEqual([got.status, got.headers.get('content-type'), got.headers.get('content-security-policy'), got.headers.get('x-content-type-options'), got.headers.get('set-cookie')],
      [200, 'application/octet-stream', 'sandbox', 'nosniff', null]);
    assert.match(got.headers.get('content-disposition'), /^attachment; filename\*=UTF-8''[A-Za-z0-9%._-]+$/);
  }
  const to = path.join(world.folder, 'down');
  await execute('mkdir', ['-p', to]);
  assert.equal((await world.locum('capture', 'download', String(id), '--to', to)).code, 0);
  assert.deepEqual(readdirSync(path.join(to, 'names')).sort(), files.map((file) => file.path).sort());
});

// --- another user of the machine

test('nobody else on the machine can read the console\'s or a device\'s state', { skip: isRoot ? false : 'the other user is root\'s to become' }, async () => {
  const device = await world.device('quiet', { start: false });
  await device.start();
  await device.runs('model', '1.0.0');
  const open = [];
  const walk = (folder) => {
    for (const name of readdirSync(folder)) {
      const at = path.join(folder, name), { mode } = lstatSync(at);
      if ((mode & 0o007) && (mode & 0o170000) !== 0o120000 && !name.endsWith('.pem')) open.push(`${at} ${(mode & 0o7777).toString(8)}`);
      if ((mode & 0o170000) === 0o040000) walk(at);
    }
  };
  assert.equal(lstatSync(world.data).mode & 0o077, 0, 'the data folder');
  for (const secret of ['identity', 'keeper.sock', 'keeper', 'outbox', 'wish.json', 'metadata', 'status.json']) {
    const found = lstatSync(path.join(device.state, secret), { throwIfNoEntry: false });
    if (found) assert.equal(found.mode & 0o077, 0, `${secret} ${(found.mode & 0o7777).toString(8)}`);
  }
  walk(path.join(device.state, 'identity'));
  walk(path.join(world.data, 'keys'));
  walk(path.join(world.data, 'tls'));
  assert.deepEqual(open, []);
  await device.stop();
});

test('a pipe in the place of the app\'s older log does not hold the keeper', async () => {
  const log = await world.file('logs/app.log', Buffer.alloc(9 << 20, 0x61));
  assert.equal((await execute('mkfifo', [`${log}.1`])).code, 0);
  const device = await world.device('logs', { settings: { 'app.command': `${path.join(build, 'test/flow/app')} --status ${path.join(world.folder, 'logs-app.json')}`, 'app.log': log } });
  await until('the log is cut', () => statSync(log).size < 1 << 20, 20000);
  await device.runs('model', '1.0.0');
  await device.stop();
});

// --- a fully compromised server

test('runs without end whose marks never lapse do not fill the device', { skip: isRoot ? false : 'runs need root' }, async () => {
  const device = await world.device('marks');
  await device.runs('model', '1.0.0');
  for (let i = 0; i < 4097; i++) writeFileSync(path.join(device.state, 'keeper/consumed', randomBytes(16).toString('hex')), '{"not_after":9007199254740991}\n');
  const { id } = await world.json('campaign', 'create', '--image', 'demo/look@1.0.0', '--duration', '5s', '--device', 'marks');
  await until('the device says why it does not begin', () => /earlier runs have not lapsed/.test(device.agent.output));
  assert.notEqual((await assignment(id)).state, 'running');
  assert.ok(readdirSync(path.join(device.state, 'keeper/runs')).length === 0);
  await device.stop();
});

test('a compromised server can withhold and choose, and no more', { timeout: 240000 }, async (t) => {
  const evil = await Evil.open(world);
  const honest = world.deviceUrl;
  world.deviceUrl = evil.url;
  const status = path.join(world.folder, 'evil-app.json');
  const device = await world.device('victim', { settings: { 'app.command': `${path.join(build, 'test/flow/app')} --status ${status}` } }).finally(() => { world.deviceUrl = honest; });
  const app = () => JSON.parse(readFileSync(status, 'utf8'));
  evil.order = undefined;
  await device.runs('model', '1.0.0');
  const began = await until('the app evaluates', () => app().evaluations > 0 && app());
  const { key_id } = await device.show();
  const director = key(world.data, 'director');
  let seq = Math.floor(Date.now() / 1000) + 1000;
  const time = (ahead) => new Date(Date.now() + ahead * 1000).toISOString().replace(/\.\d+/, '');
  const order = (more = {}) => ({ _type: 'order', device: key_id, expires: time(86400), issued: time(0), product: 'demo', runs: [], seq: ++seq, set: [{ asset: 'model', version: '1.0.0' }], spec: 1, ...more });
  const one = (more = {}) => {
    const now = Math.floor(Date.now() / 1000);
    return { id: randomBytes(16).toString('hex'), campaign: 7, run: 1, image: 'look', version: '1.0.0', mode: 'replace', duration_s: 5, start_after: now - 1, start_before: now + 600, not_after: now + 900, collect: [], params: {}, max_output: 1000, ...more };
  };
  const seen = () => evil.checkins.at(-1);
  /** The device meets this order and says why it does not take it. */
  async function refused(what, forged, words) {
    const before = seen().order_seq;
    evil.checkins.length = 0;
    evil.order = forged;
    await until(`${what} is refused`, () => evil.checkins.length > 1 && words.test(seen().waiting ?? ''), 20000);
    assert.equal(seen().order_seq, before, what);
  }
  await t.test('orders that are not for it, not signed, old, or out of all measure', async () => {
    await refused('another device\'s', envelope(director, order({ device: sha256('other') })), /another device/);
    await refused('another product\'s', envelope(director, order({ product: 'other' })), /product/);
    await refused('an old one', envelope(director, order({ seq: 5 })), /not above/);
    await refused('an expired one', envelope(director, order({ expires: time(-10), issued: time(-100) })), /expired/);
    await refused('one from the end of time', envelope(director, order({ seq: 9007199254740990 })), /ahead of the time/);
    await refused('one by another online key', envelope(key(world.data, 'snapshot'), order()), /signature|threshold|sign/);
    await refused('a changed one', { ...envelope(director, order()), signed: order() }, /signature|threshold|sign/);
    await refused('too many runs', envelope(director, order({ runs: Array.from({ length: 17 }, () => one()) })), /at most 16/);
    await refused('names that climb', envelope(director, order({ set: [{ asset: '../../x', version: '1.0.0' }] })), /asset/);
    await refused('a version that climbs', envelope(director, order({ runs: [one({ version: '../1' })] })), /version/);
  });
  await t.test('runs that widen what was signed', async () => {
    for (const [more, words] of [[{ duration_s: 61 }, /60 s/], [{ max_output: (1 << 16) + 1 }, /output/], [{ collect: ['proc', 'app-logs'] }, /collects/], [{ collect: ['file:/etc/shadow'] }, /collects/],
      [{ mode: 'beside' }, /mode/], [{ params: { rate: 11 } }, /rate/], [{ params: { other: 1 } }, /other/], [{ image: 'model' }, /listed/], [{ version: '9.9.9' }, /listed/]]) {
      const wide = one(more);
      evil.reports.length = 0;
      evil.order = envelope(director, order({ runs: [wide] }));
      const said = await until(`${JSON.stringify(more)} fails`, () => evil.reports.find(({ run, state }) => run === wide.id && state === 'failed'), 20000);
      assert.equal(said.reason.code, 'untrusted');
      assert.match(said.reason.text, words);
      assert.ok(!evil.reports.some(({ state }) => state === 'running'));
    }
  });
  await t.test('a date that would expire all later metadata', async () => {
    evil.order = envelope(director, order({ issued: '9998-01-01T00:00:00Z', expires: '9999-01-01T00:00:00Z' }));
    await until('it is taken', () => seen().order_seq === seq);
    evil.order = envelope(director, order({ issued: time(0), set: [] }));
    await until('the next one is taken all the same', () => seen().order_seq === seq);
    evil.order = envelope(director, order());
    await until('and the set comes back', () => seen().order_seq === seq && seen().assets.model?.version === '1.0.0');
  });
  await t.test('bytes without end, of another kind, or elsewhere', async () => {
    await world.publish('demo/model', '1.1.0', { VERSION: '1.1.0\n', w: '1.1.0\n'.repeat(100000) });
    await world.release('demo/model', '1.1.0');
    const worker = device.agent.pid;
    const used = async () => Number((await execute('du', ['-sk', device.state])).stdout.split('\t')[0]);
    const before = await used();
    evil.order = envelope(director, order({ set: [{ asset: 'model', version: '1.1.0' }] }));
    const trouble = (words) => until(`the device says ${words}`, () => words.test(seen().assets.model?.reason ?? ''), 30000);
    const elsewhere = [/^\/objects\//, (from, to) => { to.writeHead(302, { location: `https://127.0.0.1:${world.devicePort}${from.url}` }); to.end(); }];
    for (const [what, pattern, rule, words] of [
      ['a manifest of its own', /^\/targets\//, (from, to) => to.end('{"files":[]}'), /not the one that was signed/],
      ['an endless manifest', /^\/targets\//, (from, to) => evil.endless(to), /more than|bytes/],
      ['an endless object', /^\/objects\//, (from, to) => evil.endless(to), /more bytes than/],
      ['other bytes', /^\/objects\//, async (from, to, forward) => { const real = await forward(); to.end(Buffer.alloc(real.body.length, 7)); }, /not those that were signed/],
      ['a redirect', ...elsewhere, /302/],
      ['a file of this machine', /^\/objects\//, (from, to) => { to.writeHead(301, { location: 'file:///etc/passwd' }); to.end(); }, /301/],
    ]) {
      evil.rules = [[pattern, rule]];
      await trouble(words).catch((error) => { throw new Error(`${what}: ${error.message}`); });
    }
    for (const [pattern, about] of [[/checkin/, 'check-in'], [/timestamp/, 'timestamp']]) {
      let asked = 0;
      // Objects stay out of reach: the device goes on trying for those of the order that it has.
      evil.rules = [[pattern, (from, to) => { asked++; evil.endless(to, { 'content-type': 'application/json' }); }], elsewhere];
      evil.order = envelope(director, order({ set: [{ asset: 'model', version: '1.1.0' }] }));
      await until(`two endless answers to the ${about}`, () => asked >= 2, 30000);
      assert.ok(evil.sent < 64 << 20, `${evil.sent} bytes were taken`);
    }
    const peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${worker}/status`, 'utf8'))[1]);
    assert.ok(peak < 24 << 10, `the agent held ${peak} KiB`);
    assert.ok(await used() < before + 2048, `${await used() - before} KiB more on the disk`);
    assert.deepEqual([device.agent.exit, app().pid, app().failures, app().wrong, app().version], [null, began.pid, 0, 0, '1.0.0']);
  });
  await t.test('metadata from yesterday, and of two days mixed', async () => {
    const dir = path.join(world.data, 'metadata');
    const olds = readdirSync(dir).filter((name) => /^\d+\.snapshot\.json$/.test(name)).sort((a, b) => parseInt(a) - parseInt(b));
    const timestamp = key(world.data, 'timestamp'), real = JSON.parse(readFileSync(path.join(dir, 'timestamp.json'), 'utf8')).signed;
    const old = readFileSync(path.join(dir, olds[0]));
    const version = parseInt(olds[0]);
    const forged = { ...real, version: real.version + 1000, meta: { 'snapshot.json': { ...real.meta['snapshot.json'], version, length: old.length, hashes: { sha256: sha256(old) } } } };
    assert.ok(olds.length > 1);
    evil.rules = [[/timestamp/, (from, to) => to.end(canonicalBytes(envelope(timestamp, forged)))]];
    await refused('an old snapshot under a new timestamp', envelope(director, order()), /older than the one seen before/);
    evil.rules = [[/timestamp/, (from, to) => to.end(canonicalBytes(envelope(timestamp, { ...real, version: 1 })))]];
    await refused('an old timestamp', envelope(director, order()), /older than the one seen before/);
    const snapshot = key(world.data, 'snapshot'), current = JSON.parse(readFileSync(path.join(dir, olds.at(-1)), 'utf8')).signed;
    const rolled = Buffer.from(canonicalBytes(envelope(snapshot, { ...current, version: current.version + 1000, meta: { ...current.meta, 'assets-demo.json': { version: 1 } } })));
    evil.rules = [[/timestamp/, (from, to) => to.end(canonicalBytes(envelope(timestamp, { ...real, version: real.version + 2000, meta: { 'snapshot.json': { version: current.version + 1000, length: rolled.length, hashes: { sha256: sha256(rolled) } } } })))],
      [/snapshot/, (from, to) => to.end(rolled)]];
    await refused('an older list of assets, signed with the server\'s own keys', envelope(director, order()), /older than the one seen before/);
  });
  await t.test('afterwards an honest server is heard again', async () => {
    evil.rules = [];
    evil.order = envelope(director, order({ set: [{ asset: 'model', version: '1.1.0' }] }));
    await until('it runs what was released', () => seen().assets.model?.version === '1.1.0' && seen().assets.model.state === 'idle', 60000);
    assert.deepEqual([app().pid, app().failures, app().wrong], [began.pid, 0, 0]);
  });
  await device.stop();
  await evil.close();
});
const canonicalBytes = (value) => JSON.stringify(value);
