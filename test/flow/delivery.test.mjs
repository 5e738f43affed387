// Groups, releases to them, proven versions, withdrawn ones: a real console, its command line, real agents with a real app.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { World, until, run, path, build, readFile } from './lib/locum.mjs';

const app = path.join(build, 'test/flow/app');
let world, one, two;

const lines = (version) => ({ VERSION: `${version}\n`, 'weights.txt': `${version}\n`.repeat(2000) });
const settings = (name) => ({ 'app.command': `${app} --status ${path.join(world.folder, `${name}.json`)}`, 'app.adopt.timeout_s': '20' });
const publish = (version) => world.publish('cams/model', version, lines(version));
const tag = (name, ...tags) => world.api('PUT', `/devices/${name}/tags`, { tags });
const endOfGroup = (group) => world.locum('asset', 'release', 'cams/model', '--group', group, '--end').then(({ code, stderr }) => assert.equal(code, 0, stderr));
const asset = () => world.json('asset', 'show', 'cams/model');
const version = async (wanted) => (await asset()).versions.find((each) => each.version === wanted);
/** A command that must fail with this exit code; gives what it said. */
async function refused(code, ...words) {
  const result = await world.locum(...words);
  assert.equal(result.code, code, `locum ${words.join(' ')}: ${result.stdout}${result.stderr}`);
  return result.stderr;
}
/** Proven: it runs, the swap ended well, the app runs with it; and the app says so itself, which is no news of long ago. */
const proven = (device, wanted) => until(`${device.name} is proven on ${wanted}`, async () => {
  if (JSON.parse(await readFile(path.join(world.folder, `${device.name}.json`), 'utf8')).version !== wanted) return false;
  const { running, app: its } = await device.show();
  return running.model?.version === wanted && running.model.state === 'idle' && running.model.result === 1 && its?.state === 'running';
}, 90000);

before(async () => {
  world = await World.open();
  for (const each of ['1.0.0', '1.1.0']) await publish(each);
  await world.release('cams/model', '1.0.0');
  one = await world.device('cam-1', { product: 'cams', settings: settings('cam-1') });
  two = await world.device('cam-2', { product: 'cams', settings: settings('cam-2') });
  await Promise.all([proven(one, '1.0.0'), proven(two, '1.0.0')]);
});
after(async () => { await world.close(); });

test('the keeper has no library that talks to a network; the worker has', async () => {
  const libraries = async (pid) => new Set((await readFile(`/proc/${pid}/maps`, 'utf8')).match(/\blib(curl|ssl|gnutls|ldap)\b/g));
  assert.deepEqual([...await libraries(one.keeper())], []);
  assert.ok((await libraries(one.agent.pid)).has('libcurl'));
});

test('a release to a group reaches its members alone, and ends for them alone', async () => {
  const made = await world.json('group', 'create', 'lab', '--device', 'cam-1');
  assert.deepEqual(made.members, ['cam-1']);
  const released = await world.json('asset', 'release', 'cams/model', '1.1.0', '--group', 'lab');
  assert.deepEqual(released, { product: 'cams', asset: 'model', version: '1.1.0', group: 'lab', devices: 1 });
  await proven(one, '1.1.0');
  const other = await two.show();
  assert.equal(other.running.model.version, '1.0.0');
  assert.equal(other.wanted.model, '1.0.0');
  assert.deepEqual((await asset()).releases.map((each) => [each.group, each.version]), [[null, '1.0.0'], ['lab', '1.1.0']]);
  assert.match(await refused(5, 'group', 'delete', 'lab'), /release/);
  assert.match((await world.locum('group', 'show', 'lab')).stdout, /^releases\s+model 1\.1\.0$/m);
  assert.match((await world.locum('asset', 'show', 'cams/model')).stdout, /^releases\s+1\.0\.0, lab 1\.1\.0$/m);
  assert.match(await refused(2, 'asset', 'release', 'cams/model', '--end'), /--group G/);
  assert.match(await refused(2, 'asset', 'release', 'cams/model', '--group', 'lab'), /V are needed/);
  await endOfGroup('lab');
  await refused(3, 'asset', 'release', 'cams/model', '--group', 'lab', '--end');
  await proven(one, '1.0.0');
});

test('a group by filter follows its devices, also after the console was killed', async () => {
  await world.json('group', 'create', 'field', '--filter', 'tag:field');
  assert.equal((await world.json('asset', 'release', 'cams/model', '1.1.0', '--group', 'field')).devices, 0);
  await tag('cam-2', 'field');
  await proven(two, '1.1.0');
  assert.deepEqual((await world.json('group', 'show', 'field')).members, ['cam-2']);
  assert.deepEqual((await world.json('device', 'list', '--filter', 'group:field')).map((each) => each.name), ['cam-2']);
  assert.equal((await one.show()).wanted.model, '1.0.0');
  const preview = await world.api('GET', '/preview?filter=name:cam-1&group=field');
  assert.deepEqual(preview, { count: 1, samples: ['cam-1'], added: { samples: ['cam-1'], count: 1 }, removed: { samples: ['cam-2'], count: 1 } });
  world.console.kill();
  await world.console.ended;
  await world.serve();
  await tag('cam-2');
  await tag('cam-1', 'field');
  await until('the group followed', async () => String((await world.json('group', 'show', 'field')).members) === 'cam-1');
  await Promise.all([proven(one, '1.1.0'), proven(two, '1.0.0')]);
});

