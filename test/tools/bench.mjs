// The benchmark's corpus is the same everywhere, its medians, ratios and verdicts are right, and its documents hold what was measured. Prints TAP.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { best, judge, median, medians, together } from '../bench/figures.mjs';
import { Stream, bfloat16, bytesOf, moved, weights, writeFile } from '../bench/generator.mjs';
import { placed } from '../bench/document.mjs';
import { Kept } from '../bench/kept.mjs';
import { page } from '../bench/page.mjs';
import { PAIRS } from '../bench/pairs.mjs';
import { aimRows, aligned, document, memory, number, pairText, ratio, size } from '../bench/table.mjs';
import { TOOLS } from '../bench/tools.mjs';

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex').slice(0, 16);
let count = 0, bad = 0;
function test(sentence, body) {
  count++;
  try { body(); console.log(`ok ${count} - ${sentence}`); } catch (error) {
    bad++;
    console.log(`not ok ${count} - ${sentence}\n${String(error.stack).split('\n').map((line) => `# ${line}`).join('\n')}`);
  }
}

/* What was measured, as little as it takes: 1 MiB to 1 MiB. */
const tool = (name, figures) => ({ tool: name, what: name, bytes: null, seconds: null, cpu_s: null, peak_kib: null, prepare_cpu_s: null, note: null, ...figures });
const pair = (...tools) => ({ name: 'made-up', what: 'a pair', old_bytes: 1 << 20, new_bytes: 1 << 20, tools, aims: [] });
const aim = { text: 'bytes ≤ 0.50 × the best peer', figure: 'bytes', factor: 0.5, best: ['casync', 'bsdiff'], plus: 0, when: null };
const field = pair(tool('locum', { bytes: 40 }), tool('locum-later', { bytes: 51 }), tool('casync', { bytes: 900 }), tool('bsdiff', { bytes: 100 }));

test('random bytes are those of every other machine', () => assert.equal(sha256(new Stream('a word').bytes(100000)), '3a86db259bb52011'));
test('a stream is the same however it is cut', () => {
  const whole = new Stream('cut').bytes(9 << 20), cut = new Stream('cut');
  assert.ok(whole.equals(Buffer.concat([cut.bytes(3), cut.bytes(5 << 20), cut.bytes((4 << 20) - 3)])));
});
test('weights and moved weights are those of every other machine', () => {
  const old = weights('a layer', 600000);
  assert.equal(sha256(bytesOf(old)), '61e1ad7257a98687');
  assert.equal(sha256(bytesOf(moved(old, 'a step', 1e-4))), 'f11e3fd04fef6831');
});
test('weights have the spread that was asked for', () => {
  const list = weights('spread', 200000, 0.5);
  const mean = list.reduce((sum, value) => sum + value, 0) / list.length, spread = Math.sqrt(list.reduce((sum, value) => sum + (value - mean) ** 2, 0) / list.length);
  assert.ok(Math.abs(mean) < 0.01 && Math.abs(spread - 0.5) < 0.01, `${mean} ${spread}`);
});
test('bfloat16 rounds to the nearest even', () => {
  const of = (words) => [...bfloat16(new Float32Array(new Uint32Array(words).buffer))];
  assert.deepEqual(of([0x3f800000, 0x3f808000, 0x3f818000, 0x3f808001, 0xbf807fff]), [0x3f80, 0x3f80, 0x3f82, 0x3f81, 0xbf80]);
});
test('each synthetic pair is the same in every run, and old and new differ', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'locum-bench-'));
  try {
    for (const one of PAIRS.slice(0, 7)) {
      const made = () => { one.make(folder, 1 / 256); return ['old', 'new'].map((name) => sha256(readFileSync(path.join(folder, name)))); };
      const first = made();
      assert.deepEqual(made(), first, one.name);
      assert.notEqual(first[0], first[1], one.name);
    }
  } finally { rmSync(folder, { recursive: true }); }
});
test('a file is written whole, in the order of its pieces', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'locum-bench-'));
  try {
    writeFile(path.join(folder, 'file'), Buffer.from('ab'), Buffer.alloc(0), Buffer.from('c'));
    assert.equal(readFileSync(path.join(folder, 'file'), 'utf8'), 'abc');
  } finally { rmSync(folder, { recursive: true }); }
});

