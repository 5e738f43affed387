// Locum as it is used: a real console, real agents. The old file is published and runs on the devices, the new one is published, then one device
// after the other is pinned to it. Bytes are what the agent says it took off the wire for this swap, metadata and manifest included; the clock runs
// from the order's arrival until the swap is committed, durable.
import { copyFileSync, existsSync, linkSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { World, build, run, until } from '../flow/lib/locum.mjs';
import { medians } from './figures.mjs';
import { hashOf } from './measure.mjs';

/** CPU seconds of a process so far, by the scheduler's own count. */
export function cpuSeconds(pid) {
  const tasks = readdirSync(`/proc/${pid}/task`);
  return tasks.reduce((sum, task) => sum + Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]) / 1e9, 0);
}
/** A line of /proc/PID/status in KiB. */
export const statusKib = (pid, name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
/** From here on VmHWM is the peak since now. */
export const forgetPeak = (pid) => writeFileSync(`/proc/${pid}/clear_refs`, '5');

/** The moment at which the agent's log has a line of this event with this word: now, by the clock of this program. */
function hears(device, event, word = '') {
  let seen = device.agent.output.length;
  return new Promise((done) => {
    const look = () => {
      for (const line of device.agent.output.slice(seen).split('\n').slice(0, -1)) {
        seen += line.length + 1;
        if (line.includes(` event=${event} `) && line.includes(word)) { device.agent.child.stderr.off('data', look); done({ at: performance.now(), line }); return; }
      }
    };
    device.agent.child.stderr.on('data', look);
  });
}

const within = (what, promise, ms) => Promise.race([promise, new Promise((_, fail) => { setTimeout(() => fail(new Error(`not within ${ms} ms: ${what}`)), ms).unref(); })]);

/** How far the console is with the delta of this pair: 'quick', 'thorough', 'none' (not worth it: it makes no other), or null. */
function deltaOf(world, old, fresh) {
  const folder = path.join(world.data, 'deltas/pairs');
  if (!existsSync(folder)) return null;
  const made = readdirSync(folder).map((name) => name.split('.')).filter(([from, to]) => from === old && to === fresh).map(([, , effort, etag]) => ({ effort, etag }));
  if (made.some(({ effort }) => effort === 'thorough')) return 'thorough';
  return made.length ? (made[0].etag === 'none' ? 'none' : made[0].effort) : null;
}

class Field {
  /** `thorough`: a delta is made again, smaller, when so many devices want it. */
  static async open(pair, count, thorough) {
    const field = new Field();
    Object.assign(field, { pair, world: await World.open({ serve: ['--delta-thorough', String(thorough)] }) });
    try {
      field.oldHash = await hashOf(pair.OLD);
      await field.publish('1.0.0', pair.OLD);
      await field.world.release('demo/file', '1.0.0');
      field.devices = [];
      for (let i = 0; i < count; i++) field.devices.push(await field.world.device(`device-${i}`));
      for (const device of field.devices) await device.runs('file', '1.0.0', 300000);
      await field.publish('2.0.0', pair.NEW);
    } catch (error) {
      await field.world.close().catch(() => {});
      throw error;
    }
    return field;
  }
  async publish(version, file) {
    const folder = path.join(this.world.folder, `publish-${version}`);
    mkdirSync(folder);
    try { linkSync(file, path.join(folder, 'payload')); } catch { copyFileSync(file, path.join(folder, 'payload')); }
    await this.world.json('asset', 'publish', 'demo/file', '--version', version, '--kind', 'data', folder);
  }
  /** Waits for the delta that the console makes by itself. */
  async made(effort, seconds) {
    await until(`the ${effort} delta`, () => { return [effort, 'none'].includes(deltaOf(this.world, this.oldHash, this.pair.sha256)); }, seconds * 1000);
  }
  /** Memory that a virtual machine never used costs its first user more, because the host has to find it: a quarter of a second of CPU for 256 MiB
   *  was seen. The other tools find what the round before has freed; so shall a device, which keeps what it gets. */
  async memoryIsUsed() {
    const file = path.join(this.world.folder, 'used');
    const { code, stderr } = await run(path.join(build, 'bench/once'), [this.pair.NEW, file]);
    if (code !== 0) throw new Error(`once: ${stderr}`);
    rmSync(file);
  }
  async update(device, seconds) {
    await this.memoryIsUsed();
    const pids = [device.agent.pid, ...device.pids('keep')].filter((pid, i, all) => all.indexOf(pid) === i);
    const cpu = () => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
    pids.forEach(forgetPeak);
    const before = cpu(), order = hears(device, 'order'), swapped = hears(device, 'swapped');
    await this.world.json('device', 'pin', device.name, 'demo/file', '2.0.0');
    const [begin, end] = await within(`${device.name} takes the new file`, Promise.all([order, swapped]), seconds * 1000);
    const row = { bytes: Number(/ bytes=(\d+)/.exec(end.line)[1]), seconds: (end.at - begin.at) / 1000, cpu_s: cpu() - before, peak_kib: Math.max(...pids.map((pid) => statusKib(pid, 'VmHWM'))) };
    if (await hashOf(device.current('file/payload')) !== this.pair.sha256) throw new Error('what the device has is not the new file');
    return row;
  }
}

const NEVER = 1000000;
const ROWS = [
  { tool: 'locum', what: 'Locum: console and agent, at once', effort: 'quick', thorough: NEVER },
  { tool: 'locum-later', what: 'Locum: console and agent, after the background pass', effort: 'thorough', thorough: 1 },
];

async function measureRow({ tool, what, effort, thorough }, pair, wanted) {
  const row = { tool, what, bytes: null, headers: null, seconds: null, cpu_s: null, peak_kib: null, prepare_cpu_s: null, note: null };
  let field;
  try {
    field = await Field.open(pair, wanted.times, thorough);
    await field.made(effort, wanted.seconds);
    const rounds = [];
    for (const device of field.devices) rounds.push(await field.update(device, wanted.seconds));
    return { ...row, ...medians(rounds), rounds };
  } catch (error) {
    return { ...row, note: error.message.split('\n')[0] };
  } finally {
    await field?.world.close();
  }
}

/** The rows of the real thing: at once, and after the background pass. */
export async function measureAgents(pair, wanted) {
  const rows = [];
  for (const row of ROWS) rows.push(await measureRow(row, pair, wanted));
  return rows;
}
