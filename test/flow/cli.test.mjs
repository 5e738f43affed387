// The engineer's command line: what other people's scripts rely on. Devices here are keys without an agent.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { spawn } from 'node:child_process';
import { copyFile, mkdir, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { World, Process, until, run, path, build } from './lib/locum.mjs';
import { Hand } from './lib/hand.mjs';

const locum = path.join(build, 'locum');
const limits = { entry: ['./run'], mode: 'replace', max_runtime_s: 60, grace_s: 1, max_output: 1 << 16, max_memory: 64 << 20, max_pids: 8, collect: [], network: 'none', params: { rate: { type: 'integer', min: 1, max: 100, default: 50 } } };
const plainLimits = { ...limits, params: undefined };
const hands = {};
let world;

before(async () => {
  world = await World.open();
  await world.publish('demo/model', '1.0.0', { w: 'one\n' }, '--kind', 'model', '--title', 'first', '--notes', 'line one\nline\ttwo');
  await world.publish('demo/model', '1.1.0', { w: 'two\n' });
  await world.publish('other/model', '3.0.0', { w: 'x\n' });
  await world.publish('demo/look', '1.0.0', { 'diagnostic.json': JSON.stringify(plainLimits), run: { bytes: '#!/bin/sh\n', mode: 0o755 } }, '--kind', 'diagnostic');
  for (const name of ['cam-1', 'cam-2', 'cam-3']) {
    const hand = (hands[name] = new Hand(world));
    const { code } = await world.json('device', 'claim', '--product', 'demo');
    assert.equal((await hand.enrol(code, { name })).status, 200);
    assert.equal((await hand.open()).status, 200);
    const model = { version: name === 'cam-3' ? '1.1.0' : '1.0.0', sha256: '0'.repeat(64), state: 'idle', result: 1 };
    assert.equal((await hand.checkin({ assets: { model } })).status, 200);
  }
});
after(async () => { if (world) await world.close(); });

const tsv = (text) => text.trimEnd().split('\n').map((line) => line.split('\t'));

test('in a pipe a list is TSV with a line of titles, with --json one array, with --ndjson one value a line', async () => {
  const table = await world.locum('asset', 'list');
  assert.equal(table.code, 0, table.stderr);
  assert.equal(table.stderr, '');
  const [titles, ...rows] = tsv(table.stdout);
  assert.deepEqual(titles, ['PRODUCT', 'ASSET', 'KIND', 'NEWEST', 'RELEASED', 'VERSIONS', 'PUBLISHED']);
  assert.deepEqual(rows.map((row) => row.slice(0, 6)), [['demo', 'look', 'diagnostic', '1.0.0', '-', '1'], ['demo', 'model', 'model', '1.1.0', '-', '2'], ['other', 'model', 'data', '3.0.0', '-', '1']]);
  const list = await world.json('asset', 'list');
  assert.deepEqual(list.map(({ product, name }) => `${product}/${name}`), ['demo/look', 'demo/model', 'other/model']);
  const lines = await world.locum('asset', 'list', '--ndjson');
  assert.deepEqual(lines.stdout.trimEnd().split('\n').map((line) => JSON.parse(line)), list);
  assert.deepEqual((await world.json('asset', 'list', '--product', 'other')).map(({ name }) => name), ['model']);
  // What people wrote cannot break a line or a column.
  const shown = await world.locum('asset', 'show', 'demo/model');
  const [heads, ...versions] = tsv(shown.stdout.split('\n\n')[1]);
  const notes = versions.find(([version]) => version === '1.0.0');
  assert.equal(notes.length, heads.length);
  assert.equal(notes[heads.indexOf('NOTES')], 'line one line two');
  const empty = await world.locum('campaign', 'list');
  assert.equal(empty.stdout.trimEnd().split('\n').length, 1, 'an empty list is its titles');
  assert.deepEqual(await world.json('campaign', 'list'), []);
  assert.equal((await world.locum('campaign', 'list', '--ndjson')).stdout, '');
});

test('on a terminal the same list is a table whose columns stand under each other', async () => {
  // script(1) gives its child a terminal.
  const shown = await run('script', ['-qec', `${locum} asset list`, '/dev/null'], { env: world.env() });
  assert.equal(shown.code, 0, shown.stderr);
  const rows = shown.stdout.replaceAll('\r', '').trimEnd().split('\n');
  assert.ok(!shown.stdout.includes('\t'));
  const at = rows[0].indexOf('KIND');
  assert.deepEqual(rows.slice(1).map((row) => row.slice(at).split(' ')[0]), ['diagnostic', 'model', 'data']);
});

test('--filter is the filter of the console; a wrong one says where', async () => {
  const names = async (filter) => (await world.json('device', 'list', '--filter', filter)).map(({ name }) => name);
  assert.deepEqual(await names('product:demo'), ['cam-1', 'cam-2', 'cam-3']);
  assert.deepEqual(await names('model:<1.1.0'), ['cam-1', 'cam-2']);
  assert.deepEqual(await names('model:>=1.1.0 or name:cam-1'), ['cam-1', 'cam-3']);
  assert.deepEqual(await names('name~cam -name:cam-2'), ['cam-1', 'cam-3']);
  assert.deepEqual(await names('connectivity:online (name:cam-1 or name:cam-9)'), ['cam-1']);
  assert.deepEqual(await names('product:none'), []);
  const wrong = await world.locum('device', 'list', '--filter', 'name~cam colour:red');
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /colour/);
  assert.equal(wrong.stdout, '');
  const [, ...rows] = tsv((await world.locum('device', 'list', '--filter', 'name:cam-3')).stdout);
  assert.equal(rows[0][0], 'cam-3');
  assert.match(rows[0][6], /^model 1\.1\.0$/);
});