test('a median is the middle one, or half way between the two', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([10, 9, 100, 1]), 9.5);
  assert.equal(median([]), null);
  assert.equal(median([null, 7]), 7);
  assert.deepEqual(medians([{ a: 1, b: 5 }, { a: 3, b: 6 }, { a: 2, b: 4 }]), { a: 2, b: 5 });
});
test('the best peer is the smallest that was measured', () => {
  assert.deepEqual(best(field, ['casync', 'bsdiff', 'zchunk'], 'bytes'), { tool: 'bsdiff', value: 100 });
  assert.equal(best(field, ['zchunk'], 'bytes'), null);
  assert.equal(best(field, ['casync'], 'cpu_s'), null);
});
test('what a peer was slow to prepare comes back for the same pair, command and machine alone', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'locum-bench-')), at = (name) => path.join(folder, name);
  const slow = { name: 'bsdiff', prepare: 'bsdiff' }, files = { old_sha256: 'a', sha256: 'b' }, kept = new Kept(at('prepared'), ['this machine', '1.0']);
  try {
    for (const name of ['served/deep', 'again']) mkdirSync(at(name), { recursive: true });
    writeFileSync(at('served/deep/patch'), 'bytes');
    assert.equal(kept.find(slow, files, at('again')), null);
    kept.keep(slow, files, at('served'), { prepare_cpu_s: 319 });
    for (const [other, tool, pair] of [[kept, { ...slow, prepare: 'bsdiff -9' }, files], [kept, slow, { ...files, old_sha256: 'c' }], [kept, slow, { ...files, sha256: 'c' }],
      [new Kept(at('prepared'), ['this machine', '1.1']), slow, files]]) assert.equal(other.find(tool, pair, at('again')), null);
    assert.deepEqual(kept.find(slow, files, at('again')), { prepare_cpu_s: 319 });
    assert.equal(readFileSync(at('again/deep/patch'), 'utf8'), 'bytes');
  } finally { rmSync(folder, { recursive: true }); }
});
test('an aim is held or missed at once and in the end', () => {
  const [once, end] = judge(field, aim);
  assert.deepEqual([once.tool, once.limit, once.ratio, once.holds], ['locum', 50, 0.4, true]);
  assert.deepEqual([end.tool, end.limit, end.ratio, end.holds], ['locum-later', 50, 0.51, false]);
  assert.deepEqual(judge(field, { ...aim, plus: 1 }).map((row) => row.holds), [true, true]);
  assert.deepEqual(judge(field, { ...aim, when: 'in the end' }).map((row) => row.when), ['in the end']);
});
test('an aim without a peer is held against its own limit', () => {
  assert.deepEqual(judge(field, { ...aim, best: null, plus: 45 }).map((row) => [row.limit, row.ratio, row.holds]), [[45, null, true], [45, null, false]]);
  assert.equal(judge(pair(tool('locum', { prepare_cpu_s: 1 })), { ...aim, figure: 'prepare_cpu_s', best: null, perMiB: 2 })[0].limit, 2);
});
test('what was not measured is not told, neither held nor missed', () => {
  assert.deepEqual(judge(pair(tool('locum', { bytes: 1 })), aim).map((row) => row.holds), [null, null]);
  assert.deepEqual(judge(pair(tool('bsdiff', { bytes: 1 })), aim).map((row) => [row.value, row.holds]), [[null, null], [null, null]]);
});
test('the delta tool alone speaks where console and agent were not measured', () => {
  assert.equal(judge(pair(tool('locum', {}), tool('locum-delta', { bytes: 7 }), tool('bsdiff', { bytes: 100 })), aim)[0].tool, 'locum-delta');
});

