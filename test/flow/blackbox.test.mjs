// What strangers met who had only the command line: each test a bug that was there once.
import test, { after, before } from 'node:test';
import assert from 'node:assert/strict';
import { World, Process, build, freePort, isRoot, path, until } from './lib/locum.mjs';

let world;
before(async () => { world = await World.open(); });
after(() => world.close());

test('a set that failed only because the app was set up wrongly is tried again once the app is repaired', async () => {
  const app = await world.file('app.sh', '#!/bin/sh\nexit 1\n', 0o755);
  await world.publish('demo/model', '1.0.0', { 'model.bin': 'weights' });
  await world.release('demo/model', '1.0.0');
  const device = await world.device('cam-1', { settings: { 'app.command': app } });
  await until('the device says why it went back', async () => {
    const { running } = await device.show();
    return running.model?.version === null && /exit code 1/.test(running.model.reason);
  }, 60000);
  const before = await device.show();
  await device.stop();
  await until('a second has passed that "since" can tell', () => new Date().toISOString().slice(0, 19) > before.app.since.slice(0, 19));
  await device.start();
  await until('the agent tells of the app that it started again', async () => (await device.show()).app.since !== before.app.since);
  assert.equal((await device.show()).generation, before.generation); // the same app: no other try
  await device.stop();
  await world.file('app.sh', '#!/bin/sh\nexec sleep 1000\n', 0o755);
  device.settings['app.notify'] = 'none';
  await device.start();
  await device.runs('model', '1.0.0');
});

test('a device that starts again never tells that it runs nothing', async () => {
  await world.publish('demo/model', '1.0.0', { 'model.bin': 'weights' });
  await world.release('demo/model', '1.0.0');
  const device = await world.device('cam-2');
  await device.runs('model', '1.0.0');
  for (let round = 0; round < 5; round++) {
    const { last_seen: before } = await device.show();
    await device.stop();
    await until('a second has passed that last_seen can tell', () => new Date().toISOString().slice(0, 19) > before.slice(0, 19));
    await device.start();
    const shown = await until('the device was heard again', async () => {
      const now = await device.show();
      return now.last_seen !== before && now;
    });
    assert.equal(shown.running.model?.version, '1.0.0');
    assert.equal(shown.running.model.state, 'idle');
  }
});

test('--hardware takes several revisions: apart by words, by commas, or given again; before the files or after them', async () => {
  const file = await world.file('weights.bin', 'weights');
  let n = 0;
  for (const words of [['--hardware', 'rev-a', 'rev-b', file], [file, '--hardware', 'rev-a', 'rev-b'], ['--hardware', 'rev-a,rev-b', file],
    ['--hardware', 'rev-a', '--hardware', 'rev-b', file]]) {
    const made = await world.json('asset', 'publish', 'demo/wide', '--version', `1.0.${n++}`, ...words);
    assert.deepEqual([made.hardware, made.files], [['rev-a', 'rev-b'], 1], words.join(' '));
  }
  const typo = await world.locum('asset', 'publish', 'demo/wide', '--version', '2.0.0', '--hardware', 'rev-a', 'wieghts.bin', file);
  assert.deepEqual([typo.code, /wieghts\.bin/.test(typo.stderr)], [3, true], typo.stderr);
});

test('a machine that nobody gave a name to runs a console all the same', { skip: isRoot ? false : 'only root may rename a machine' }, async () => {
  const listen = `127.0.0.1:${await freePort()}`;
  const console = new Process('unshare', ['--uts', 'sh', '-c', 'echo "(none)" > /proc/sys/kernel/hostname && exec "$@"', 'sh',
    path.join(build, 'locum'), 'serve', '--data', path.join(world.folder, 'nameless'), '--listen', listen, '--device-listen', `127.0.0.1:${await freePort()}`]);
  world.others.push(console);
  await until('it answers', async () => {
    if (console.exit) assert.fail(console.output);
    return (await fetch(`http://${listen}/healthz`)).ok;
  });
});