test('every way to fail has its exit code, and with --json its error on standard error', async () => {
  const fails = async (code, kind, args, env = {}) => {
    const plain = await run(locum, args, { env: world.env(env) });
    assert.equal(plain.code, code, `${args.join(' ')}: ${plain.stderr}`);
    assert.match(plain.stderr, /^locum: .{10,}/);
    assert.equal(plain.stdout, '');
    const json = await run(locum, [...args, '--json'], { env: world.env(env) });
    assert.equal(json.code, code, args.join(' '));
    assert.equal(json.stdout, '');
    const { error } = JSON.parse(json.stderr);
    assert.equal(error.code, kind, args.join(' '));
    assert.ok(error.message.length > 10);
    assert.ok('request_id' in error && 'hint' in error);
    return error;
  };
  await fails(2, 'input', ['asset', 'show', 'no-slash']);
  await fails(2, 'input', ['campaign', 'create', '--image', 'demo/look', '--device', 'cam-1', '--duration', 'soon']);
  await fails(2, 'input', ['campaign', 'create', '--image', 'demo/look', '--device', 'cam-1', '--filter', 'x', '--duration', '5s']);
  await fails(2, 'input', ['campaign', 'create', '--image', 'demo/look', '--duration', '5s', '--filter', 'product:nobody']);
  const missing = await fails(3, 'missing', ['asset', 'show', 'demo/none']);
  assert.match(missing.request_id, /^[0-9a-f]{16}$/);
  await fails(3, 'missing', ['device', 'show', 'cam-9']);
  await fails(3, 'missing', ['run', 'show', '999']);
  await fails(3, 'missing', ['asset', 'release', 'demo/model', '9.9.9']);
  await fails(4, 'denied', ['asset', 'list'], { LOCUM_TOKEN: 'wrong' });
  await fails(4, 'denied', ['asset', 'list'], { LOCUM_TOKEN: '', HOME: world.folder });
  const viewer = (await world.api('POST', '/tokens', { name: 'viewer', role: 'viewer' })).token;
  const denied = await fails(4, 'denied', ['asset', 'release', 'demo/model', '1.0.0'], { LOCUM_TOKEN: viewer });
  assert.match(denied.message, /release/);
  assert.ok(denied.hint, 'who can help');
  await fails(5, 'conflict', ['asset', 'publish', 'demo/model', '--version', '1.0.0', await world.file('w', 'other\n')]);
  await fails(5, 'conflict', ['campaign', 'create', '--image', 'demo/look', '--filter', 'product:demo', '--expect-count', '7', '--duration', '5s']);
  await fails(8, 'unreachable', ['asset', 'list'], { LOCUM_URL: 'http://127.0.0.1:1' });
  await fails(8, 'unreachable', ['asset', 'list'], { LOCUM_URL: 'http://no-such-host.invalid' });
  assert.equal((await run(locum, ['asset', 'list'], { env: world.env({ LOCUM_URL: 'ftp://x' }) })).code, 2);
});

