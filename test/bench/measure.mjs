// Runs one tool on one pair: what the server prepares, what the device then takes, and what both cost.
import { createHash } from 'node:crypto';
import { createReadStream, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { freemem } from 'node:os';
import path from 'node:path';
import { Nginx } from './nginx.mjs';
import { isOurs, medians } from './figures.mjs';
import { Kept } from './kept.mjs';
import { Process, freePort, until } from '../flow/lib/locum.mjs';
import { connect } from 'node:net';

const MIB = 1 << 20;
/* A preparation that took so many seconds is not repeated, and one that did not end within so many not in later runs either. */
const SLOW_S = 5, LATE_S = 60;

export const hashOf = (name) => new Promise((done, fail) => {
  const hash = createHash('sha256');
  createReadStream(name, { highWaterMark: MIB }).on('data', (bytes) => hash.update(bytes)).on('error', fail).on('end', () => done(hash.digest('hex')));
});

export const available = () => Number(/^MemAvailable:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? freemem() / 1024) * 1024;

/** A step that was ended because it took longer than it may, `late_s`. */
class Late extends Error {
  constructor(seconds) { super(`not within ${seconds} s`); this.late_s = seconds; }
}

/** A folder for the work, nginx and an rsync daemon over what is served in it. `on`: what the cost of a preparation depends on. */
export class Bench {
  static async open(folder, programs, on) {
    const bench = new Bench();
    Object.assign(bench, { folder, programs, kept: new Kept(path.join(folder, '../prepared'), on), served: path.join(folder, 'served'), device: path.join(folder, 'device') });
    for (const one of [folder, bench.served, bench.device]) mkdirSync(one, { recursive: true });
    bench.nginx = await Nginx.open(path.join(folder, 'nginx'), bench.served);
    await bench.openRsync();
    return bench;
  }
  async openRsync() {
    const port = await freePort(), config = path.join(this.folder, 'rsyncd.conf');
    writeFileSync(config, `use chroot = no\n[served]\npath = ${this.served}\nread only = yes\n${process.getuid() === 0 ? 'uid = root\ngid = root\n' : ''}`);
    this.rsync = new Process('rsync', ['--daemon', '--no-detach', '--address=127.0.0.1', `--port=${port}`, `--config=${config}`]);
    this.rsyncUrl = `rsync://127.0.0.1:${port}/served`;
    await until('rsync answers', () => this.rsync.exit || new Promise((done) => connect(port, '127.0.0.1').once('connect', function () { this.destroy(); done(true); }).once('error', () => done(false))));
  }
  async close() {
    await this.nginx.close();
    await this.rsync.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
  empty(folder) { rmSync(folder, { recursive: true, force: true }); mkdirSync(folder); }

  /** Runs the words with `sh`: what they cost, or an error that says what they said. */
  run(words, pair, seconds) {
    const out = path.join(this.folder, 'measured.json');
    rmSync(out, { force: true });
    const { OLD, NEW } = pair;
    const env = { ...process.env, ...this.programs, OLD, NEW, SERVED: this.served, DEVICE: this.device, URL: this.nginx.url, RSYNC: this.rsyncUrl, HOME: this.device, TMPDIR: this.device, LC_ALL: 'C' };
    return new Promise((done, fail) => {
      // A group of its own, so that a tool that does not end goes with all that it started.
      const child = spawn(path.join(this.programs.BENCH, 'measured'), [out, 'sh', '-euc', words], { env, cwd: this.folder, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
      let said = '', late = false;
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => { said = (said + bytes).slice(-4000); });
      const timer = setTimeout(() => { late = true; process.kill(-child.pid, 'SIGKILL'); }, seconds * 1000);
      child.once('error', fail);
      child.once('close', (code) => {
        clearTimeout(timer);
        if (late) return fail(new Late(seconds));
        if (code !== 0) return fail(new Error(`exit ${code}: ${said.trim().split('\n').slice(-3).join(' | ')}`));
        return done({ ...JSON.parse(readFileSync(out, 'utf8')), said });
      });
    });
  }

  /** What went over rsync's own connection: it says so itself. */
  rsyncBytes() {
    const said = readFileSync(path.join(this.device, 'stats'), 'utf8');
    const total = (what) => Number(new RegExp(`Total bytes ${what}: ([\\d,]+)`).exec(said)[1].replaceAll(',', ''));
    return { requests: 1, bytes: total('sent') + total('received'), headers: 0 };
  }

  async prepare(tool, pair, seconds) {
    if (!tool.prepare) return { prepare_s: null, prepare_cpu_s: null, prepare_peak_kib: null };
    this.empty(this.served);
    this.empty(this.device);
    const cost = await this.run(tool.prepare, pair, seconds);
    const own = tool.says?.exec(cost.said);
    return { prepare_s: cost.seconds, prepare_cpu_s: own ? Number(own[1]) : cost.cpu_s, prepare_peak_kib: cost.peak_kib };
  }

  /** The first time; of a peer that does not end that is kept, too. */
  async first(tool, pair, seconds) {
    try { return await this.prepare(tool, pair, seconds); } catch (error) {
      if (error.late_s >= LATE_S && !isOurs(tool.name)) {
        this.empty(this.served);
        this.kept.keep(tool, pair, this.served, { late_s: error.late_s });
      }
      throw error;
    }
  }

  /** What was prepared is in `served` afterwards. A peer that is slow at it does it once, also for later runs; Locum's own is made in every run. */
  async prepared(tool, pair, { times, seconds }) {
    this.empty(this.served);
    const before = isOurs(tool.name) ? null : this.kept.find(tool, pair, this.served);
    if (before?.late_s >= seconds) throw new Late(before.late_s);
    if (before && !before.late_s) return { cost: before, note: times > 1 ? 'prepared once' : null };
    const costs = [await this.first(tool, pair, seconds)], slow = tool.once || costs[0].prepare_s > SLOW_S;
    if ((costs[0].prepare_s > SLOW_S || before) && !isOurs(tool.name)) this.kept.keep(tool, pair, this.served, costs[0]);
    while (!slow && costs.length < times) costs.push(await this.prepare(tool, pair, seconds));
    return { cost: medians(costs), note: slow && times > 1 ? 'prepared once' : null };
  }

  async update(tool, pair, seconds) {
    this.empty(this.device);
    copyFileSync(pair.OLD, path.join(this.device, 'old'));
    if (tool.before) await this.run(tool.before, pair, seconds);
    await this.nginx.wire();
    const cost = await this.run(tool.update, pair, seconds);
    const wire = tool.own === 'rsync' ? this.rsyncBytes() : tool.local ? { requests: null, bytes: null, headers: null } : await this.nginx.wire();
    const out = path.join(this.device, 'out');
    if (!existsSync(out) || await hashOf(out) !== pair.sha256) throw new Error('what it made is not the new file');
    return { ...wire, seconds: cost.seconds, cpu_s: cost.cpu_s, peak_kib: cost.peak_kib };
  }

  /** The medians of `times` rounds; a figure that could not be had is null and `note` says why. */
  async measure(tool, pair, { times, seconds }) {
    const row = { tool: tool.name, what: tool.what ?? tool.name, bytes: null, seconds: null, cpu_s: null, peak_kib: null, note: null };
    const needs = (tool.memory ?? 0) * pair.old_bytes;
    if (needs > available()) return { ...row, note: `needs ${Math.round(needs / MIB)} MiB of memory, not run` };
    try {
      const { cost, note } = await this.prepared(tool, pair, { times, seconds }), rounds = [];
      for (let i = 0; i < times; i++) rounds.push(await this.update(tool, pair, seconds));
      return { ...row, ...cost, ...medians(rounds), rounds, note };
    } catch (error) {
      return { ...row, note: error.message };
    }
  }
}

/** The pair's files, made where they are not there: {OLD, NEW, old_sha256, sha256, old_bytes, new_bytes}. */
export async function filesOf(pair, folder, scale) {
  const OLD = path.join(folder, 'old'), NEW = path.join(folder, 'new');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await pair.make(folder, scale);
  return { OLD, NEW, old_sha256: await hashOf(OLD), sha256: await hashOf(NEW), old_bytes: statSync(OLD).size, new_bytes: statSync(NEW).size };
}
