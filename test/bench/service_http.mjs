// Requests: check-ins, new TLS connections, objects. nginx has the same certificate and answers the same bytes.
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { World, freePort, run } from '../flow/lib/locum.mjs';
import { Hand } from '../flow/lib/hand.mjs';
import { Nginx } from './nginx.mjs';
import { cpuSeconds } from './agent.mjs';
import { median, serviceRow } from './figures.mjs';
import { Stream, writeFile } from './generator.mjs';

const CONNECTIONS = 16;

/** A console with one device that is spoken for by hand, and nginx with its certificate; `body` is what nginx returns at /same. */
async function open(folder) {
  const world = await World.open(), work = path.join(folder, 'service');
  const device = new Hand(world);
  const { code } = await world.api('POST', '/claims', { product: 'demo' });
  await device.enrol(code, { name: 'by-hand' });
  await device.open();
  const first = await device.call('POST', '/device/checkin', device.said);
  device.said.order_seq = first.json.order.signed.seq;
  const { text: body } = await device.call('POST', '/device/checkin', device.said);
  if (JSON.parse(body).order) throw new Error('a device at rest still gets an order');
  const tls = (name) => path.join(world.data, 'tls', name), port = await freePort(), served = path.join(work, 'served');
  mkdirSync(served, { recursive: true });
  const nginx = await Nginx.open(path.join(work, 'nginx'), served, { log: false, workers: 2, more: `
    listen 127.0.0.1:${port} ssl; ssl_certificate ${tls('server.pem')}; ssl_certificate_key ${tls('server.key')}; ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:all:10m; ssl_session_timeout 1h;
    location = /same { default_type application/json; return 200 '${body}'; } location = /healthz { default_type text/plain; return 200 'ok\\n'; }` });
  const close = async () => { await nginx.close(); await world.close(); rmSync(work, { recursive: true, force: true }); };
  return { world, device, nginx, body, served, work, tlsPort: port, close };
}

const childrenOf = (pid) => readdirSync(`/proc/${pid}/task`).flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number));
const cpuOf = (pids) => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
const sides = (bench) => ({ locum: [bench.world.console.pid], nginx: [bench.nginx.process.pid, ...childrenOf(bench.nginx.process.pid)] });

/** Runs wrk against a URL: {rate: answers a second, cpu_us: the server's CPU for each}. Answers that are not 200 are a failure. */
async function load(url, seconds, pids, script) {
  const before = cpuOf(pids);
  const { code, stdout, stderr } = await run('wrk', ['-t1', `-c${CONNECTIONS}`, `-d${seconds}`, ...(script ? ['-s', script] : []), url]);
  const cpu = cpuOf(pids) - before, count = Number(/(\d+) requests in/.exec(stdout)?.[1]), bad = /Non-2xx.*|Socket errors.*[1-9].*/.exec(stdout)?.[0];
  if (code !== 0 || bad || !count) throw new Error(`wrk ${url}: ${bad ?? (stderr || stdout)}`);
  return { rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)[1]), cpu_us: cpu / count * 1e6 };
}

/** Rounds of both sides in turn; the medians of each figure. */
async function rounds(count, ...measures) {
  const found = measures.map(() => []);
  for (let i = 0; i < count; i++) for (const [side, measure] of measures.entries()) found[side].push(await measure());
  return found.map((list) => Object.fromEntries(Object.keys(list[0]).map((key) => [key, median(list.map((one) => one[key]))])));
}

function rateRows(name, what, [locum, nginx], note) {
  return [serviceRow(name, `${what}, a second`, '/s', locum.rate, [['nginx', nginx.rate]], { least: 1, note }),
    serviceRow(`${name}-cpu`, `${what}, server CPU for each`, 'µs', locum.cpu_us, [['nginx', nginx.cpu_us]])];
}

export async function checkins({ load_s, rounds: count }, folder) {
  const bench = await open(folder);
  try {
    const { world, device, nginx, work } = bench, pids = sides(bench), script = path.join(work, 'checkin.lua');
    writeFileSync(script, `wrk.method = "POST"\nwrk.body = [[${JSON.stringify(device.said)}]]\nwrk.headers["Authorization"] = "Bearer ${device.token}"\nwrk.headers["Content-Type"] = "application/json"\n`);
    const tls = await rounds(count, () => load(`https://127.0.0.1:${world.devicePort}/device/checkin`, load_s, pids.locum, script), () => load(`https://127.0.0.1:${bench.tlsPort}/same`, load_s, pids.nginx, script));
    const plain = await rounds(count, () => load(`${world.url}/healthz`, load_s, pids.locum), () => load(`${nginx.url}/healthz`, load_s, pids.nginx));
    return [...rateRows('checkin-tls', 'check-ins with keep-alive over TLS', tls, `nginx returns the same ${bench.body.length} B`),
      ...rateRows('answer-plain', 'smallest answer with keep-alive, plain', plain, 'the devices’ listener speaks TLS only, so this is /healthz of the people’s')];
  } finally { await bench.close(); }
}