test('devices are named one by one or with commas, and a campaign says what it made', async () => {
  for (const names of [['cam-1', 'cam-2'], ['cam-1,cam-2'], ['cam-1', '--device', 'cam-2'], ['cam-1,', 'cam-2']]) {
    const made = await world.json('campaign', 'create', '--image', 'demo/look@1.0.0', '--duration', '5s', '--device', ...names);
    assert.deepEqual(Object.keys(made).sort(), ['id', 'run', 'url']);
    assert.equal(made.url, `${world.url}/campaigns/${made.id}/runs/1`);
    const shown = await world.json('run', 'show', String(made.id));
    assert.deepEqual(shown.assignments.map(({ device }) => device).sort(), ['cam-1', 'cam-2'], names.join(' '));
    await world.json('campaign', 'end', String(made.id));
  }
  const unknown = await world.locum('campaign', 'create', '--image', 'demo/look', '--duration', '5s', '--device', 'cam-1', 'cam-9');
  assert.equal(unknown.code, 3, unknown.stderr);
  assert.match(unknown.stderr, /cam-9/);
  const piped = await world.locum('campaign', 'create', '--image', 'demo/look', '--duration', '5s', '--device', 'cam-3');
  const said = Object.fromEntries(tsv(piped.stdout));
  assert.match(said.page, /\/campaigns\/\d+\/runs\/1$/);
  await world.json('campaign', 'end', said.campaign);
});

test('--wait gives up at --timeout with 7, ends with 6 when a device failed and with 0 when all are done', async () => {
  const create = (...more) => ['campaign', 'create', '--image', 'demo/look@1.0.0', '--duration', '5s', '--device', 'cam-3', ...more];
  const late = await world.locum(...create('--wait', '--timeout', '1s', '--json'));
  assert.equal(late.code, 7, late.stderr);
  const waited = JSON.parse(late.stdout);
  assert.equal(waited.assignments[0].device, 'cam-3');
  await world.json('campaign', 'end', String(waited.campaign));

  for (const [end, code] of [['done', 0], ['failed', 6]]) {
    const waiting = new Process(locum, create('--wait', '--json'), { env: world.env() });
    const hand = hands['cam-3'];
    const order = await until('the order with the run', async () => { await hand.checkin(); return hand.order?.runs.length && hand.order; });
    const id = order.runs[0].id;
    await hand.report({ type: 'assignment', run: id, state: 'running', reason: null, ends_at: new Date(Date.now() + 5000).toISOString().replace(/\.\d+/, '') });
    if (end === 'done') {
      const told = await hand.report({ type: 'assignment', run: id, state: 'uploading', reason: null, proof: hand.proof(id), capture: 'none', capture_reason: 'empty' },
        { type: 'assignment', run: id, state: 'done', reason: null, proof: hand.proof(id), capture: 'none', capture_reason: 'empty' });
      assert.equal(told.status, 200, told.text);
    } else {
      const told = await hand.report({ type: 'assignment', run: id, state: 'failed', reason: { code: 'not_started', text: 'the entry is no program' } });
      assert.equal(told.status, 200, told.text);
    }
    const exit = await waiting.ended;
    assert.equal(exit.code, code, waiting.output);
    assert.match(waiting.output, new RegExp(`cam-3  ${end}`), 'what changes is told meanwhile');
    await hand.checkin();
  }
});

test('run watch --ndjson gives the run again and again, each a line, the last one over', async () => {
  const { id } = await world.json('campaign', 'create', '--image', 'demo/look@1.0.0', '--duration', '5s', '--device', 'cam-1');
  const child = spawn(locum, ['run', 'watch', String(id), '--ndjson'], { env: world.env(), stdio: ['ignore', 'pipe', 'ignore'] });
  let output = '';
  child.stdout.on('data', (bytes) => (output += bytes));
  const ended = new Promise((done) => child.once('close', done));
  await until('a line', () => output.includes('\n'));
  await world.json('campaign', 'end', String(id));
  assert.equal(await ended, 6, 'a cancelled device is none that is done');
  const runs = output.trimEnd().split('\n').map((line) => JSON.parse(line));
  assert.ok(runs.length >= 2 && runs.every(({ campaign }) => campaign === id));
  assert.equal(new Set(runs.map((line) => JSON.stringify(line))).size, runs.length, 'a line is said once');
  assert.equal(runs.at(-1).assignments[0].state, 'cancelled');
  assert.equal(runs.at(-1).state, 'aborted');
});

