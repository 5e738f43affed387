// What a peer took long to prepare and would prepare the same again, byte for byte: kept with what it cost, so that a later run of the benchmark
// spends its time on what may have changed. Also that it did not end: then its cost is `{late_s}`, the seconds that it had. A folder each: `served`,
// as the peer left it, and `cost.json`.
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export class Kept {
  /** `on`: what else the cost depends on, such as the machine and the versions of the tools. */
  constructor(folder, on) { Object.assign(this, { folder, on: JSON.stringify(on) }); }

  #place(tool, pair) {
    const key = createHash('sha256').update(JSON.stringify([this.on, tool.prepare, pair.old_sha256, pair.sha256])).digest('hex').slice(0, 16);
    return path.join(this.folder, `${tool.name}-${key}`);
  }

  /** Puts what was prepared before into the empty folder `served`: its cost, or null where nothing is kept. */
  find(tool, pair, served) {
    const place = this.#place(tool, pair);
    if (!existsSync(place)) return null;
    cpSync(path.join(place, 'served'), served, { recursive: true });
    return JSON.parse(readFileSync(path.join(place, 'cost.json'), 'utf8'));
  }

  keep(tool, pair, served, cost) {
    const place = this.#place(tool, pair), half = `${place}.part`;
    rmSync(half, { recursive: true, force: true });
    mkdirSync(half, { recursive: true });
    cpSync(served, path.join(half, 'served'), { recursive: true });
    writeFileSync(path.join(half, 'cost.json'), JSON.stringify(cost));
    rmSync(place, { recursive: true, force: true });
    renameSync(half, place);
  }
}
