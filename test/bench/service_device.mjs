// The device's side of the service: how soon a release is adopted, what a swap does to the app, what an agent at rest costs.
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Process, World, build, run, until } from '../flow/lib/locum.mjs';
import { Crowd } from '../flow/lib/crowd.mjs';
import { cpuSeconds } from './agent.mjs';
import { median, serviceRow } from './figures.mjs';

// --- from release to adopted ----------------------------------------------------------------------------------------------
async function adoptedByOne(world) {
  const device = await world.device('real', { settings: {} });
  await device.runs('model', '1.0.0');
  const begun = performance.now();
  await world.release('demo/model', '2.0.0');
  await device.runs('model', '2.0.0');
  const took = (performance.now() - begun) / 1000;
  await device.stop();
  return took;
}
async function adoptedByCrowd(world, count) {
  const crowd = await Crowd.open(world, count, { idle: 5 });
  try {
    const all = (version) => crowd.reached(`all run ${version}`, () => crowd.count((device) => device.said.assets.model?.version === version) === count);
    await all('2.0.0');
    const begun = performance.now();
    await world.release('demo/model', '3.0.0');
    await all('3.0.0');
    return (performance.now() - begun) / 1000;
  } finally { await crowd.close(); }
}
export async function adoption({ crowd: count }) {
  const world = await World.open();
  try {
    for (const version of ['1.0.0', '2.0.0', '3.0.0']) await world.publish('demo/model', version, { weights: version }, '--kind', 'model');
    await world.release('demo/model', '1.0.0');
    return [serviceRow('adopted-1', 'release to adopted, one real device', 's', await adoptedByOne(world), [], { note: 'it asks every second' }),
      serviceRow(`adopted-${count}`, `release to adopted, ${count.toLocaleString('en-US')} simulated devices, the last one`, 's', await adoptedByCrowd(world, count), [], { note: 'each asks every five seconds; the crowd runs on the same machine' })];
  } finally { await world.close(); }
}

// --- a swap under an app --------------------------------------------------------------------------------------------------
export async function swapping({ swaps }) {
  const world = await World.open(), status = path.join(world.folder, 'app.json');
  try {
    const publish = async (number) => {
      await world.publish('demo/model', `1.${number}.0`, { VERSION: `1.${number}.0\n`, weights: `1.${number}.0\n`.repeat(100000) }, '--kind', 'model', '--activation', 'notify');
      await world.release('demo/model', `1.${number}.0`);
    };
    await publish(0);
    const device = await world.device('swapping', { settings: { 'app.command': `${path.join(build, 'test/flow/app')} --status ${status}` } });
    await device.runs('model', '1.0.0');
    const said = () => JSON.parse(readFileSync(status, 'utf8'));
    const { adoptions } = await until('the app evaluates', () => said().evaluations > 0 && said());
    const quiet = said().longest_gap_ms;
    for (let number = 1; number <= swaps; number++) { await publish(number); await device.runs('model', `1.${number}.0`); }
    const end = await until('the app has adopted them all', () => said().adoptions >= adoptions + swaps && said());
    const times = [...device.agent.output.matchAll(/ event=swapped .* ms=(\d+)/g)].slice(-swaps).map(([, ms]) => Number(ms));
    return [serviceRow('swap', `a swap, from the journal to the commit with the app’s answer: median of ${swaps}`, 'ms', median(times)),
      serviceRow('gap', `the app’s longest gap between two evaluations in ${swaps} swaps`, 'ms', end.longest_gap_ms, [['before any swap', quiet]]),
      serviceRow('wrong', `failed reads and wrong bytes in ${end.evaluations.toLocaleString('en-US')} evaluations`, '', end.failures + end.wrong, [], { most: 0, absolute: true })];
  } finally { await world.close(); }
}

// --- an agent at rest -----------------------------------------------------------------------------------------------------
const rollup = (pid, name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]) / 1024;
const tree = (pid) => [pid, ...readdirSync(`/proc/${pid}/task`).flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean)).flatMap((child) => tree(Number(child)))];
const sum = (pids, of) => pids.reduce((all, pid) => all + of(pid), 0);
const passes = (seconds) => new Promise((done) => { setTimeout(done, seconds * 1000); });

/** What these processes cost over so many seconds at rest: {pss, anonymous: MiB, cpu: percent of a core}. */
async function atRest(pids, seconds) {
  let last = Infinity;
  await until('it has started', () => { const now = sum(pids, cpuSeconds), still = now - last < 0.0005 && now >= last; last = now; return still; });
  const before = sum(pids, cpuSeconds);
  await passes(seconds);
  return { pss: sum(pids, (pid) => rollup(pid, 'Pss')), anonymous: sum(pids, (pid) => rollup(pid, 'Anonymous')), cpu: Math.max(0, sum(pids, cpuSeconds) - before) / seconds * 100 };
}

