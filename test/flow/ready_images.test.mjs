// The images of diagnostics/images as they are built: a real agent runs each beside its app, and what comes back is held against the truth of this machine.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { cp, readFile, readdir, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { readFileSync, readdirSync } from 'node:fs';
import { networkInterfaces, release } from 'node:os';
import { World, Process, until, path, build, isRoot, run } from './lib/locum.mjs';

const app = path.join(build, 'test/flow/app');
const ends = ['done', 'failed', 'skipped', 'cancelled'];
const skip = isRoot ? false : 'diagnostic runs need root for their namespaces';
const SMALL = 128 << 10;
const HOUR = 3600;
let world, device, statusFile, appLog, logs;

const appStatus = () => JSON.parse(readFileSync(statusFile, 'utf8'));
const lines = (text) => text.split('\n').slice(0, -1);
/** RFC 4180, first row the names. */
function rows(csv) {
  const [names, ...rest] = lines(csv).map((line) => [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain));
  return rest.map((fields) => {
    assert.equal(fields.length, names.length, fields.join());
    return Object.fromEntries(names.map((name, i) => [name, fields[i]]));
  });
}

/** Publishes a folder of build/images as `name`, with members of its diagnostic.json replaced. */
async function publish(image, name = image, changes = {}) {
  const folder = path.join(world.folder, 'images', name), file = path.join(folder, 'diagnostic.json');
  await cp(path.join(build, 'images', image), folder, { recursive: true });
  await writeFile(file, JSON.stringify({ ...JSON.parse(await readFile(file, 'utf8')), ...changes }));
  await world.json('asset', 'publish', `demo/${name}`, '--version', '1.0.0', '--kind', 'diagnostic', folder);
}

/** What an app is to its device: the same process with the same threads, descriptors and files. */
function appNow() {
  const { pid, version, failures, wrong } = appStatus();
  return { pid, version, failures, wrong, started: readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ')[19],
    threads: readdirSync(`/proc/${pid}/task`).length, exe: readFileSync(`/proc/${pid}/cmdline`, 'utf8') };
}

/** Runs an image beside the app to its end: what it collected. The app is the same before and after, and never stopped evaluating. */
async function ran(name, seconds, params = {}, meanwhile = async () => {}) {
  const was = appNow(), evaluations = appStatus().evaluations;
  const words = Object.entries(params).flatMap(([key, value]) => ['--param', `${key}=${value}`]);
  const created = await world.json('campaign', 'create', '--image', `demo/${name}@1.0.0`, '--device', device.name, '--duration', `${seconds}s`, ...words);
  const show = async () => (await world.json('run', 'show', String(created.id))).assignments[0];
  const over = until(`${name} is over`, async () => { const a = await show(); return ends.includes(a.state) && a; }, 90000);
  await Promise.race([over, meanwhile()]);
  const a = await over;
  assert.equal(a.state, 'done', JSON.stringify(a));
  assert.equal(a.reverted.proof.equal, true);
  assert.equal(a.reverted.proof.leftovers, 0);
  assert.deepEqual(appNow(), was);
  assert.equal(was.failures + was.wrong, 0);
  assert.equal(a.reverted.proof.app.pid, was.pid);
  await until('the app goes on evaluating', () => appStatus().evaluations > evaluations + 1);
  const to = path.dirname(await world.file(`captures/${created.id}/.keep`, ''));
  const result = await world.locum('capture', 'download', String(created.id), '--to', to);
  assert.ok([0, 6].includes(result.code), `${result.stderr} ${JSON.stringify(a)}`); // 6: not all of it is there
  const folder = path.join(to, device.name);
  const found = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((one) => one.isFile()).map((one) => path.relative(folder, path.join(one.path ?? one.parentPath, one.name)));
  const files = Object.fromEntries(await Promise.all(found.map(async (file) => [file, await readFile(path.join(folder, file))])));
  return { a, proof: a.reverted.proof, files, log: files['run.log'].toString(), text: (file) => { assert.ok(files[file], `${file} is not in ${Object.keys(files)}: ${files['run.log']}`); return files[file].toString(); },
    bytes: Object.values(files).reduce((sum, file) => sum + file.length, 0) };
}