test('a rollout is made of the words that were fixed for it, each of which counts, and so is a campaign', async () => {
  const now = Date.now(), day = (ahead) => new Date(now + ahead * 86400000).toISOString().slice(0, 10), at = `${day(2)}T00:00:00Z`;
  // Where cam-2 is, 02:00 is 20:30 in UTC.
  await hands['cam-2'].checkin({ facts: { agent: 'hand', timezone: 'Asia/Kolkata' } });
  await until('its zone is known', async () => (await world.json('device', 'show', 'cam-2')).timezone === 'Asia/Kolkata');
  await world.json('group', 'create', 'pair', '--device', 'cam-1', 'cam-2');
  const words = ['rollout', 'create', 'demo/model', '1.1.0', '--group', 'pair', '--stages', '1%,10%,50%,100%', '--soak', '10m', '--max-failures', '5%', '--min-successes', '1', '--device-deadline', '1h',
    '--window', '02:00-05:00', '--at', at, '--parallel', '7', '--auto-roll-back'];
  const plan = await world.json(...words, '--dry-run');
  assert.deepEqual(plan.stages.map(({ share, devices, moves }) => [share, devices, moves]), [['1%', 1, 1], ['10%', 0, 0], ['50%', 0, 0], ['100%', 1, 1]]);
  // The second stage waits for the first one's soak, and then for its own window.
  assert.equal(plan.expected_end, plan.stages[0].samples[0] === 'cam-1' ? `${day(2)}T20:40:30Z` : `${day(3)}T02:10:30Z`);
  assert.deepEqual(await world.json('rollout', 'list'), []);
  const made = await world.json(...words), n = String(made.id);
  assert.equal(made.url, `${world.url}/rollouts/${n}`);
  const shown = await world.json('rollout', 'show', n);
  const wanted = { state: 'scheduled', by: { group: 'pair' }, soak_s: 600, max_failures: '5%', min_successes: 1, device_deadline_s: 3600, window: '02:00-05:00', at, parallel: 7, auto_roll_back: true, approval: false, rate: null, retries: 0 };
  for (const [key, value] of Object.entries(wanted)) assert.deepEqual(shown[key], value, key);
  const [fields, stages] = (await world.locum('rollout', 'show', n)).stdout.split('STAGE\t');
  assert.match(fields, /^state\tscheduled$/m);
  assert.match(stages, /^4\t100%\twaiting\t1\t/m);
  assert.deepEqual((await world.json('rollout', 'exclude', n, '--device', 'cam-2')).counts, { pending: 1, skipped: 1 });
  assert.equal((await world.locum('rollout', 'advance', n)).code, 5, 'it has not begun');
  assert.equal((await world.json('rollout', 'abort', n, '--reason', 'no more')).state, 'aborted');
  const more = await world.json('rollout', 'create', 'demo/model', '1.1.0', '--filter', 'name:cam-1', '--max-failures', 'any', '--stage-deadline', '2h', '--ends-at', `${day(4)}T00:00:00Z`, '--rate', '2048', '--retries', '2',
    '--late-joiners', '--draft', '--ticket', 'T-9', '--reason', 'a try');
  const draft = await world.json('rollout', 'show', String(more.id));
  const asked = { state: 'draft', max_failures: null, stage_deadline_s: 7200, ends_at: `${day(4)}T00:00:00Z`, rate: 2048, retries: 2, late_joiners: true, ticket: 'T-9', why: 'a try' };
  for (const [key, value] of Object.entries(asked)) assert.deepEqual(draft[key], value, key);
  await world.json('rollout', 'abort', String(more.id));

  await world.publish('demo/seer', '1.0.0', { 'diagnostic.json': JSON.stringify({ ...plainLimits, collect: ['proc', 'app-logs'] }), run: { bytes: '#!/bin/sh\n', mode: 0o755 } }, '--kind', 'diagnostic');
  const campaign = ['campaign', 'create', '--image', 'demo/seer@1.0.0', '--device', 'cam-1', 'cam-2', '--duration', '30s', '--mode', 'replace', '--at', `${day(1)}T02:00:00Z`, '--window', '02:00-05:00', '--repeat', 'weekly:mon,thu',
    '--until', day(15), '--parallel', '1', '--max-failures', '5%', '--collect', 'proc', '--ticket', 'T-8'];
  const dry = await world.json(...campaign, '--blackout', day(8), '--dry-run');
  assert.deepEqual(dry.collect, ['proc']);
  const dates = Array.from({ length: 15 }, (_, i) => day(i + 1)).filter((date) => [1, 4].includes(new Date(date).getUTCDay()) && date !== day(8));
  assert.deepEqual(dry.occurrences.map(({ local }) => local.find(({ zone }) => zone === 'Asia/Kolkata').time.slice(0, 10)), dates.slice(0, 5));
  assert.match((await world.locum(...campaign, '--dry-run')).stdout, /^collects\tproc$/m);
  const { id } = await world.json(...campaign, '--max-output', '1000');
  const kept = await world.json('campaign', 'show', String(id));
  const said = { mode: 'replace', duration_s: 30, window: '02:00-05:00', repeat: 'weekly:mon,thu', until: day(15), parallel: 1, max_failures: '5%', collect: ['proc'], ticket: 'T-8', max_output: 1000 };
  for (const [key, value] of Object.entries(said)) assert.deepEqual(kept[key], value, key);
  await world.json('campaign', 'end', String(id));
  await hands['cam-2'].checkin({ facts: { agent: 'hand' } });
  assert.equal((await world.locum('group', 'delete', 'pair')).code, 0);
});

