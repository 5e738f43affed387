// The service beside its peers: each part gives rows (figures.mjs: serviceRow) and measures both sides in the same run, one after the other.
import { serviceText } from './table.mjs';
import { serviceRow } from './figures.mjs';
import { checkins, connections, downloads } from './service_http.mjs';
import { publishing, fleets } from './service_store.mjs';
import { adoption, idle, sizes, swapping } from './service_device.mjs';

/* What a quick run does smaller. */
const QUICK = { load_s: 2, rounds: 1, object_mib: 64, publish_mib: [32, 64], fleets: [1000, 10000], crowd: 100, swaps: 5, idle_s: 8 };
const FULL = { load_s: 10, rounds: 3, object_mib: 256, publish_mib: [256, 1024], fleets: [10000, 100000], crowd: 1000, swaps: 50, idle_s: 60 };

const PARTS = { sizes, checkins, connections, downloads, publishing, swapping, adoption, fleets, idle };

/** `told(rows)` is called with the rows of each part as they are there, which then say their part: a run that is cut off keeps them. */
export async function measureService(wanted, folder, told) {
  for (const [name, part] of Object.entries(PARTS)) {
    if (performance.now() > wanted.serviceUntil * 1000) {
      console.log(`${name}: not begun, the time of a quick run is over\n`);
      continue;
    }
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[Kservice: ${name}`);
    const now = await part(wanted.quick ? QUICK : FULL, folder).catch((error) => [serviceRow(name, name, '', null, [], { note: error.message.split('\n')[0] })]);
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
    console.log(`${serviceText(now)}\n`);
    told(now.map((row) => ({ part: name, ...row })));
  }
}
