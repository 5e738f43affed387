// The agent is killed by its own file layer (LOCUM_FAULT) at steps all over an update by delta, with a real console: it ends with the
// right bytes, and the delta goes on. Every single step of it is gone through in test/agent/delta_fetch_test.c.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { World, path } from './lib/locum.mjs';

let world;
before(async () => { world = await World.open(); });
after(async () => { await world.close(); });

const sha = (bytes) => createHash('sha256').update(bytes).digest('hex');
const BLOCK = 4096;

test('an agent that is killed at its n-th write, again and again, ends at each version with the right bytes', { timeout: 240000 }, async () => {
  const device = await world.device('killed', { product: 'killed' });
  let bytes = randomBytes(4 << 20), underway = 0;
  await world.publish('killed/model', '1.0.0', { 'model.bin': bytes });
  await world.release('killed/model', '1.0.0');
  await device.runs('model', '1.0.0');
  for (const [i, n] of [16, 25, 34, 43, 52, 61, 70, 79].entries()) {
    const version = `1.${i + 1}.0`;
    await device.stop();
    bytes = Buffer.from(bytes);
    for (let k = 0; k < 300; k++) randomBytes(BLOCK).copy(bytes, BLOCK * (3 * k + i % 3));
    await world.publish('killed/model', version, { 'model.bin': bytes });
    await world.release('killed/model', version);
    await device.start({ LOCUM_FAULT: `${n}:kill` });
    await Promise.race([device.agent.ended, device.runs('model', version).catch(() => {})]);
    underway += (await readdir(path.join(device.state, 'objects'))).some((name) => name.endsWith('.place'));
    if (device.agent.exit) await device.start();
    await device.runs('model', version);
    assert.equal(sha(await readFile(device.current('model/model.bin'))), sha(bytes), `killed at step ${n}`);
  }
  assert.ok(underway >= 2, `killed ${underway} times while a delta was applied`);
  const timeline = await world.api('GET', '/devices/killed/timeline');
  assert.deepEqual(timeline.filter(({ what }) => what === 'delta'), [], 'no delta was doubted');
});