test('login keeps address and token in a file of its own, which flags and environment outrank', async () => {
  const home = path.join(world.folder, 'home'), config = path.join(home, '.config/locum/config');
  await mkdir(home, { recursive: true });
  const bare = { ...process.env, HOME: home };
  for (const name of ['LOCUM_URL', 'LOCUM_TOKEN', 'LOCUM_CA', 'XDG_CONFIG_HOME']) delete bare[name];
  const at = (args, env = {}) => run(locum, args, { env: { ...bare, ...env } });
  const password = path.join(world.folder, 'password');
  const signed = await at(['login', '--name', 'admin', '--password-file', password, '--url', world.url + '/']);
  assert.equal(signed.code, 0, signed.stderr);
  assert.equal(signed.stdout, '');
  assert.equal((await stat(config)).mode & 0o777, 0o600);
  assert.equal((await stat(path.dirname(config))).mode & 0o777, 0o700);
  const text = await readFile(config, 'utf8');
  assert.match(text, new RegExp(`^url = ${world.url}$`, 'm'));
  assert.ok(!text.includes(world.password));
  assert.equal((await at(['asset', 'list'])).code, 0);
  assert.equal((await at(['asset', 'list', '--token', 'wrong'])).code, 4, 'a flag outranks the file');
  assert.equal((await at(['asset', 'list'], { LOCUM_TOKEN: 'wrong' })).code, 4, 'the environment outranks the file');
  assert.equal((await at(['asset', 'list', '--url', world.url], { LOCUM_URL: 'http://127.0.0.1:1' })).code, 0, 'a flag outranks the environment');
  const again = await at(['login', '--name', 'admin', '--password-file', password]);
  assert.equal(again.code, 0, again.stderr);
  assert.equal((await at(['asset', 'list'])).code, 0);
  const wrong = await at(['login', '--name', 'admin', '--password-file', await world.file('wrong', 'not this\n')]);
  assert.equal(wrong.code, 4, wrong.stderr);
  assert.match(wrong.stderr, /name or password|password/i);
  assert.ok(!/set LOCUM_TOKEN/.test(wrong.stderr), 'a wrong password is no missing token');
  assert.equal((await at(['asset', 'list'])).code, 0, 'a failed login leaves the file as it was');
  const none = await at(['login', '--name', 'admin']);
  assert.equal(none.code, 2, 'no terminal to ask at');
  const absent = await at(['login', '--name', 'admin', '--password-file', '/nonexistent']);
  assert.ok([1, 3].includes(absent.code), absent.stderr);
  await writeFile(config, 'nonsense\n');
  const broken = await at(['asset', 'list']);
  assert.equal(broken.code, 2, broken.stderr);
  assert.match(broken.stderr, /config/);
});