before(async () => {
  if (skip) return;
  world = await World.open();
  statusFile = await world.file('status/app.json', '');
  appLog = await world.file('app.log', '');
  logs = path.dirname(await world.file('logs/.keep', ''));
  device = await world.device('probe', { settings: { 'app.command': `${app} --status ${statusFile}`, 'app.log': appLog } });
  await world.publish('demo/model', '1.0.0', { VERSION: '1.0.0\n', w: '1.0.0\n'.repeat(1000) });
  await world.release('demo/model', '1.0.0');
  for (const image of ['system-snapshot', 'network-capture', 'log-archive', 'app-profile']) await publish(image);
  await device.runs('model', '1.0.0');
  await until('the app evaluates', () => appStatus().version === '1.0.0');
});
after(async () => { if (world) await world.close(); });

test('every image declares what it writes, and nothing but what exists', { skip }, async () => {
  const images = (await readdir(path.join(build, 'images'))).sort();
  assert.deepEqual(images, ['app-profile', 'log-archive', 'network-capture', 'raw-counters', 'system-snapshot']);
  const readme = await readFile(new URL('../../diagnostics/images/README.md', import.meta.url), 'utf8');
  for (const image of images) {
    const json = JSON.parse(await readFile(path.join(build, 'images', image, 'diagnostic.json'), 'utf8'));
    assert.ok(readme.includes(`\`${image}\``), `${image} is not in the README`);
    for (const param of Object.keys(json.params ?? {})) assert.ok(readme.includes(`\`${param}\``), `${image}: ${param} is not in the README`);
    const program = path.join(build, 'images', image, json.entry[0]);
    assert.ok((await stat(program)).mode & 0o111);
    // Whatever libraries the device has: none are needed.
    assert.doesNotMatch((await run('readelf', ['-d', program])).stdout, /NEEDED/);
  }
});

test('images that watch end in order on SIGTERM, and when the file of the keeper says that the time is over', { skip }, async () => {
  for (const [image, how] of [['raw-counters', 'SIGTERM'], ['network-capture', 'SIGTERM'], ['app-profile', 'SIGTERM'], ['network-capture', 'ends_at'], ['app-profile', 'ends_at']]) {
    const endsAt = await world.file(`alone/${image}-${how}/ends_at`, `${Math.floor(Date.now() / 1000) + 600}\n`);
    const log = await world.file(`alone/${image}-${how}/output/run.log`, '');
    const program = new Process(path.join(build, 'images', image, image), [], { env: { LOCUM_OUTPUT: path.dirname(log), LOCUM_DURATION_S: '600', LOCUM_ENDS_AT: endsAt, LOCUM_PARAMS: '{"interface":"lo"}' } });
    world.others.push(program);
    await until(`${image} has begun`, () => readFileSync(log, 'utf8') !== '');
    assert.equal(program.exit, null);
    if (how === 'SIGTERM') program.kill('SIGTERM');
    else await writeFile(endsAt, `${Math.floor(Date.now() / 1000) - 1}\n`);
    await until(`${image} has ended`, () => program.exit);
    assert.deepEqual(program.exit, { code: 0, signal: null }, program.output);
    assert.match(readFileSync(log, 'utf8'), how === 'SIGTERM' ? /ended by SIGTERM$/m : /done$/m);
  }
});

