// A device made of nothing but a key: the device's side of agent/PROTOCOL.md spoken by hand.
import { createHash, generateKeyPairSync, sign, randomBytes } from 'node:crypto';
import { request } from 'node:https';

export const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
/** Canonical JSON as TUF has it. */
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value && typeof value === 'object') return `{${Object.keys(value).sort().map((key) => `${canonical(key)}:${canonical(value[key])}`).join(',')}}`;
  if (typeof value === 'string') return `"${value.replace(/[\\"]/g, '\\$&')}"`;
  return String(value);
}

export class Hand {
  constructor(world) {
    this.world = world;
    const pair = generateKeyPairSync('ed25519');
    this.key = pair.privateKey;
    this.public = pair.publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('hex');
    this.keyId = sha256(canonical({ keytype: 'ed25519', keyval: { public: this.public }, scheme: 'ed25519' }));
    this.counter = 0;
    this.said = { boot_id: '0f8fad5b-d9cb-469f-a165-70867728950e', generation: 0, set: sha256('[]'), order_seq: 0, metadata: {}, assets: {}, app: { state: 'none', pid: 0, since: null }, image: null };
  }
  sign(text) { return sign(null, Buffer.from(text), this.key).toString('hex'); }
  call(method, path, body, { token = this.token, headers = {} } = {}) {
    const bytes = body === undefined ? null : Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
    return new Promise((done, fail) => {
      const out = request(`${this.world.deviceUrl.replace('localhost', '127.0.0.1')}${path}`, {
        method, rejectUnauthorized: false, headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), ...(bytes ? { 'content-length': bytes.length } : {}), ...headers },
      }, (answer) => {
        const pieces = [];
        answer.on('data', (piece) => pieces.push(piece));
        answer.on('end', () => {
          const body = Buffer.concat(pieces), text = body.toString();
          let json = null;
          try { json = JSON.parse(text); } catch { /* not JSON */ }
          done({ status: answer.statusCode, headers: answer.headers, json, text, body });
        });
      });
      out.on('error', fail);
      out.end(bytes);
    });
  }
  async enrol(code, more = {}) {
    const claim = code.split('.')[0];
    return this.call('POST', '/device/enrol', { claim, public_key: this.public, name: null, hardware: null, facts: { agent: 'hand' },
      proof: this.sign(`locum-enrol-v1\n${claim}\n${this.public}\n`), ...more }, { token: null });
  }
  async open(counter = ++this.counter) {
    const { nonce } = (await this.call('POST', '/device/session/nonce', { key_id: this.keyId }, { token: null })).json;
    this.last = { key_id: this.keyId, nonce, counter, signature: this.sign(`locum-session-v1\n${this.keyId}\n${nonce}\n${counter}\n`) };
    const answer = await this.call('POST', '/device/session', this.last, { token: null });
    if (answer.status === 200) this.token = answer.json.token;
    return answer;
  }
  async checkin(more = {}) {
    Object.assign(this.said, more);
    const answer = await this.call('POST', '/device/checkin', this.said);
    if (answer.json?.order) { this.order = answer.json.order.signed; this.said.order_seq = this.order.seq; }
    return answer;
  }
  report(...reports) {
    return this.call('POST', '/device/reports', { reports: reports.map((report) => ({ id: randomBytes(16).toString('hex'), at: new Date().toISOString(), ...report })) });
  }
  proof(run, more = {}) {
    const words = { run, boot_id: this.said.boot_id, equal: true, before: this.said.set, after: this.said.set, leftovers: 0, app: { pid: 7, start_time: 9, exe: sha256('app') },
      ended_at: new Date().toISOString().replace(/\.\d+/, ''), reverted_at: new Date().toISOString().replace(/\.\d+/, ''), revert_ms: 41, end: 'exited', status: 0, ...more };
    return { ...words, signature: this.sign(canonical(words)) };
  }
}
