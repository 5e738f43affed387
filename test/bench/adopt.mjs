// How long it is from a decision to the device that has adopted it, against the aim: `make scale`, or node test/bench/adopt.mjs [DEVICES].
//
// Simulated devices over the real protocol on TLS, and twenty real agents, each with its app. A simulated one has adopted a version when it took it up;
// a real one when its app evaluates with it. Nothing is told by the console: the clock is the one of this machine, from before the request is sent.
import { readFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { World, build, path } from '../flow/lib/locum.mjs';
import { Crowd, each } from '../flow/lib/crowd.mjs';

const DEVICES = Number(process.argv[2] ?? 1000);
const LOOKED_AT = Math.min(DEVICES, 300); // an operator's look makes all of a fleet of up to 500 come often
const AGENTS = 20;
const AIM_MS = 3000;
const MINUTES = 60000;
const LOOK_MS = 20; // between two looks at what apps say
const app = path.join(build, 'test/flow/app');
let good = true;

function line(what, times) {
  const at = (share) => times[Math.max(0, Math.ceil(times.length * share) - 1)];
  times.sort((a, b) => a - b);
  const holds = at(0.95) < AIM_MS;
  good &&= holds;
  console.log(`${what.padEnd(70)} ${String(times.length).padStart(7)} ${String(at(0.5)).padStart(8)} ${String(at(0.95)).padStart(8)} ${String(at(1)).padStart(8)} ${String(AIM_MS).padStart(8)}  ${holds ? 'yes' : 'NO'}`);
}

/** A console, `count` simulated devices and the real ones, all of which run 1.0.0. `adopted` has who adopted what, and when. */
class Scene {
  static async open(count) {
    const scene = new Scene();
    scene.adopted = new Map();
    scene.world = await World.open();
    try {
      await scene.begin(count);
    } catch (error) {
      await scene.close().catch(() => {});
      throw error;
    }
    return scene;
  }
  async begin(count) {
    const { world } = this;
    for (const version of ['1.0.0', '2.0.0', '3.0.0']) await world.publish('demo/model', version, { 'weights.txt': `${version}\n`.repeat(50), VERSION: `${version}\n` }, '--kind', 'model');
    await world.release('demo/model', '1.0.0');
    this.agents = Array.from({ length: AGENTS }, (_, index) => `real-${String(index).padStart(2, '0')}`);
    this.crowd = await Crowd.open(world, count, { ways: (name) => ({ adopts: (asset, version) => { this.note(name, version); return true; } }) });
    await each(this.agents, 4, (name) => world.device(name, { settings: {
      'app.command': `${app} --status ${this.status(name)} --pause 20`, 'app.adopt.timeout_s': '30', 'poll.idle_s': '60',
    } }));
    this.looks = setInterval(() => this.look(), LOOK_MS);
    await this.crowd.reached('all run 1.0.0', async () => (await world.api('GET', '/preview?filter=model:1.0.0')).count === count + AGENTS, 5 * MINUTES);
  }
  status(name) { return path.join(this.world.folder, `${name}.json`); }
  note(name, version) {
    const key = `${name} ${version}`;
    if (!this.adopted.has(key)) this.adopted.set(key, Date.now());
  }
  async look() {
    if (this.looking) return;
    this.looking = true;
    for (const name of this.agents) {
      const said = await readFile(this.status(name), 'utf8').then(JSON.parse).catch(() => null);
      if (said?.version) this.note(name, said.version);
    }
    this.looking = false;
  }
  /** How long each of them took; all of them do. */
  async waits(names, version, began) {
    await this.crowd.reached(`${names.length} devices adopt ${version}`, () => names.every((name) => this.adopted.has(`${name} ${version}`)), 4 * MINUTES);
    return names.map((name) => this.adopted.get(`${name} ${version}`) - began);
  }
  async print(what, names, version, began) {
    line(what, await this.waits(names, version, began));
    const real = names.filter((name) => this.agents.includes(name));
    line(`  of them real agents, until the app evaluates with it`, await this.waits(real, version, began));
  }
  async close() {
    clearInterval(this.looks);
    this.events?.abort();
    try { await this.crowd?.close(); } finally { await this.world.close(); }
  }
  /** As an open page of the console. */
  async watch() {
    this.events = new AbortController();
    const answer = await fetch(`${this.world.url}/api/v1/events`, { headers: { authorization: `Bearer ${this.world.token}` }, signal: this.events.signal });
    if (!answer.ok) throw new Error(`events: ${answer.status}`);
    (async () => { for await (const piece of answer.body) void piece; })().catch(() => {});
  }
}

/** The devices of a rollout's second and third stage, each of which a person lets begin. */
async function rollout() {
  const scene = await Scene.open(DEVICES), { world } = scene;
  try {
    const { id } = await world.api('POST', '/rollouts', { product: 'demo', asset: 'model', version: '2.0.0', filter: 'product:demo', stages: ['10%', '50%', '100%'], soak_s: 1, approval: true });
    const done = (stage) => scene.crowd.reached(`stage ${stage} is over`, async () => {
      const found = await world.api('GET', `/rollouts/${id}`);
      return ['awaiting_approval', 'completed'].includes(found.state) && found.stage === stage;
    }, 5 * MINUTES);
    await done(1);
    for (const stage of [2, 3]) {
      const names = [];
      for (let rows, after = ''; !rows || rows.next; after = `&after=${encodeURIComponent(rows.next)}`) {
        const answer = await fetch(`${world.url}/api/v1/rollouts/${id}/devices?stage=${stage}&limit=1000${after}`, { headers: { authorization: `Bearer ${world.token}` } });
        rows = { list: await answer.json(), next: answer.headers.get('x-next') };
        names.push(...rows.list.map(({ device }) => device));
      }
      const began = Date.now();
      await world.api('POST', `/rollouts/${id}/advance`, {});
      await scene.print(`rollout: from the start of stage ${stage} to adopted`, names, '2.0.0', began);
      await done(stage);
    }
    await looked(scene);
  } finally { await scene.close(); }
}

/** A release to all of a large fleet, of which an operator has some devices open. */
async function looked(scene) {
  const { world } = scene, names = [...scene.agents, ...scene.crowd.devices.slice(0, 30).map(({ name }) => name)];
  const show = (name) => world.api('GET', `/devices/${name}`), came = {};
  for (const name of names) came[name] = (await show(name)).last_seen;
  await scene.crowd.reached('all of them came since', async () => (await Promise.all(names.map(show))).every((device) => Date.parse(device.last_seen) > Date.parse(came[device.name])), MINUTES);
  const began = Date.now();
  await world.api('POST', '/assets/demo/model/release', { version: '3.0.0' });
  await scene.print('release to all, these are looked at: from the request to adopted', names, '3.0.0', began);
}

/** A release to all, while an operator looks. */
async function release() {
  const scene = await Scene.open(LOOKED_AT), { world } = scene;
  try {
    await scene.watch();
    await world.release('demo/model', '2.0.0');
    const names = [...scene.crowd.devices.map(({ name }) => name), ...scene.agents];
    await scene.waits(names, '2.0.0', 0); // from here on all come often
    const began = Date.now();
    await world.api('POST', '/assets/demo/model/release', { version: '3.0.0' });
    await scene.print('release to all of a fleet of up to 500, one page is open: the same', names, '3.0.0', began);
  } finally { await scene.close(); }
}

console.log(`${`\n${DEVICES} and ${LOOKED_AT} simulated devices, ${AGENTS} real ones each; load ${loadavg()[0].toFixed(1)}`.padEnd(71)} ${'devices'.padStart(7)} ${'p50 ms'.padStart(8)} ${'p95 ms'.padStart(8)} ${'worst'.padStart(8)} ${'aim p95'.padStart(8)}  holds`);
await rollout();
await release();
process.exitCode = good ? 0 : 1;
