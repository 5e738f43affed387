// The table's arithmetic: medians, the best peer, whether an aim is held. Nothing here measures or prints.

export function median(values) {
  const list = values.filter((value) => value !== null && value !== undefined).sort((a, b) => a - b);
  if (!list.length) return null;
  const half = list.length >> 1;
  return list.length % 2 ? list[half] : (list[half - 1] + list[half]) / 2;
}

/** Samples {figure: number} of one thing: the median of each figure. */
export function medians(samples) {
  const names = [...new Set(samples.flatMap((sample) => Object.keys(sample)))];
  return Object.fromEntries(names.map((name) => [name, median(samples.map((sample) => sample[name]))]));
}

/** Which rows stand for Locum, in the order of trust: the real console and agent before the delta tool alone. */
export const OURS = { 'at once': ['locum', 'locum-delta'], 'in the end': ['locum-later', 'locum-delta-thorough'] };
const ALL_OURS = Object.values(OURS).flat();
export const isOurs = (name) => ALL_OURS.includes(name);

const measured = (pair, name, figure) => pair.tools.find((tool) => tool.tool === name && tool[figure] !== null && tool[figure] !== undefined);

/** The smallest figure among these tools: {tool, value}, or null where none of them was measured. */
export function best(pair, names, figure) {
  const found = names.map((name) => measured(pair, name, figure)).filter(Boolean).sort((a, b) => a[figure] - b[figure])[0];
  return found ? { tool: found.tool, value: found[figure] } : null;
}

/** What this aim allows for this pair: {limit, against}, or null where nothing that it is held against was measured. */
export function limit(pair, aim) {
  const perMiB = (aim.perMiB ?? 0) * Math.max(pair.old_bytes, pair.new_bytes) / (1 << 20);
  if (!aim.best) return { limit: aim.plus + perMiB, against: null, base: null };
  const peer = best(pair, aim.best, aim.figure);
  return peer && { limit: aim.factor * peer.value + aim.plus, against: peer.tool, base: peer.value };
}

/** One aim of a pair, once for each `when` that it is looked at for: {text, when, tool, value, limit, against, ratio, holds}; `holds` is null where it could not be told. */
export function judge(pair, aim) {
  const allowed = limit(pair, aim);
  return Object.keys(OURS).filter((when) => !aim.when || aim.when === when).map((when) => {
    const name = OURS[when].find((one) => measured(pair, one, aim.figure));
    const row = { text: aim.text, figure: aim.figure, when, tool: name ?? null, value: null, limit: allowed?.limit ?? null, against: allowed?.against ?? null, ratio: null, holds: null };
    if (!name) return row;
    row.value = measured(pair, name, aim.figure)[aim.figure];
    if (!allowed) return row;
    row.ratio = allowed.base ? row.value / allowed.base : null;
    row.holds = row.value <= allowed.limit;
    return row;
  });
}

/** All aims of a pair. */
export const judgements = (pair, aims) => aims.flatMap((aim) => judge(pair, aim));

/** What was measured before with what was measured now: rows of now stand in for those of the same name. Where the two are not of the same Locum, machine,
 * tools and sizes, now alone. `order`: the names of the pairs as they are shown; the service's rows stand in for those of the same part, so that one that failed
 * goes when the part was measured. */
export function together(before, now, order) {
  const same = (name) => JSON.stringify(before[name]) === JSON.stringify(now[name]);
  if (!before?.commands || !['locum', 'machine', 'versions', 'quick', 'scale', 'times'].every(same)) return now;
  const kept = (list, fresh, key) => list.filter((one) => !fresh.some((row) => row[key] === one[key]));
  return {
    ...now,
    commands: [...new Set([...before.commands, ...now.commands])],
    pairs: [...kept(before.pairs, now.pairs, 'name'), ...now.pairs].sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name)),
    service: [...kept(before.service, now.service, 'part'), ...now.service],
  };
}

/** How long an update takes over a line of so many bytes a second: what the loopback took and the line besides. */
export const overLine = (tool, bytesPerSecond) => tool.seconds === null || tool.bytes === null ? null : tool.seconds + (tool.bytes + (tool.headers ?? 0)) / bytesPerSecond;

/** One row of the service: Locum's value beside its peers', the first of which the ratio is taken with. `aim`: {least|most: a ratio} or {least|most, absolute: true}. */
export function serviceRow(name, what, unit, locum, peers = [], { least, most, absolute = false, note = null } = {}) {
  const known = (value) => (typeof value === 'number' && Number.isFinite(value) ? value : null);
  const list = peers.map(([peer, value]) => ({ name: peer, value: known(value) })), value = known(locum);
  const row = { name, what, unit, locum: value, peers: list, ratio: value !== null && list[0]?.value ? value / list[0].value : null, aim: null, holds: null, note };
  const told = absolute ? value : row.ratio, bound = least ?? most;
  if (bound === undefined) return row;
  row.aim = `${least === undefined ? '≤' : '≥'} ${bound}${absolute ? ` ${unit}` : ` × ${list[0].name}`}`;
  row.holds = told === null ? null : least === undefined ? told <= bound : told >= bound;
  return row;
}
