// The real programs for flow and browser tests: a console, its command line, devices with an app. Each in a folder of its own that goes
// away at the end; ports are free ones; nothing is waited for by sleeping, but for a state with a deadline.
import { spawn, execFile } from 'node:child_process';
import { createServer } from 'node:net';
import { mkdtemp, rm, writeFile, readFile, mkdir, chmod } from 'node:fs/promises';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const root = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '../../..');
export const build = path.resolve(root, process.env.LOCUM_BUILD ?? 'build');
export const isRoot = process.getuid() === 0;

/** Asks `question` until it gives something true, and gives that; fails with `what` after the deadline. */
export async function until(what, question, deadlineMs = 30000) {
  const end = Date.now() + deadlineMs;
  let last;
  for (;;) {
    try {
      last = await question();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}; last: ${last?.message ?? JSON.stringify(last)}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

export function freePort() {
  return new Promise((done, fail) => {
    const server = createServer();
    server.once('error', fail);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

const SANITIZED = /(ERROR|WARNING): (Address|Thread|Leak|Undefined)\w*Sanitizer|runtime error:/;
const CRASHES = ['SIGSEGV', 'SIGBUS', 'SIGABRT', 'SIGILL', 'SIGFPE'];

/** Runs a program to its end: {code, stdout, stderr}. One that crashes has not just failed: that is thrown. */
export function run(program, args, options = {}) {
  return new Promise((done, fail) => {
    const child = execFile(program, args, { maxBuffer: 256 << 20, timeout: 120000, ...options }, (error, stdout, stderr) => {
      if (CRASHES.includes(error?.signal) || SANITIZED.test(stderr)) fail(new Error(`${program} ${args.join(' ')}: ${error?.signal}: ${stderr}`));
      else done({ code: error ? (typeof error.code === 'number' ? error.code : -1) : 0, stdout, stderr });
    });
    if (options.input !== undefined) child.stdin.end(options.input);
  });
}

/** A program that goes on: its output is kept; `stop` ends it and waits. */
export class Process {
  constructor(program, args, options = {}) {
    this.output = '';
    this.child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    this.ended = new Promise((done) => {
      this.child.once('close', (code, signal) => done({ code, signal }));
      this.child.once('error', (error) => { this.output += error; done({ code: -1, signal: null }); });
    });
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on('data', (bytes) => (this.output += bytes));
    this.exit = null;
    this.ended.then((exit) => (this.exit = exit));
  }
  get pid() { return this.child.pid; }
  kill(signal = 'SIGKILL') { this.child.kill(signal); }
  async stop(signal = 'SIGTERM', deadlineMs = 20000) {
    if (this.exit) return this.exit;
    this.child.kill(signal);
    const late = setTimeout(() => this.child.kill('SIGKILL'), deadlineMs);
    const exit = await this.ended;
    clearTimeout(late);
    return exit;
  }
}

/** One test's world: a console, devices, a temporary folder. `close` in an `after` hook. */
export class World {
  static async open(options = {}) {
    const world = new World();
    world.folder = await mkdtemp(path.join(tmpdir(), 'locum-flow-'));
    await chmod(world.folder, 0o755);
    world.data = path.join(world.folder, 'var');
    world.devices = [];
    world.others = [];
    world.port = await freePort();
    world.devicePort = await freePort();
    world.url = `http://127.0.0.1:${world.port}`;
    world.deviceUrl = `https://localhost:${world.devicePort}`;
    world.serveOptions = options.serve ?? [];
    world.serveEnv = options.serveEnv ?? {};
    world.password = 'correct horse battery';
    await writeFile(path.join(world.folder, 'password'), world.password + '\n', { mode: 0o600 });
    await world.serve();
    const token = await run(path.join(build, 'locum'), ['token', 'create', '--user', 'admin', '--name', 'flow', '--data', world.data]);
    if (token.code !== 0) throw new Error(`token create: ${token.stderr}`);
    world.token = token.stdout.trim();
    return world;
  }
  async serve(more = [], env = {}) {
    this.console = new Process(path.join(build, 'locum'),
      ['serve', '--data', this.data, '--listen', `127.0.0.1:${this.port}`, '--device-listen', `127.0.0.1:${this.devicePort}`,
        '--device-url', this.deviceUrl, '--admin-password-file', path.join(this.folder, 'password'), ...this.serveOptions, ...more],
      { env: { ...process.env, ...this.serveEnv, ...env } });
    await until('the console answers', async () => {
      if (this.console.exit) throw new Error(`the console ended: ${this.console.output}`);
      return (await fetch(`${this.url}/healthz`)).ok;
    });
  }
  env(more = {}) {
    return { ...process.env, LOCUM_URL: this.url, LOCUM_TOKEN: this.token, ...more };
  }
  /** `locum …`; gives {code, stdout, stderr}. */
  locum(...args) {
    return run(path.join(build, 'locum'), args, { env: this.env() });
  }
  /** `locum … --json` that must succeed (or end with one of `codes`), parsed. */
  async json(...args) {
    const result = await this.locum(...args, '--json');
    if (result.code !== 0) throw Object.assign(new Error(`locum ${args.join(' ')}: exit ${result.code}: ${result.stderr || result.stdout}`), result);
    return JSON.parse(result.stdout);
  }
  async api(method, url, body) {
    const answer = await fetch(`${this.url}/api/v1${url}`, {
      method, headers: { authorization: `Bearer ${this.token}`, ...(body ? { 'content-type': 'application/json' } : {}) },
      body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${url}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }
  /** A file below the world's folder. */
  async file(name, bytes, mode = 0o644) {
    const where = path.join(this.folder, name);
    await mkdir(path.dirname(where), { recursive: true });
    await writeFile(where, bytes, { mode });
    await chmod(where, mode);
    return where;
  }
  /** Publishes files {path: bytes | {bytes, mode}} as a version. */
  async publish(asset, version, files, ...more) {
    const folder = `publish/${asset}/${version}`;
    for (const [name, value] of Object.entries(files)) {
      const { bytes = value, mode = 0o644 } = value?.bytes !== undefined ? value : {};
      await this.file(`${folder}/${name}`, bytes, mode);
    }
    return this.json('asset', 'publish', asset, '--version', version, ...more, path.join(this.folder, folder));
  }
  release(asset, version) { return this.json('asset', 'release', asset, version); }
  /** Enrols a device and starts its agent. settings: lines of its configuration. */
  async device(name, { product = 'demo', settings = {}, start = true, enrol = [], claim = [] } = {}) {
    const device = new Device(this, name);
    this.devices.push(device);
    const made = await this.json('device', 'claim', '--product', product, ...claim);
    const enrolled = await run(device.program, ['enrol', '--server', this.deviceUrl, '--claim', made.code, '--state', device.state,
      '--name', name, ...enrol]);
    if (enrolled.code !== 0) throw new Error(`enrol ${name}: ${enrolled.stderr}`);
    device.settings = { 'poll.idle_s': '1', ...settings };
    await device.writeSettings();
    if (start) await device.start();
    return device;
  }
  async close() {
    for (const device of this.devices) await device.stop().catch(() => {});
    for (const other of this.others) await other.stop().catch(() => {});
    const exit = await this.console.stop();
    const leaks = SANITIZED.test(this.console.output);
    if (process.env.LOCUM_KEEP) console.error(`kept: ${this.folder}`);
    else await rm(this.folder, { recursive: true, force: true });
    if (leaks || (exit.code !== 0 && exit.signal !== 'SIGKILL')) throw new Error(`the console ended with ${JSON.stringify(exit)}:\n${this.console.output.slice(-6000)}`);
  }
}

export class Device {
  constructor(world, name) {
    this.world = world;
    this.name = name;
    this.state = path.join(world.folder, 'devices', name);
    this.config = path.join(world.folder, 'devices', `${name}.conf`);
    this.program = path.join(build, 'locum-agent');
  }
  async writeSettings() {
    await mkdir(path.dirname(this.config), { recursive: true });
    await writeFile(this.config, Object.entries(this.settings).map(([key, value]) => `${key} = ${value}\n`).join(''));
  }
  async start(env = {}) {
    this.agent = new Process(this.program, ['run', '--state', this.state, '--config', this.config], { env: { ...process.env, ...env } });
  }
  async stop() {
    if (this.agent) await this.agent.stop();
    // A stand-in may outlive an agent that a test killed: end what still stands on this state folder, by its recorded ids.
    for (const pid of this.pids()) { try { process.kill(pid, 'SIGTERM'); } catch { /* gone */ } }
    await until('the device is quiet', () => this.pids().length === 0, 20000).catch(() => {
      for (const pid of this.pids()) { try { process.kill(pid, 'SIGKILL'); } catch { /* gone */ } }
    });
  }
  /** Processes of ours on this state folder: their command line names it. */
  pids(word = '') {
    return processes().filter(({ words }) => words[0]?.endsWith('locum-agent') && words.includes(this.state) && (!word || words.includes(word)))
      .map(({ pid }) => pid);
  }
  /** The keeper itself: an image's init was forked from it and has the same words until it executes the image. */
  keeper() {
    const pids = this.pids('keep');
    return pids.find((pid) => !pids.includes(Number(/\) \S+ (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))[1])));
  }
  async status() {
    const result = await run(this.program, ['status', '--state', this.state, '--json']);
    if (result.code !== 0) throw new Error(result.stderr);
    return JSON.parse(result.stdout);
  }
  show() { return this.world.json('device', 'show', this.name); }
  /** Waits until the console says that the device runs this version. */
  runs(asset, version, deadlineMs = 60000) {
    return until(`${this.name} runs ${asset} ${version}`, async () => {
      const device = await this.show();
      return device.running[asset]?.version === version && device.running[asset]?.state === 'idle' && device;
    }, deadlineMs);
  }
  current(...rest) { return path.join(this.state, 'current', ...rest); }
}

/** All processes: {pid, words}. */
export function processes() {
  const list = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      list.push({ pid: Number(entry), words: readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0').slice(0, -1) });
    } catch { /* it ended meanwhile */ }
  }
  return list;
}


export { readFile, writeFile, existsSync, path };
