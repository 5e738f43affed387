// document.mjs [RESULT [DOCUMENT]]: writes the tables of a run (build/bench.json) into BENCHMARKS.md, between its two marks. What stands outside them
// is a person's.
import { readFileSync, writeFileSync } from 'node:fs';
import { document } from './table.mjs';

const BEGIN = '<!-- figures: written by test/bench/document.mjs -->', END = '<!-- end of figures -->';

export function placed(text, figures) {
  const from = text.indexOf(BEGIN), to = text.indexOf(END);
  if (from < 0 || to < from) throw new Error(`no lines "${BEGIN}" and "${END}"`);
  return `${text.slice(0, from + BEGIN.length)}\n\n${figures.trim()}\n\n${text.slice(to)}`;
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const [result = 'build/bench.json', name = 'BENCHMARKS.md'] = process.argv.slice(2);
  writeFileSync(name, placed(readFileSync(name, 'utf8'), document(JSON.parse(readFileSync(result, 'utf8')))));
}