test('people are made, changed and removed; who has a new password or none is out', async () => {
  const file = await world.file('berta', 'a word of berta\n'), other = await world.file('berta2', 'another word of berta\n');
  const signIn = async (password) => (await fetch(`${world.url}/api/v1/session`, { method: 'POST', headers: { 'content-type': 'application/json', origin: world.url }, body: JSON.stringify({ name: 'berta', password }) })).status;
  assert.equal((await world.json('operator', 'create', 'berta', '--role', 'support', '--password-file', file)).role, 'support');
  assert.equal(await signIn('a word of berta'), 200);
  assert.equal((await world.locum('operator', 'create', 'berta', '--role', 'support', '--password-file', file)).code, 5);
  assert.equal((await world.locum('operator', 'create', 'carl', '--password-file', file)).code, 2);
  assert.equal((await world.locum('operator', 'create', 'carl', '--role', 'king', '--password-file', file)).code, 2);
  assert.equal((await world.locum('operator', 'set', 'berta')).code, 2);
  assert.equal((await world.locum('operator', 'set', 'berta', '--role', 'viewer')).code, 0);
  assert.equal((await world.json('operator', 'list')).find(({ name }) => name === 'berta').role, 'viewer');
  assert.equal((await world.locum('operator', 'set', 'berta', '--password-file', other)).code, 0);
  assert.deepEqual([await signIn('a word of berta'), await signIn('another word of berta')], [401, 200]);
  assert.equal((await world.locum('operator', 'remove', 'berta')).code, 0);
  assert.equal(await signIn('another word of berta'), 401);
  assert.notEqual((await world.locum('operator', 'remove', 'admin')).code, 0, 'somebody must be left');
});

test('a file is published under its base name, a folder by its contents, and both say what they made', async () => {
  const folder = path.join(world.folder, 'tree');
  await world.file('tree/deep/x.bin', randomBytes(70000));
  await world.file('tree/run', '#!/bin/sh\n', 0o755);
  const one = await world.json('asset', 'publish', 'demo/both', '--version', '1.0.0', await world.file('single.txt', 'one\n'), folder);
  assert.equal(one.already, false);
  assert.equal(one.files, 3);
  const { manifest } = await world.api('GET', '/assets/demo/both/versions/1.0.0');
  assert.deepEqual(manifest.files.map((file) => [file.path, file.mode]), [['deep/x.bin', 0o644], ['run', 0o755], ['single.txt', 0o644]]);
  const twice = await world.locum('asset', 'publish', 'demo/twice', '--version', '1.0.0', path.join(world.folder, 'single.txt'), path.join(world.folder, 'single.txt'));
  assert.equal(twice.code, 2, twice.stderr);
  const none = await world.locum('asset', 'publish', 'demo/none', '--version', '1.0.0', '/nonexistent/file');
  assert.ok([1, 2, 3].includes(none.code), `${none.code}`);
  assert.match(none.stderr, /nonexistent/);
});

test('a security counter is the one given, else that of the version before, 0 at first', async () => {
  const counters = async () => Object.fromEntries((await world.json('asset', 'show', 'demo/counted')).versions.map(({ version, counter }) => [version, counter]));
  const publish = (version, ...more) => world.publish('demo/counted', version, { w: `${version}\n` }, ...more);
  await publish('1.0.0');
  assert.deepEqual(await counters(), { '1.0.0': 0 });
  await publish('1.1.0', '--counter', '7');
  await publish('1.2.0');
  assert.deepEqual(await counters(), { '1.0.0': 0, '1.1.0': 7, '1.2.0': 7 });
  const signed = async (version) => (await world.api('GET', `/assets/demo/counted/versions/${version}`)).manifest.counter;
  assert.equal(await signed('1.1.0'), 7, 'it stands in what is signed');
  assert.equal(await signed('1.2.0'), 7);
  const again = await publish('1.0.0');
  assert.equal(again.already, true, 'the default of a version that is there is its own');
  const other = await world.locum('asset', 'publish', 'demo/counted', '--version', '1.1.0', '--counter', '8', path.join(world.folder, 'publish/demo/counted/1.1.0'));
  assert.equal(other.code, 5, other.stderr);
  for (const counter of ['-1', '1.5', 'two', '2147483648', '']) {
    const wrong = await world.locum('asset', 'publish', 'demo/counted', '--version', '9.0.0', `--counter=${counter}`, path.join(world.folder, 'single.txt'));
    assert.equal(wrong.code, 2, `${counter}: ${wrong.stderr}`);
  }
  assert.deepEqual(await counters(), { '1.0.0': 0, '1.1.0': 7, '1.2.0': 7 });
});