test('a system snapshot says what this machine is and does, and ends by itself', { skip }, async () => {
  const odd = await world.file('odd', '#!/bin/sh\nread x\n', 0o755);
  const child = run(odd, ['a "quoted", word\nand a line'], { timeout: 60000 });
  const { pid } = await until('the odd process', async () => readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map((name) => ({ pid: name, words: (() => { try { return readFileSync(`/proc/${name}/cmdline`, 'utf8'); } catch { return ''; } })() })).find((one) => one.words.includes('a "quoted", word')));
  const got = await ran('system-snapshot', 30);
  process.kill(Number(pid), 'SIGTERM');
  await child;
  assert.equal(got.proof.end, 'exited', got.log);
  assert.equal(got.proof.status, 0, got.log);
  assert.match(got.log, /10 of 10 parts$/m);
  const processes = new Map(rows(got.text('processes.csv')).map((row) => [row.pid, row]));
  assert.equal(processes.get(String(process.pid)).parent, String(process.ppid));
  const seen = processes.get(String(appNow().pid));
  assert.equal(seen.name, 'app');
  assert.equal(seen.command, `${app} --status ${statusFile}`);
  assert.equal(seen.threads, '1');
  assert.equal(processes.get(pid).command, `/bin/sh ${odd} a "quoted", word?and a line`);
  const system = JSON.parse(got.text('system.json'));
  assert.equal(system.kernel, release());
  assert.equal(system.boot_id, readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
  const total = /^MemTotal:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8'))[1];
  assert.equal(rows(got.text('memory.csv')).find((row) => row.name === 'MemTotal').value, total);
  const names = [...readFileSync('/proc/net/dev', 'utf8').matchAll(/^\s*([^\s:|]+):/gm)].map(([, name]) => name);
  assert.deepEqual(rows(got.text('interfaces.csv')).map((row) => row.name), names);
  const addresses = rows(got.text('addresses.csv')).map((row) => `${row.interface} ${row.address.replace(/\/.*/, '')}`).sort();
  for (const [name, list] of Object.entries(networkInterfaces())) for (const { address } of list) assert.ok(addresses.includes(`${name} ${address}`), `${name} ${address}: ${addresses}`);
  assert.ok(rows(got.text('sockets.csv')).some((row) => row.protocol === 'tcp' && row.local === `127.0.0.1:${world.port}` && row.state === 'listen'));
  const mounts = rows(got.text('mounts.csv'));
  assert.deepEqual(mounts.map((row) => row['mount point']).sort(), readFileSync('/proc/1/mountinfo', 'utf8').trim().split('\n').map((line) => line.split(' ')[4]).sort());
  assert.ok(mounts.some((row) => Number(row['size [KiB]']) > Number(row['free [KiB]'])), 'the file system of /usr is known');
  assert.deepEqual(rows(got.text('disks.csv')).map((row) => row.name), readFileSync('/proc/diskstats', 'utf8').trim().split('\n').map((line) => line.trim().split(/\s+/)[2]));
  const kernel = lines((await run('dmesg', ['--notime'])).stdout);
  if (kernel.length) assert.ok(got.text('kernel.log').includes(kernel.find((line) => /^[ -~]+$/.test(line))));
});

test('without room a snapshot is cut, says so, and keeps what matters most', { skip }, async () => {
  await publish('system-snapshot', 'tight', { max_output: 48 << 10, capabilities: [] });
  const got = await ran('tight', 30);
  assert.ok(got.bytes <= 48 << 10, `${got.bytes}`);
  assert.equal(got.proof.end, 'exited');
  assert.equal(got.proof.status, 1, got.log);
  assert.match(got.log, /\.csv is (cut: the output is full|missing: No space left on device)/);
  assert.match(got.log, /10 of 10 parts$/m);
  assert.equal(JSON.parse(got.text('system.json')).kernel, release());
});

/** A pcap file as libpcap writes it on this machine: {snaplen, packets: [{length, bytes}]}; a packet that is not whole fails. */
function pcap(bytes) {
  assert.equal(bytes.readUInt32LE(0), 0xa1b2c3d4);
  const packets = [];
  for (let at = 24; at < bytes.length;) {
    const size = bytes.readUInt32LE(at + 8);
    assert.ok(at + 16 + size <= bytes.length, 'the last packet is whole');
    packets.push({ length: bytes.readUInt32LE(at + 12), bytes: bytes.subarray(at + 16, at + 16 + size) });
    at += 16 + size;
  }
  return { snaplen: bytes.readUInt32LE(16), packets };
}
const udp = () => new Promise((done) => { const socket = createSocket('udp4').bind(0, '127.0.0.1', () => done(socket)); });
/** Sends numbered datagrams to each port for as long as `going`. */
async function talk(ports, size, going) {
  const from = await udp();
  for (let n = 0; going(); n++) {
    for (const [word, port] of Object.entries(ports)) from.send(`${word} ${String(n).padStart(8, '0')} `.padEnd(size, '.'), port, '127.0.0.1');
    await new Promise((done) => setTimeout(done, 5));
  }
  from.close();
}
async function captured(name, seconds, size, params) {
  const wanted = await udp(), other = await udp();
  let going = true;
  const talks = talk({ wanted: wanted.address().port, other: other.address().port }, size, () => going);
  try {
    return await ran(name, seconds, { interface: 'lo', filter: `udp and dst port ${wanted.address().port} and host 127.0.0.1`, ...params });
  } finally {
    going = false;
    await talks;
    wanted.close();
    other.close();
  }
}
const DATA = 14 + 20 + 8; // Ethernet, IPv4, UDP

test('a network capture has the packets that its filter asks for and no others, cut at the snap length', { skip }, async () => {
  const got = await captured('network-capture', 4, 500, { snaplen: 64 });
  const { snaplen, packets } = pcap(got.files['capture.pcap']);
  assert.equal(snaplen, 64);
  assert.ok(packets.length > 20, got.log);
  for (const { length, bytes } of packets) {
    assert.equal(length, DATA + 500);
    assert.equal(bytes.length, 64);
    assert.match(bytes.subarray(DATA).toString(), /^wanted \d{8} \.+$/);
  }
  const numbers = packets.map(({ bytes }) => Number(bytes.subarray(DATA + 7, DATA + 15)));
  numbers.forEach((n, i) => assert.equal(n, numbers[0] + i, 'none is missing'));
  assert.match(got.log, new RegExp(`^\\S+ ${packets.length} packets, ${packets.length * (DATA + 500)} bytes on the wire; ${packets.length} longer`, 'm'));
  const series = rows(got.text('traffic.csv'));
  assert.equal(series.reduce((sum, row) => sum + Number(row['packets [1/s]']), 0), packets.length);
});

test('a network capture stops when its output is full, or lets the oldest give way', { skip }, async () => {
  await publish('network-capture', 'narrow', { max_output: SMALL });
  const full = await captured('narrow', 60, 4000, { snaplen: 65535 });
  assert.equal(full.proof.end, 'exited', full.log);
  assert.equal(full.proof.status, 0, full.log);
  assert.match(full.log, /stopped before the end: the output is full/);
  assert.ok(full.bytes <= SMALL && full.bytes > SMALL / 2, `${full.bytes}`);
  assert.ok(pcap(full.files['capture.pcap']).packets.every(({ length, bytes }) => length === bytes.length));
  const rotated = await captured('narrow', 4, 4000, { snaplen: 65535, rotate: true });
  assert.match(rotated.log, /older packets gave way \d+ times/);
  assert.ok(rotated.bytes <= SMALL, `${rotated.bytes}`);
  const numbers = ['capture-before.pcap', 'capture.pcap'].flatMap((file) => pcap(rotated.files[file]).packets).map(({ bytes }) => Number(bytes.subarray(DATA + 7, DATA + 15)));
  numbers.forEach((n, i) => assert.equal(n, numbers[0] + i, 'the files follow on each other'));
});

test('a filter that is wrong, an interface that is not there, and a name in a filter are sentences in the log', { skip }, async () => {
  for (const [params, sentence] of [[{ filter: 'udp port' }, /the filter "udp port" is wrong: /], [{ interface: 'nothere0' }, /the interface nothere0 cannot be opened: [^]*interfaces that are up: .*lo/],
    [{ filter: 'host localhost' }, /unknown host 'localhost'/]]) {
    const got = await ran('network-capture', 20, params);
    assert.match(got.log, sentence);
    assert.equal(got.proof.end, 'exited');
    assert.equal(got.proof.status, 1);
  }
});

const ago = (hours) => new Date(Date.now() - hours * HOUR * 1000);
const iso = (hours) => ago(hours).toISOString();
const web = (hours) => { const [, day, month, year, time] = /^\w+, (\d+) (\w+) (\d+) ([\d:]+)/.exec(ago(hours).toUTCString()); return `1.2.3.4 - - [${day}/${month}/${year}:${time} +0000] "GET /`; };
/** As syslog writes it, in this machine's own time, whatever TZ this test has. */
const syslog = (hours) => { const { TZ, ...env } = process.env; return `${execFileSync('date', ['-d', `@${Math.floor(ago(hours) / 1000)}`, '+%b %e %T'], { env: { ...env, LC_ALL: 'C' } }).toString().trim()} host`; };
const forms = { 'iso.log': iso, 'zoned.log': (h) => iso(h).replace(/\.\d+Z/, '+00:00'), 'json.log': (h) => `{"level":"info","time":"${iso(h)}"`, 'unix.log': (h) => (ago(h) / 1000).toFixed(3), 'web/access.log': web, 'syslog': syslog };

test('a log archive has the last hours of each log, whatever its times look like, and says what it left', { skip }, async () => {
  for (const [name, stamp] of Object.entries(forms))
    await world.file(`logs/${name}`, [50, 27, 26, 22, 1].map((hours) => `${stamp(hours)} said ${hours} hours ago\n  more of ${hours}\n`).join(''));
  await world.file('logs/timeless.log', 'no time\nat all\n', 0o600);
  await world.file('logs/stopped.log', `${iso(90)} old\n${iso(80)} older than a day\n`);
  await world.file('logs/wtmp', Buffer.alloc(5000));
  await world.file('logs/packed.log.1.gz', Buffer.from('1f8b0800aa', 'hex'));
  await utimes(await world.file('logs/past.log', 'was\n'), ago(30), ago(30));
  await symlink('/etc/passwd', path.join(logs, 'passwd.log'));
  assert.equal((await run('mkfifo', [path.join(logs, 'pipe.log')])).code, 0);
  const said = `said ${Date.now()} to the log of the app\n`;
  await writeFile(appLog, said, { flag: 'a' });
  await publish('log-archive', 'logs-here', { collect: ['app-logs', `file:${logs}`] });
  const got = await ran('logs-here', 30, { folder: logs });
  assert.equal(got.proof.end, 'exited');
  assert.equal(got.proof.status, 0, got.log);
  for (const name of Object.keys(forms)) {
    const text = got.text(`files/${name}`);
    assert.deepEqual([...text.matchAll(/said (\d+) hours|more of (\d+)/g)].map(([, a, b]) => a ?? b), ['22', '22', '1', '1'], `${name}: ${text}`);
  }
  assert.ok(got.text('app/app.log').endsWith(said));
  assert.equal(got.text('files/timeless.log'), 'no time\nat all\n');
  const index = Object.fromEntries(rows(got.text('index.csv')).map((row) => [path.relative(logs, row.source), row]));
  assert.equal(index['past.log'].what, 'older');
  assert.equal(index['stopped.log'].what, 'no line of these hours');
  assert.equal(index.wtmp.what, 'no text');
  assert.equal(index['iso.log'].what, 'the lines of these hours');
  assert.equal(index['packed.log.1.gz'].what, 'whole');
  for (const name of ['passwd.log', 'pipe.log']) assert.equal(index[name], undefined);
  assert.deepEqual(Object.keys(got.files).filter((name) => name.startsWith('files/')).sort(), [...Object.keys(forms), 'timeless.log', 'packed.log.1.gz'].map((name) => `files/${name}`).sort());
});

test('a log that is larger than its share is cut at its beginning, between lines, and the others are there too', { skip }, async () => {
  await world.file('many/large.log', Array.from({ length: 40000 }, (_, i) => `${iso(1)} line ${i}\n`).join(''));
  await world.file('many/small.log', `${iso(1)} small\n`);
  await publish('log-archive', 'logs-tight', { collect: [`file:${path.join(world.folder, 'many')}`], max_output: SMALL });
  const got = await ran('logs-tight', 30, { folder: path.join(world.folder, 'many') });
  assert.ok(got.bytes <= SMALL, `${got.bytes}`);
  assert.equal(got.proof.status, 1, got.log);
  assert.match(got.text('files/small.log'), / small$/m);
  const large = lines(got.text('files/large.log'));
  assert.match(large.at(-1), / line 39999$/);
  assert.ok(large.length > 100 && large.length < 40000);
  assert.match(large[0], /^\d{4}-\S+ line \d+$/);
  const row = rows(got.text('index.csv')).find(({ source }) => source.endsWith('large.log'));
  assert.equal(row.what.replace(/\d+/, 'N'), 'cut: the newest of N bytes of these hours');
  assert.equal(Number(row['taken [bytes]']), got.files['files/large.log'].length);
});

test('a log archive as it is published looks at every file below /var/log', { skip }, async () => {
  const there = lines((await run('find', ['/var/log', '-type', 'f'])).stdout);
  const got = await ran('log-archive', 30, { hours: 1 });
  const index = rows(got.text('index.csv')).map((row) => row.source);
  for (const file of there) assert.ok(index.includes(file) || file.startsWith('/var/log/journal/'), `${file}: ${index}`);
});

test('an app profile shows the app as the device sees it, ten times a second, and leaves it alone', { skip }, async () => {
  const { pid } = appStatus();
  const got = await ran('app-profile', 5);
  const series = rows(got.text('app.csv')).map((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, Number(value)])));
  const times = series.map((row) => row.time), span = times.at(-1) - times[0];
  assert.ok(series.length > 20 && times.every((time, i) => i === 0 || time > times[i - 1]), `${series.length} rows`);
  assert.ok(series.length <= 10 * span + 12, `${series.length} rows in ${span} s`);
  const sum = (name) => series.reduce((all, row) => all + row[name], 0);
  assert.ok(sum('cpu user [%]') + sum('cpu system [%]') > 0, 'it evaluates');
  assert.ok(sum('read calls [KiB/s]') > 0 && sum('write calls [KiB/s]') > 0 && sum('io calls [1/s]') > 0, 'it reads its assets and writes its status');
  const status = readFileSync(`/proc/${pid}/status`, 'utf8'), resident = Number(/^VmRSS:\s+(\d+)/m.exec(status)[1]) / 1024;
  const last = series.at(-1);
  assert.ok(last['resident [MiB]'] > resident / 2 && last['resident [MiB]'] < resident * 2, `${last['resident [MiB]']} and ${resident}`);
  assert.equal(last['threads [threads]'], 1);
  const descriptors = readdirSync(`/proc/${pid}/fd`).length;
  assert.ok(Math.abs(last['descriptors [descriptors]'] - descriptors) <= 3, `${last['descriptors [descriptors]']} and ${descriptors}`);
  const [thread, ...more] = rows(got.text('threads.csv'));
  assert.deepEqual(more, []);
  assert.deepEqual([thread.pid, thread.thread, thread.name], [String(pid), String(pid), 'app']);
  assert.ok(Number(thread['cpu user [s]']) + Number(thread['cpu system [s]']) > 0);
  assert.match(got.log, new RegExp(`the app is process ${pid}, `));
});

test('an app profile follows an app that ends and is started again', { skip }, async () => {
  const { pid } = appStatus();
  const created = await world.json('campaign', 'create', '--image', 'demo/app-profile@1.0.0', '--device', device.name, '--duration', '12s');
  const show = async () => (await world.json('run', 'show', String(created.id))).assignments[0];
  await until('it runs', async () => (await show()).state === 'running', 60000);
  process.kill(pid, 'SIGKILL');
  await until('the app is back', () => appStatus().pid !== pid && appStatus().version === '1.0.0');
  await until('it is over', async () => ends.includes((await show()).state), 60000);
  const to = path.dirname(await world.file(`captures/${created.id}/.keep`, ''));
  assert.equal((await world.locum('capture', 'download', String(created.id), '--to', to)).code, 0);
  const log = await readFile(path.join(to, device.name, 'run.log'), 'utf8');
  assert.match(log, new RegExp(`the app is process ${appStatus().pid}, `));
  const threads = rows(await readFile(path.join(to, device.name, 'threads.csv'), 'utf8'));
  assert.ok(threads.some((row) => row.pid === String(appStatus().pid)));
});
