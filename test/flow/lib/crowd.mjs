// Many devices in one process, each with a key, a session and a life of its own: they enrol, check in when they were told to, take up what
// their orders say and report it, all over the device protocol of agent/PROTOCOL.md on TLS that is verified. What they do not do: TUF, files, apps.
import { randomBytes } from 'node:crypto';
import { Agent, request } from 'node:https';
import { connect } from 'node:net';
import { createSecureContext } from 'node:tls';
import { Hand, canonical, sha256 } from './hand.mjs';
import { until } from './locum.mjs';

const SOCKETS = 24; // connections that all devices share, as behind a front
const ANSWER_MS = 60000; // a device waits so long for an answer, then asks again
const later = (ms) => new Promise((done) => setTimeout(done, ms));
const seconds = () => Date.now() / 1000;

/** Does `work` for each item, `width` at once. */
export async function each(items, width, work) {
  const left = items.entries();
  await Promise.all(Array.from({ length: width }, async () => { for (const [index, item] of left) await work(item, index); }));
}

/** How many rows are in each state. */
export const tally = (list) => list.reduce((counts, { state }) => ({ ...counts, [state]: (counts[state] ?? 0) + 1 }), {});
/** Thrown where `reached` need not go on. */
export const never = (why) => { throw Object.assign(new Error(why), { never: true }); };

/** All rows of a list, page by page. */
export async function pages(world, path) {
  const rows = [];
  for (let after = ''; after !== null;) {
    const answer = await fetch(`${world.url}/api/v1${path}${path.includes('?') ? '&' : '?'}limit=1000${after}`, { headers: { authorization: `Bearer ${world.token}` } });
    if (!answer.ok) throw new Error(`GET ${path}: ${answer.status} ${await answer.text()}`);
    rows.push(...await answer.json());
    const next = answer.headers.get('x-next');
    after = next ? `&after=${encodeURIComponent(next)}` : null;
  }
  return rows;
}

/* How a device behaves; each answers for itself. */
const plain = {
  adopts: () => true,      // (asset, version): takes it up; a string: refuses it for that reason
  hears: () => true,       // (order): false: falls silent on it, until `wake`; 'later': asks again, as one that lost the answer
  runs: () => 'done',      // (run): 'done', or { code, text } to fail with
};