test('a retired device is out: no session, no way back, and what it was stays to be read', async () => {
  const name = 'old-1', hand = new Hand(world);
  const { code } = await world.json('device', 'claim', '--product', 'demo');
  assert.equal((await hand.enrol(code, { name })).status, 200);
  assert.equal((await hand.open()).status, 200);
  assert.equal((await hand.checkin()).status, 200);
  const retired = await world.locum('device', 'retire', name);
  assert.equal(retired.code, 0, retired.stderr);
  assert.equal((await world.json('device', 'show', name)).admission, 'retired');
  assert.deepEqual((await world.json('device', 'list', '--filter', 'admission:retired')).map((device) => device.name), [name]);
  const late = await hand.checkin();
  assert.ok([401, 403].includes(late.status), `an open session ends: ${late.status} ${late.text}`);
  const opened = await hand.open();
  assert.ok([401, 403].includes(opened.status), `no new one: ${opened.status} ${opened.text}`);
  assert.equal((await world.locum('device', 'accept', name)).code, 5, 'nobody takes it back by mistake');
  assert.ok((await world.api('GET', '/audit')).some(({ action, object }) => action === 'retire' && object === name));
  assert.equal((await world.locum('device', 'retire', 'cam-9')).code, 3);
});

test('repo reindex remakes the same lists, beside a running console and without one', async () => {
  const seen = async () => ({ list: await world.json('asset', 'list'), model: await world.json('asset', 'show', 'demo/model'), counted: await world.json('asset', 'show', 'demo/counted') });
  await world.release('demo/model', '1.1.0');
  const was = await seen();
  assert.ok(was.list.length >= 4 && was.list.some(({ released }) => released === '1.1.0'));
  const reindex = () => run(locum, ['repo', 'reindex', '--data', world.data]);
  const running = await reindex();
  assert.equal(running.code, 0, running.stderr);
  assert.deepEqual(await seen(), was);

  // On a stopped one: a database put back from a backup learns from git what was published since.
  const files = async () => (await readdir(world.data)).filter((name) => name.startsWith('console.db'));
  const stop = async () => assert.equal((await world.console.stop()).code, 0, world.console.output);
  await stop();
  const backup = path.join(world.folder, 'backup');
  await mkdir(backup);
  for (const name of await files()) await copyFile(path.join(world.data, name), path.join(backup, name));
  await world.serve();
  await world.publish('demo/since-the-backup', '1.0.0', { w: 'since\n' });
  const now = await seen();
  assert.equal(now.list.length, was.list.length + 1);
  await stop();
  for (const name of await files()) await rm(path.join(world.data, name));
  for (const name of await readdir(backup)) await copyFile(path.join(backup, name), path.join(world.data, name));
  const known = async () => (await Promise.all((await files()).map((name) => readFile(path.join(world.data, name))))).some((bytes) => bytes.includes('since-the-backup'));
  assert.equal(await known(), false, 'the backup is from before');
  const stopped = await reindex();
  assert.equal(stopped.code, 0, stopped.stderr);
  assert.equal(await known(), true, 'it is the command that remade the index, not the next start');
  await world.serve();
  assert.deepEqual(await seen(), now);
  const none = await run(locum, ['repo', 'reindex', '--data', path.join(world.folder, 'nowhere')]);
  assert.notEqual(none.code, 0);
  assert.match(none.stderr, /nowhere/);
});
