// A worker: hashes one file in pieces of 4 MiB, so that neither the page nor the memory notices, and looks whether it is a program.
import { sha256 } from "./sha256.js";

const PIECE = 4 << 20;

self.onmessage = async ({ data: { id, file } }) => {
    try {
        const hash = sha256();
        let program = false;
        for (let at = 0; at < file.size; at += PIECE) {
            const bytes = new Uint8Array(await file.slice(at, at + PIECE).arrayBuffer());
            if (at === 0) program = isProgram(bytes);
            hash.update(bytes);
            self.postMessage({ id, done: at + bytes.length });
        }
        self.postMessage({ id, sha256: hash.hex(), program });
    } catch (error) {
        self.postMessage({ id, error: `The browser could not read the file: ${error.message}` });
    }
};

/* An ELF file or a script: it gets the executable mode unless the person says otherwise. */
function isProgram(bytes) {
    const starts = (...codes) => codes.every((code, i) => bytes[i] === code);
    return starts(0x7f, 0x45, 0x4c, 0x46) || starts(0x23, 0x21);
}