class Simulated extends Hand {
  constructor(crowd, name, ways) {
    super(crowd.world);
    Object.assign(this, { crowd, name, ways: { ...plain, ...ways }, silent: false, turns: 0, work: new Map(), failed: new Map() });
    this.said.app = { state: 'running', pid: 7, since: new Date().toISOString().replace(/\.\d+/, '') };
    this.started = 0; // diagnostic runs that began
    this.orders = [];   // that it took: what they say, as text
    this.told = {};     // asset: the versions that orders named for it, each time another one
  }
  call(method, path, body, { token = this.token, headers = {} } = {}) {
    const bytes = body === undefined ? null : Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
    return new Promise((done, fail) => {
      const out = request(`${this.crowd.world.deviceUrl}${path}`, {
        method, agent: this.crowd.agent, headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), ...(bytes ? { 'content-length': bytes.length } : {}), ...headers },
      }, (answer) => {
        const pieces = [];
        answer.on('data', (piece) => pieces.push(piece));
        answer.on('error', fail);
        answer.on('end', () => {
          const text = Buffer.concat(pieces).toString();
          let json = null;
          try { json = JSON.parse(text); } catch { /* not JSON */ }
          done({ status: answer.statusCode, json, text, retry: Number(answer.headers['retry-after'] ?? 0) });
        });
      });
      out.on('error', fail);
      out.setTimeout(ANSWER_MS, () => { this.crowd.unanswered++; out.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })); });
      out.end(bytes);
    });
  }
  /** A report, kept until the console has taken it. */
  async tell(report) {
    const id = randomBytes(16).toString('hex'), at = new Date().toISOString();
    for (;;) {
      const answer = await this.sure('POST', '/device/reports', { reports: [{ id, at, ...report }] });
      if (answer.status === 200 || this.silent || this.crowd.stopping) return;
      if (answer.status < 500 && answer.status !== 429) throw new Error(`${this.name}: report ${report.type} ${report.state}: ${answer.status} ${answer.text}`);
      await later(500);
    }
  }
  /** A request that is made again until the console answers, with a new session where the old one is not known. */
  async sure(method, path, body) {
    for (let wait = 100; ; wait = Math.min(wait * 2, 2000)) {
      if (this.crowd.stopping) return { status: 0 };
      try {
        if (!this.token) await this.open();
        const answer = await this.call(method, path, body);
        if (answer.status !== 401) return answer;
        this.token = null;
      } catch (error) {
        if (!['ECONNRESET', 'ECONNREFUSED', 'EPIPE', 'ETIMEDOUT'].includes(error.code) && !/hang up|socket|nonce/.test(error.message)) throw error;
        await this.crowd.there();
      }
      await later(wait);
    }
  }
  /** The console has just heard of this one. */
  heard() {
    const now = performance.now();
    if (this.answered && now - this.answered > this.crowd.gap.ms) this.crowd.gap = { ms: Math.round(now - this.answered), device: this.name, until: new Date().toISOString() };
    this.answered = now;
  }
  async turn() {
    const answer = await this.sure('POST', '/device/checkin', this.said);
    if (answer.status !== 200) return 1 + answer.retry || 1;
    this.crowd.checkins++;
    this.turns++;
    this.heard();
    const { order, poll_s } = answer.json;
    if (order) await this.take(order.signed);
    return order ? 0.1 : poll_s;
  }
  async take(order) {
    if (order.seq <= this.said.order_seq) throw new Error(`${this.name}: order ${order.seq} after ${this.said.order_seq}`);
    const heard = this.ways.hears(order);
    if (heard === 'later') return;
    if (!heard) { this.silent = true; return; }
    this.said.order_seq = order.seq;
    this.orders.push(canonical({ set: order.set, runs: order.runs }));
    for (const { asset, version } of order.set) {
      this.told[asset] ??= [];
      if (this.told[asset].at(-1) !== version) this.told[asset].push(version);
    }
    const changed = [];
    for (const { asset, version } of order.set) {
      const has = this.said.assets[asset];
      if (has?.version === version) { this.said.assets[asset] = { version, sha256: has.sha256, state: 'idle', result: 1 }; continue; }
      const verdict = this.ways.adopts(asset, version);
      if (verdict === true) {
        this.said.assets[asset] = { version, sha256: await this.crowd.manifest(this.product, asset, version), state: 'idle', result: 1 };
        changed.push(asset);
      } else {
        this.said.assets[asset] = { version: has?.version ?? null, sha256: has?.sha256 ?? null, state: 'idle', result: 8, wanted: version, reason: verdict };
      }
    }
    const names = order.set.map((one) => one.asset);
    for (const asset of Object.keys(this.said.assets)) if (!names.includes(asset)) { delete this.said.assets[asset]; changed.push(asset); }
    if (changed.length) {
      const set = Object.entries(this.said.assets).filter(([, one]) => one.version).map(([asset, one]) => ({ asset, manifest: one.sha256, version: one.version }));
      this.said.set = sha256(canonical(set.sort((a, b) => (a.asset < b.asset ? -1 : 1))));
      this.said.generation++;
      await this.tell({ type: 'swap', generation: this.said.generation, result: 1, changed, duration_ms: 12, bytes: 1, reason: null });
    }
    for (const run of order.runs) if (!this.work.has(run.id)) this.work.set(run.id, this.image(run));
    this.wanted = new Map(order.runs.map((run) => [run.id, run]));
  }
  /** One diagnostic run, from its order to the end. */
  async image(run) {
    const ends = this.ways.runs(run);
    const told = (state, more = {}) => this.tell({ type: 'assignment', run: run.id, state, reason: null, ...more });
    const given = () => this.wanted?.has(run.id) && !this.silent;
    await told('downloading');
    await told('verifying');
    while (seconds() < run.start_after && given()) await later(50);
    if (!given()) return told('cancelled');
    if (seconds() > run.start_before) return told('skipped', { reason: { code: 'missed_window', text: 'its time had passed' } });
    if (ends !== 'done') return told('failed', { reason: ends });
    if (this.said.image) throw new Error(`${this.name}: two images at once`);
    this.started++;
    this.crowd.on++;
    this.crowd.most = Math.max(this.crowd.most, this.crowd.on);
    const began = seconds(), time = (at) => new Date(at * 1000).toISOString().replace(/\.\d+/, '');
    const length = () => (this.wanted.get(run.id) ?? run).duration_s;
    const ends_at = time(began + length());
    this.said.image = { run: run.id, campaign: run.campaign, image: run.image, version: run.version, state: 'running', started_at: time(began), ends_at };
    await told('running', { ends_at });
    while (seconds() < began + length() && given()) await later(50);
    const end = given() ? 'exited' : 'cancelled';
    this.said.image = null;
    this.crowd.on--;
    await told('reverting');
    await told('uploading', { proof: this.proof(run.id, { end }), capture: 'complete' });
    const bytes = Buffer.from(`time,load\n${Math.floor(began)},1\n`);
    await this.upload(run.id, bytes);
    await told(end === 'cancelled' ? 'cancelled' : 'done', { capture: 'complete' });
  }
  /** One file, from where the console holds it, until the console says that it is complete. */
  async upload(run, bytes) {
    const list = { files: [{ path: 'counters.csv', length: bytes.length, sha256: sha256(bytes), type: 'timeseries' }], omitted: [], complete: true };
    while (!this.crowd.stopping) {
      const answer = await this.sure('POST', `/device/captures/${run}`, list);
      if (answer.status === 200 && answer.json.files[0].complete) return;
      if (answer.status === 200) await this.sure('PATCH', `/device/captures/${run}/0?offset=${answer.json.files[0].held}`, bytes.subarray(answer.json.files[0].held));
      else if (answer.status && answer.status < 500 && answer.status !== 429) throw new Error(`${this.name}: capture: ${answer.status} ${answer.text}`);
      else await later(500);
    }
  }
  async live() {
    await later(Math.random() * 1000);
    while (!this.crowd.stopping) {
      const wait = this.silent ? 0.2 : Math.min(await this.turn(), this.crowd.idle);
      await this.crowd.pause(wait * 1000 * (0.9 + Math.random() * 0.2));
    }
    await Promise.all(this.work.values());
  }
}

