// Locum's own rows: the delta tool alone (built by make), fetched like any patch, and the real console with a real agent.
import { measureAgents } from './agent.mjs';

// Exit 3: it is not worth it, the file travels whole.
const made = (effort) => `"$LOCUM_DELTA" make ${effort} "$OLD" "$NEW" "$SERVED/delta" || { [ $? = 3 ] && ln "$NEW" "$SERVED/whole"; }`;
const TAKE = `if curl -sf -o "$DEVICE/delta" "$URL/delta"; then "$LOCUM_DELTA" apply "$DEVICE/old" "$DEVICE/delta" "$DEVICE/out"
  else curl -sf "$URL/whole" | "$BENCH/once" - "$DEVICE/out"; fi`;
// What making took without the hashes of both files, which a console has.
const SAYS = / cpu_s=([\d.]+)/;

export const LOCUM_TOOLS = [
  { name: 'locum', measure: measureAgents },
  { name: 'locum-delta', what: 'Locum: the delta as made at once, by the tool alone', prepare: made(''), says: SAYS, update: TAKE },
  { name: 'locum-delta-thorough', what: 'Locum: the delta of the background pass, by the tool alone', prepare: made('--thorough'), says: SAYS, update: TAKE, once: true },
];
