// SHA-256 (FIPS 180-4), in pieces: the browser's own takes only a whole file in memory, and none at all on a page over plain HTTP.
const K = constants();

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes, exactly, by integer arithmetic. */
function constants() {
    const out = new Uint32Array(64);
    for (let n = 2, i = 0; i < 64; n++) {
        let prime = true;
        for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false;
        if (prime) out[i++] = Number(root(BigInt(n), 3n) & 0xffffffffn);
    }
    return out;
}

/* floor(n^(1/k) * 2^32) */
function root(n, k) {
    const target = n << (32n * k);
    let low = 0n;
    let high = 1n << 44n;
    while (high - low > 1n) {
        const middle = (low + high) >> 1n;
        if (middle ** k <= target) low = middle;
        else high = middle;
    }
    return low;
}

export function sha256() {
    const h = new Uint32Array([2, 3, 5, 7, 11, 13, 17, 19].map((p) => Number(root(BigInt(p), 2n) & 0xffffffffn)));
    const w = new Uint32Array(64);
    const block = new Uint8Array(64);
    let held = 0;
    let length = 0;

    function compress(bytes, at) {
        for (let i = 0; i < 16; i++, at += 4) w[i] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
        for (let i = 16; i < 64; i++) {
            const x = w[i - 15];
            const y = w[i - 2];
            const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
            const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
            w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
        }
        let a = h[0] | 0, b = h[1] | 0, c = h[2] | 0, d = h[3] | 0, e = h[4] | 0, f = h[5] | 0, g = h[6] | 0, z = h[7] | 0;
        for (let i = 0; i < 64; i++) {
            const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
            const t1 = (z + s1 + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
            const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
            const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
            z = g;
            g = f;
            f = e;
            e = (d + t1) | 0;
            d = c;
            c = b;
            b = a;
            a = (t1 + t2) | 0;
        }
        h[0] += a;
        h[1] += b;
        h[2] += c;
        h[3] += d;
        h[4] += e;
        h[5] += f;
        h[6] += g;
        h[7] += z;
    }

    return {
        update(bytes) {
            length += bytes.length;
            let at = 0;
            if (held) {
                const take = Math.min(64 - held, bytes.length);
                block.set(bytes.subarray(0, take), held);
                held += take;
                at = take;
                if (held < 64) return;
                compress(block, 0);
                held = 0;
            }
            for (; at + 64 <= bytes.length; at += 64) compress(bytes, at);
            block.set(bytes.subarray(at), 0);
            held = bytes.length - at;
        },
        hex() {
            block[held++] = 0x80;
            if (held > 56) {
                block.fill(0, held);
                compress(block, 0);
                held = 0;
            }
            block.fill(0, held);
            const view = new DataView(block.buffer);
            view.setUint32(56, Math.floor(length / 0x20000000));
            view.setUint32(60, (length << 3) >>> 0);
            compress(block, 0);
            return Array.from(h, (word) => word.toString(16).padStart(8, "0")).join("");
        },
    };
}
