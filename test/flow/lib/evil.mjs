// A fully compromised server: stands between a real agent and the real console with the console's own TLS key, signs with its
// online keys, and answers whatever a test wants.
import { createServer, request } from 'node:https';
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { canonical, sha256 } from './hand.mjs';
import { freePort } from './locum.mjs';

/** A key of the data folder: {id, sign}. */
export function key(data, name) {
  const seed = Buffer.from(JSON.parse(readFileSync(path.join(data, 'keys', name), 'utf8')).private, 'hex');
  const privateKey = createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]), format: 'der', type: 'pkcs8' });
  const publicHex = createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(-32).toString('hex');
  return {
    id: sha256(canonical({ keytype: 'ed25519', keyval: { public: publicHex }, scheme: 'ed25519' })),
    sign: (signed) => sign(null, Buffer.from(canonical(signed)), privateKey).toString('hex'),
  };
}
export const envelope = (by, signed) => ({ signatures: [{ keyid: by.id, sig: by.sign(signed) }], signed });

export class Evil {
  static async open(world) {
    const evil = new Evil();
    evil.world = world;
    evil.port = await freePort();
    evil.url = `https://localhost:${evil.port}`;
    evil.checkins = [];
    evil.reports = [];
    evil.order = null; // instead of the console's; undefined: the console's own
    evil.rules = []; // [pattern, (request, response, forward) => …]
    evil.server = createServer({ cert: readFileSync(path.join(world.data, 'tls/server.pem')), key: readFileSync(path.join(world.data, 'tls/server.key')) },
      (from, to) => evil.handle(from, to).catch(() => to.destroy()));
    await new Promise((done) => evil.server.listen(evil.port, '127.0.0.1', done));
    return evil;
  }
  async handle(from, to) {
    const pieces = [];
    for await (const piece of from) pieces.push(piece);
    const body = Buffer.concat(pieces);
    const rule = this.rules.find(([pattern]) => pattern.test(from.url));
    const forward = () => this.forward(from, body);
    if (from.url === '/device/reports') this.reports.push(...JSON.parse(body).reports);
    if (from.url === '/device/checkin') this.checkins.push(JSON.parse(body));
    if (rule) return rule[1](from, to, forward);
    const answer = await forward();
    if (from.url === '/device/checkin' && answer.status === 200 && this.order !== undefined) answer.body = JSON.stringify({ ...JSON.parse(answer.body), order: this.order });
    return this.answer(to, answer);
  }
  answer(to, { status, headers, body }) {
    const { 'content-length': _, 'transfer-encoding': __, ...rest } = headers;
    to.writeHead(status, { ...rest, 'content-length': Buffer.byteLength(body) });
    to.end(body);
  }
  forward(from, body) {
    return new Promise((done, fail) => {
      const out = request({ host: '127.0.0.1', port: this.world.devicePort, path: from.url, method: from.method, headers: from.headers, rejectUnauthorized: false }, (answer) => {
        const pieces = [];
        answer.on('data', (piece) => pieces.push(piece));
        answer.on('end', () => done({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(pieces) }));
      });
      out.on('error', fail);
      out.end(body);
    });
  }
  /** Sends bytes for as long as the peer takes them; counts them. */
  endless(to, headers = {}, piece = Buffer.alloc(1 << 16, 0x20)) {
    to.on('error', () => {});
    to.writeHead(200, headers);
    let sent = 0;
    const push = () => {
      while (!to.destroyed && sent < 1 << 30) {
        sent += piece.length;
        this.sent = sent;
        if (!to.write(piece)) { to.once('drain', push); return; }
      }
      to.end();
    };
    push();
  }
  async close() {
    this.server.closeAllConnections?.();
    await new Promise((done) => this.server.close(done));
  }
}