async function agentAtRest(seconds) {
  const world = await World.open();
  try {
    await world.publish('demo/model', '1.0.0', { weights: 'one' }, '--kind', 'model');
    await world.release('demo/model', '1.0.0');
    const device = await world.device('at-rest', { start: false });
    delete device.settings['poll.idle_s'];
    await device.writeSettings();
    await device.start();
    await device.runs('model', '1.0.0');
    return await atRest([...new Set([device.agent.pid, ...device.pids()])], seconds);
  } finally { await world.close(); }
}
/** RAUC's service on a session bus of its own; the bus does not count. */
async function raucAtRest(work, seconds) {
  writeFileSync(path.join(work, 'slot'), '');
  writeFileSync(path.join(work, 'system.conf'), `[system]\ncompatible=bench\nbootloader=noop\nstatusfile=${work}/status\n[slot.rootfs.0]\ndevice=${work}/slot\ntype=raw\n`);
  const address = `unix:path=${path.join(work, 'bus')}`, bus = new Process('dbus-daemon', ['--session', '--nofork', `--address=${address}`]);
  try {
    await until('the bus is there', () => existsSync(path.join(work, 'bus')));
    return await peerAtRest('rauc', [`--conf=${work}/system.conf`, 'service'], seconds, { DBUS_STARTER_BUS_TYPE: 'session', DBUS_SESSION_BUS_ADDRESS: address });
  } finally { await bus.stop(); }
}
/** SWUpdate as a daemon that waits for an image on its socket; Debian's wants a certificate to verify with. */
async function swupdateAtRest(work, seconds) {
  const certificate = path.join(work, 'certificate.pem');
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', path.join(work, 'key.pem'), '-out', certificate, '-subj', '/CN=bench', '-days', '2',
    '-addext', 'extendedKeyUsage=emailProtection'], { stdio: 'ignore' });
  return peerAtRest('swupdate', ['-k', certificate], seconds, { TMPDIR: work });
}
async function peerAtRest(name, args, seconds, env) {
  const peer = new Process(name, args, { env: { ...process.env, ...env } });
  try {
    const own = () => tree(peer.pid).filter((pid) => readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === name);
    await until(`${name} runs`, () => { if (peer.exit) throw new Error(`${name} ended: ${peer.output.slice(-300)}`); return own().length > 0; });
    const found = await atRest(own(), seconds);
    if (peer.exit) throw new Error(`${name} ended: ${peer.output.slice(-300)}`);
    return found;
  } finally { await peer.stop(); }
}

export async function idle({ idle_s: seconds }, folder) {
  const work = path.join(folder, 'idle');
  mkdirSync(work, { recursive: true });
  const none = { pss: null, anonymous: null, cpu: null }, notes = [];
  const may = (promise) => promise.catch((error) => { notes.push(error.message.split('\n')[0]); return none; });
  try {
    const agent = await agentAtRest(seconds), rauc = await may(raucAtRest(work, seconds)), swupdate = await may(swupdateAtRest(work, seconds));
    const row = (figure, what, unit, most) => serviceRow(`idle-${figure}`, `${what} at rest, worker and keeper together`, unit, agent[figure], [['rauc', rauc[figure]], ['swupdate', swupdate[figure]]], { most, absolute: true, note: notes.join('; ') || null });
    return [row('anonymous', 'agent’s anonymous memory', 'MiB', 1.5), row('pss', 'agent’s share of memory (Pss)', 'MiB', 5), row('cpu', `agent’s CPU over ${seconds} s`, '% of a core', 0.1)];
  } finally { rmSync(work, { recursive: true, force: true }); }
}

/** Without debugging symbols, as they are installed on a device. */
export async function sizes(_, folder) {
  const stripped = path.join(folder, 'stripped');
  const size = async (file) => { copyFileSync(file, stripped); await run('strip', [stripped]); return statSync(stripped).size / 1e6; };
  const rows = [serviceRow('size-agent', 'locum-agent, stripped', 'MB', await size(path.join(build, 'locum-agent')), [['rauc', await size('/usr/bin/rauc')], ['swupdate', await size('/usr/bin/swupdate')]]),
    serviceRow('size-console', 'locum, stripped', 'MB', await size(path.join(build, 'locum')))];
  rmSync(stripped);
  return rows;
}
