// What the console keeps: how fast it is published into, and how it bears many devices.
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { World, build, run } from '../flow/lib/locum.mjs';
import { cpuSeconds, statusKib } from './agent.mjs';
import { median, serviceRow } from './figures.mjs';
import { Stream, writeFile } from './generator.mjs';

const GIT_ONCE_MIB = 512; // from here on git is measured once, not in every round
const PAGES = 50; // asked for, one after the other

const seconds = async (work) => { const begun = performance.now(); await work(); return (performance.now() - begun) / 1000; };
async function sure(program, args, options) {
  const { code, stdout, stderr } = await run(program, args, { timeout: 600000, ...options });
  if (code !== 0) throw new Error(`${program} ${args[0]}: ${stderr || stdout}`);
  return stdout;
}

/* `beside`: git as well, which takes a minute for a GiB. */
async function publishOne(world, work, mib, round, beside) {
  const files = path.join(work, 'files'), file = path.join(files, 'payload'), git = path.join(work, 'git');
  for (const folder of [files, git]) { rmSync(folder, { recursive: true, force: true }); mkdirSync(folder, { recursive: true }); }
  const stream = new Stream(`publish ${mib} ${round}`), pieces = Array.from({ length: mib / 32 }, () => stream.bytes(32 << 20));
  writeFile(file, ...pieces);
  const commit = ['-c', 'user.name=bench', '-c', 'user.email=bench@localhost', 'commit', '-qm', 'payload'];
  if (beside) {
    await sure('git', ['init', '-q', git]);
    writeFile(path.join(git, 'payload'), ...pieces);
  }
  return {
    locum: await seconds(() => world.json('asset', 'publish', `demo/payload-${mib}`, '--version', `1.${round}.0`, '--kind', 'data', files)),
    once: await seconds(() => sure(path.join(build, 'bench/once'), [file, path.join(work, 'copy')])),
    git: !beside ? null : await seconds(async () => { await sure('git', ['-C', git, 'add', 'payload']); await sure('git', ['-C', git, ...commit]); }),
  };
}

export async function publishing({ publish_mib: sizes, rounds }, folder) {
  const world = await World.open(), work = path.join(folder, 'publish');
  try {
    const rows = [];
    for (const mib of sizes) {
      const found = [];
      for (let round = 0; round < rounds; round++) found.push(await publishOne(world, work, mib, round, round === 0 || mib < GIT_ONCE_MIB));
      const of = (side) => median(found.map((one) => one[side]));
      rows.push(serviceRow(`publish-${mib}`, `publishing ${mib} MiB from the command line, durable`, 's', of('locum'), [['read + SHA-256 + write', of('once')], ['git add + commit', of('git')]],
        { most: 1.5, note: `neither peer waits for the disk${rounds > 1 && mib >= GIT_ONCE_MIB ? '; git once' : ''}` }));
    }
    return rows;
  } finally {
    rmSync(work, { recursive: true, force: true });
    await world.close();
  }
}

// --- many devices ---------------------------------------------------------------------------------------------------------
/* Copies of one device that has enrolled and said what it runs, put into the console's tables while it is stopped. */
const FILL = (from, to) => `
CREATE TEMP TABLE number AS WITH RECURSIVE counted (n) AS (SELECT ${from} UNION ALL SELECT n + 1 FROM counted WHERE n < ${to}) SELECT n FROM counted;
INSERT INTO device (id, name, product, hardware, key_id, public_key, admission, clone_suspected, enrolled_at)
  SELECT 1000 + n, printf('filled-%06d', n), product, hardware, lower(hex(randomblob(32))), lower(hex(randomblob(32))), admission, 0, enrolled_at FROM number, device WHERE name = 'first';
INSERT INTO device_seen (device_id, last_seen, session_counter) SELECT 1000 + n, last_seen - n % 100000, 1 FROM number, device_seen JOIN device ON id = device_id WHERE name = 'first';
INSERT INTO device_report (device_id, said, facts) SELECT 1000 + n, said, facts FROM number, device_report JOIN device ON id = device_id WHERE name = 'first';`;

async function first(world) {
  await world.publish('demo/model', '1.0.0', { weights: 'one' }, '--kind', 'model');
  await world.release('demo/model', '1.0.0');
  const device = await world.device('first');
  await device.runs('model', '1.0.0');
  await device.stop();
}

/** A page: {cpu_ms: of the server, waited_ms: by its reader, the median}. */
async function page(world, where) {
  const times = [], before = cpuSeconds(world.console.pid);
  for (let i = 0; i < PAGES; i++) {
    const begun = performance.now();
    const rows = await world.api('GET', where);
    times.push(performance.now() - begun);
    if (!rows.length) throw new Error(`${where} is empty`);
  }
  return { cpu_ms: (cpuSeconds(world.console.pid) - before) / PAGES * 1000, waited_ms: median(times) };
}

export async function fleets({ fleets: counts }) {
  const world = await World.open(), rows = [];
  try {
    await first(world);
    const small = statusKib(world.console.pid, 'VmRSS');
    for (let i = 0, there = 0; i < counts.length; there = counts[i], i++) {
      await world.console.stop();
      execFileSync('sqlite3', ['-bail', path.join(world.data, 'console.db')], { input: FILL(there + 1, counts[i]), stdio: ['pipe', 'ignore', 'inherit'] });
      await world.serve();
      const count = counts[i].toLocaleString('en-US'), middle = `filled-${String(counts[i] >> 1).padStart(6, '0')}`;
      for (const [name, what, where] of [['first', 'the first 100', '/devices?limit=100'], ['middle', '100 from the middle', `/devices?limit=100&after=${middle}`], ['filtered', 'the first 100 that run a version', '/devices?limit=100&filter=model:1.0.0']]) {
        const { cpu_ms: cpu, waited_ms: waited } = await page(world, where);
        rows.push(serviceRow(`devices-${counts[i]}-${name}`, `GET /devices with ${count} devices: ${what}, server CPU`, 'ms', cpu, [], { most: 10, absolute: true, note: `its reader waits ${waited.toFixed(1)} ms` }));
      }
      rows.push(serviceRow(`memory-${counts[i]}`, `console’s resident memory with ${count} devices`, 'MiB', statusKib(world.console.pid, 'VmRSS') / 1024, [['with one device', small / 1024]], { most: 256, absolute: true }));
    }
    return rows;
  } finally { await world.close(); }
}