test('a group that goes by the weather gets no release, and a deleted one takes its release along by force', async () => {
  await world.json('group', 'create', 'awake', '--filter', 'connectivity:online');
  await until('both are in it', async () => (await world.json('group', 'list')).find((each) => each.name === 'awake').devices === 2);
  assert.match(await refused(2, 'asset', 'release', 'cams/model', '1.1.0', '--group', 'awake'), /connectivity/);
  assert.equal((await world.locum('group', 'delete', 'awake')).code, 0);
  assert.equal((await world.locum('group', 'delete', 'field', '--force')).code, 0);
  await proven(one, '1.0.0');
  await refused(3, 'group', 'show', 'field');
});

test('where the product asks for it, only what runs somewhere is released; force needs a reason and is audited', async () => {
  await publish('1.2.0');
  await refused(2, 'product', 'set', 'cams', 'markers=required', 'release.proven_on=1001');
  const set = await world.json('product', 'set', 'cams', 'release.proven_on=1');
  assert.deepEqual(set.settings, { 'release.proven_on': 1, markers: 'optional', approval: 'one', 'capture.keep_days': 0, 'capture.device_quota': 2 ** 30, 'capture.campaign_quota': 0 });
  const said = await refused(5, 'asset', 'release', 'cams/model', '1.2.0');
  assert.match(said, /proven on 0 devices, and the product asks for 1/);
  assert.match(said, /pin it to a test device first: locum device pin NAME cams\/model 1\.2\.0/);
  await refused(2, 'asset', 'release', 'cams/model', '1.2.0', '--force');
  await world.json('asset', 'release', 'cams/model', '1.2.0', '--group', 'lab', '--force', '--reason', 'the lab tries it');
  await proven(one, '1.2.0');
  await until('the page shows that it is proven', async () => (await version('1.2.0')).proven === 1);
  await world.json('asset', 'release', 'cams/model', '1.2.0');
  await proven(two, '1.2.0');
  const audit = await world.api('GET', '/audit');
  const row = (action) => audit.find((each) => each.action === action && each.object === 'cams/model@1.2.0');
  assert.match(row('group_release').detail, /to group lab; forced, proven on 0 of 1 devices: the lab tries it/);
  assert.doesNotMatch(row('release').detail, /forced/);
});

test('approval is for administrators, and settings are shown to everyone', async () => {
  const made = await run(path.join(build, 'locum'), ['token', 'create', '--user', 'admin', '--name', 'releaser', '--role', 'release', '--data', world.data]);
  const as = (...words) => run(path.join(build, 'locum'), words, { env: world.env({ LOCUM_TOKEN: made.stdout.trim() }) });
  const denied = await as('product', 'set', 'cams', 'approval=two');
  assert.equal(denied.code, 4, denied.stderr);
  assert.equal((await as('product', 'set', 'cams', 'capture.keep_days=30')).code, 0);
  const shown = await world.json('product', 'show', 'cams');
  assert.equal(shown.settings['capture.keep_days'], 30);
  assert.equal(shown.settings.approval, 'one');
  const listed = (await world.json('product', 'list')).find((each) => each.name === 'cams');
  assert.equal(listed.devices, 2);
  assert.deepEqual(listed.settings, shown.settings);
});

test('a withdrawn version is offered to nobody: who runs it keeps it and is listed, others get the one before', async () => {
  const result = await world.locum('asset', 'withdraw', 'cams/model', '1.2.0', '--reason', 'it sees ghosts');
  assert.equal(result.code, 0, result.stderr);
  assert.match(result.stdout, /still runs on\ncam-1\ncam-2/);
  assert.deepEqual(await world.api('GET', '/assets/cams/model/versions/1.2.0/devices'), ['cam-1', 'cam-2']);
  const shown = await version('1.2.0');
  assert.equal(shown.listed, false);
  assert.equal(shown.withdrawn.reason, 'it sees ghosts');
  assert.match(await refused(5, 'asset', 'release', 'cams/model', '1.2.0', '--group', 'lab'), /withdrawn by admin: it sees ghosts/);
  await refused(2, 'asset', 'withdraw', 'cams/model', '1.2.0');
  await refused(3, 'asset', 'withdraw', 'cams/model', '9.9.9', '--reason', 'x');
  const late = await world.device('cam-3', { product: 'cams', settings: settings('cam-3') });
  await proven(late, '1.0.0');
  for (const device of [one, two]) assert.equal((await device.show()).running.model.version, '1.2.0');
  const history = await world.json('asset', 'history', 'cams/model');
  assert.match((await world.locum('asset', 'history', 'cams/model')).stdout, /withdraw model 1\.2\.0  it sees ghosts/);
  assert.equal(history[0].what, 'withdraw');
  assert.match(history[0].message, /it sees ghosts/);
  world.console.kill();
  await world.console.ended;
  await world.serve();
  assert.equal((await version('1.2.0')).withdrawn.by, 'admin');
  await publish('1.3.0');
  await endOfGroup('lab'); // a withdrawn release to a group holds for who runs it
  await world.json('asset', 'release', 'cams/model', '1.3.0', '--force', '--reason', 'the ghosts must go');
  await Promise.all([one, two, late].map((device) => proven(device, '1.3.0')));
});