test('figures read as people write them', () => {
  assert.deepEqual([size(12), size(3400), size(1234567), size(268435456), size(null)], ['12 B', '3.4 kB', '1.23 MB', '268.4 MB', '–']);
  assert.deepEqual([memory(12390), memory(1048576), ratio(0.0123), ratio(1.5), ratio(null)], ['12.1 MiB', '1024 MiB', '0.012', '1.50', '–']);
  assert.deepEqual([number(28123.4), number(12.34), number(0.01234), number(null)], ['28,123', '12.3', '0.0123', '–']);
});
test('columns stand below each other', () => assert.deepEqual(aligned([['a', 'bytes'], ['long', '1', '']].map((row) => [...row, '']).map((row) => row.slice(0, 3))), ['a     bytes', 'long      1']));
test('tables, document and page say what was missed, and by how much', () => {
  const told = { ...field, aims: judge(field, aim) };
  assert.deepEqual(aimRows(told.aims), [[aim.text, '50 B, bsdiff', '40 B (0.40 ×) held', '51 B (0.51 ×) MISSED']]);
  assert.match(pairText(told), /casync +900 B/);
  const result = { date: 'today', commands: ['make bench'], locum: 'abc', quick: false, times: 3, versions: { a: 'a 1' }, machine: { cpu: 'a <cpu>', cores: 2, memory: 1 << 30, kernel: '6', system: 'Debian' }, pairs: [told], service: [] };
  assert.match(document(result), /## Behind\n\n- made-up, in the end: bytes ≤ 0\.50 × the best peer: is 51 B, may be 50 B/);
  assert.match(page(result), /class="missed">51 B/);
  assert.match(page(result), /a &lt;cpu&gt;/);
  assert.doesNotMatch(page(result), /<script|https?:|NaN|undefined/);
  assert.doesNotMatch(document(result), /NaN|undefined/);
});
test('the document keeps what is around its figures', () => {
  const text = 'before\n<!-- figures: written by test/bench/document.mjs -->\nold\n<!-- end of figures -->\nafter\n';
  assert.equal(placed(placed(text, 'new'), 'newer'), text.replace('old', '\nnewer\n'));
  assert.throws(() => placed('no marks', 'new'));
});
test('what was measured pair by pair of the same Locum stands together', () => {
  const run = (commands, names, more = {}) => ({ commands, locum: 'abc', machine: { cpu: 'a' }, versions: {}, quick: false, scale: 1, times: 3, service: [], pairs: names.map((name) => ({ name, from: commands[0] })), ...more });
  const first = run(['one'], ['a', 'c']), both = together(first, run(['two'], ['b', 'c']), ['a', 'b', 'c']);
  assert.deepEqual(both.pairs, [{ name: 'a', from: 'one' }, { name: 'b', from: 'two' }, { name: 'c', from: 'two' }]);
  assert.deepEqual(both.commands, ['one', 'two']);
  const service = (part, name, locum) => run(['one'], [], { service: [{ part, name, locum }] }), failed = service('publishing', 'publishing', null);
  assert.deepEqual(together(failed, first, []).service, failed.service);
  const two = together(service('checkins', 'checkin-tls', 1), failed, []);
  assert.deepEqual(two.service.map(({ name }) => name), ['checkin-tls', 'publishing']);
  assert.deepEqual(together(two, service('publishing', 'publish-256', 2), []).service.map(({ name, locum }) => [name, locum]), [['checkin-tls', 1], ['publish-256', 2]]);
  for (const other of [{ locum: 'abd' }, { machine: { cpu: 'b' } }, { versions: { casync: '3' } }, { quick: true }]) assert.deepEqual(together(first, run(['two'], ['b'], other), ['a', 'b']).pairs.map(({ name }) => name), ['b']);
  assert.equal(together(null, first, []), first);
});
test('each aim is held against tools that there are', () => {
  const names = new Set(TOOLS.map((one) => one.name));
  for (const one of PAIRS) for (const each of one.aims) for (const name of each.best ?? []) assert.ok(names.has(name), `${one.name}: ${name}`);
});

console.log(`1..${count}`);
process.exit(bad ? 1 : 0);
