// Bytes that look random and are the same on every machine and in every run: AES-128-CTR over zeros, its key from a word. Nothing here takes
// sine or logarithm, whose last bits differ between machines.
import { createCipheriv, createHash } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';

const PIECE = 4 << 20;
const ZEROS = Buffer.alloc(PIECE);

/** An endless stream of bytes that belongs to this word. */
export class Stream {
  constructor(word) {
    this.cipher = createCipheriv('aes-128-ctr', createHash('sha256').update(word).digest().subarray(0, 16), Buffer.alloc(16));
  }
  /** The next `length` bytes. */
  bytes(length) {
    const pieces = [];
    for (let left = length; left > 0; left -= PIECE) pieces.push(this.cipher.update(left < PIECE ? ZEROS.subarray(0, left) : ZEROS));
    return pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
  }
  /** A whole number below `limit` (at most 2^32). */
  below(limit) { return Math.floor(this.bytes(4).readUInt32LE() / 4294967296 * limit); }
}

/** Numbers around 0 with the spread `spread`, nearly normal: sums of four uniform ones. */
export function* normals(stream, count, spread) {
  const scale = spread / (65536 * Math.sqrt(1 / 3));
  for (let done = 0; done < count; done += PIECE / 8) {
    const now = Math.min(count - done, PIECE / 8);
    const bytes = stream.bytes(now * 8);
    const parts = new Uint16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    for (let i = 0; i < now * 4; i += 4) yield (parts[i] + parts[i + 1] + parts[i + 2] + parts[i + 3] - 131070) * scale;
  }
}

/** float32 weights as a layer of a model has them. */
export function weights(word, count, spread = 0.02) {
  const list = new Float32Array(count);
  let i = 0;
  for (const value of normals(new Stream(word), count, spread)) list[i++] = value;
  return list;
}

/** Each weight moved by a little: what a step of training does. */
export function moved(list, word, spread) {
  const other = new Float32Array(list.length);
  let i = 0;
  for (const value of normals(new Stream(word), list.length, spread)) { other[i] = list[i] + value; i++; }
  return other;
}

/** float32 to bfloat16: the upper half, rounded to the nearest even. */
export function bfloat16(list) {
  const words = new Uint32Array(list.buffer, list.byteOffset, list.length), halves = new Uint16Array(list.length);
  for (let i = 0; i < words.length; i++) halves[i] = (words[i] + 0x7fff + ((words[i] >>> 16) & 1)) >>> 16;
  return halves;
}

export const bytesOf = (array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength);

/** Writes the pieces one after the other into the file. */
export function writeFile(name, ...pieces) {
  const fd = openSync(name, 'w');
  for (const piece of pieces) for (let at = 0; at < piece.length;) at += writeSync(fd, piece, at, piece.length - at);
  closeSync(fd);
}