export class Crowd {
  /** `ways(name, index)`: how that one behaves. `idle`: the devices' own poll.idle_s, in seconds. */
  static async open(world, count, { product = 'demo', prefix = 'sim', hardware = null, idle = Infinity, ways = () => ({}) } = {}) {
    const crowd = new Crowd();
    Object.assign(crowd, { world, idle, stopping: false, asleep: new Set(), checkins: 0, unanswered: 0, gap: { ms: 0 }, on: 0, most: 0, manifests: new Map(), devices: [] });
    const { ca } = await world.api('POST', '/claims', { product });
    crowd.agent = new Agent({ keepAlive: true, maxSockets: SOCKETS, secureContext: createSecureContext({ ca }) });
    const digits = String(count - 1).length;
    for (let i = 0; i < count; i++) {
      const name = `${prefix}-${String(i).padStart(digits, '0')}`;
      crowd.devices.push(Object.assign(new Simulated(crowd, name, ways(name, i)), { product }));
    }
    await each(crowd.devices, 16, async (device) => {
      const { code } = await world.api('POST', '/claims', { product });
      const answer = await device.enrol(code, { name: device.name, hardware });
      if (answer.status !== 200) throw new Error(`enrol ${device.name}: ${answer.status} ${answer.text}`);
    });
    crowd.lives = Promise.all(crowd.devices.map((device) => device.live().catch((error) => { crowd.broken ??= error; })));
    return crowd;
  }
  /** Waits until somebody listens again: one looks for all, as a front would. 2,000 that knock at once are only this process's own work. */
  there() {
    this.looking ??= (async () => {
      const { hostname, port } = new URL(this.world.deviceUrl);
      const open = () => new Promise((done) => {
        const socket = connect(port, hostname, () => { socket.destroy(); done(true); });
        socket.on('error', () => done(false));
      });
      while (!this.stopping && !(await open())) await later(50);
      this.looking = null;
    })();
    return this.looking;
  }
  /** The hash of a version's manifest, asked once. */
  manifest(product, asset, version) {
    const key = `${product}/${asset}/${version}`;
    if (!this.manifests.has(key)) this.manifests.set(key, this.world.api('GET', `/assets/${product}/${asset}/versions/${version}`).then((one) => one.sha256));
    return this.manifests.get(key);
  }
  /** Waits so long, or until the crowd closes. */
  pause(ms) {
    if (this.stopping) return null;
    return new Promise((done) => {
      const sleeper = { done, timer: setTimeout(() => { this.asleep.delete(sleeper); done(); }, ms) };
      this.asleep.add(sleeper);
    });
  }
  /** As `until`, but what broke a device, or cannot become right any more (`never`), ends it at once. */
  async reached(what, question, ms = 240000) {
    let end = null;
    const found = await until(what, async () => {
      try {
        if (this.broken) never(this.broken.message);
        return await question();
      } catch (error) {
        if (!error.never) throw error;
        end = error;
        return true;
      }
    }, ms);
    if (end) throw end;
    return found;
  }
  count(test) { return this.devices.filter(test).length; }
  /** Those that had fallen silent are heard again. */
  wake() { for (const device of this.devices) device.silent = false; }
  async close() {
    this.stopping = true;
    for (const { done, timer } of this.asleep) { clearTimeout(timer); done(); }
    await this.lives;
    this.agent.destroy();
    if (this.broken) throw this.broken;
  }
}