/** New connections one after the other, each with one request: {rate, cpu_us}. */
async function connect(port, seconds, pids, ...more) {
  const before = cpuOf(pids), begun = performance.now();
  const { stdout, stderr } = await run('openssl', ['s_time', '-connect', `127.0.0.1:${port}`, '-time', String(seconds), '-www', '/healthz', ...more]);
  const took = (performance.now() - begun) / 1000, told = [...stdout.matchAll(/(\d+) connections in [\d.]+s/g)].at(-1);
  if (!told || !Number(told[1])) throw new Error(`openssl s_time ${more.join(' ')}: ${(stderr || stdout).trim().split('\n').at(-1).slice(-200)}`);
  return { rate: Number(told[1]) / took, cpu_us: (cpuOf(pids) - before) / Number(told[1]) * 1e6 };
}

export async function connections({ load_s, rounds: count }, folder) {
  const bench = await open(folder), rows = [];
  try {
    const pids = sides(bench);
    for (const [name, what, ...words] of [['connect-full', 'new TLS 1.3 connections', '-tls1_3', '-new'], ['connect-resumed', 'resumed TLS 1.3 connections', '-tls1_3', '-reuse'], ['connect-resumed-1.2', 'resumed TLS 1.2 connections', '-tls1_2', '-reuse']]) {
      const both = await rounds(count, () => connect(bench.world.devicePort, load_s, pids.locum, ...words), () => connect(bench.tlsPort, load_s, pids.nginx, ...words));
      rows.push(...rateRows(name, what, both, 'one client, one at a time, each with one request'));
    }
    return rows;
  } finally { await bench.close(); }
}

/** One download after the other with curl: {rate: bytes a second, cpu_us: server's CPU for each MiB}. */
async function download(url, size, pids, ...more) {
  const before = cpuOf(pids);
  const { code, stdout, stderr } = await run('curl', ['-sS', '-o', '/dev/null', '-w', '%{http_code} %{size_download} %{time_total}', ...more, url]);
  const [status, bytes, seconds] = stdout.split(' ').map(Number);
  if (code !== 0 || status !== 200 || bytes !== size) throw new Error(`curl ${url}: ${stderr || stdout}`);
  return { rate: bytes / seconds / 1e6, cpu_us: (cpuOf(pids) - before) / (bytes / 1048576) * 1e6 };
}

export async function downloads({ rounds: count, object_mib: mib }, folder) {
  const bench = await open(folder);
  try {
    const { world, device, nginx, served, work } = bench, pids = sides(bench), size = mib << 20, files = path.join(work, 'files');
    mkdirSync(files);
    writeFile(path.join(files, 'object'), new Stream('object').bytes(size));
    await world.json('asset', 'publish', 'demo/object', '--version', '1.0.0', '--kind', 'data', files);
    const [{ sha256 }] = (await world.api('GET', '/assets/demo/object/versions/1.0.0')).manifest.files;
    await run('cp', [path.join(files, 'object'), path.join(served, 'object')]);
    const tls = await rounds(count + 1, () => download(`https://localhost:${world.devicePort}/objects/${sha256}`, size, pids.locum, '-k', '-H', `Authorization: Bearer ${device.token}`),
      () => download(`https://localhost:${bench.tlsPort}/object`, size, pids.nginx, '-k'));
    const plain = await rounds(count + 1, () => download(`${world.url}/api/v1/assets/demo/object/versions/1.0.0/file?path=object`, size, pids.locum, '-H', `Authorization: Bearer ${world.token}`), () => download(`${nginx.url}/object`, size, pids.nginx));
    const rows = (name, what, [locum, peer]) => [serviceRow(name, `${what}, ${mib} MiB`, 'MB/s', locum.rate, [['nginx', peer.rate]], { least: 1 }),
      serviceRow(`${name}-cpu`, `${what}, server CPU for a MiB`, 'µs', locum.cpu_us, [['nginx', peer.cpu_us]])];
    return [...rows('download-tls', 'object over TLS', tls), ...rows('download-plain', 'object, plain', plain)];
  } finally { await bench.close(); }
}
