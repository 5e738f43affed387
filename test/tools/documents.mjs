// Holds documents and code together: routes, commands and states stand in both. Then breaks each once, in memory, and sees that it is found. Prints TAP.
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

/** A tree whose files may be bent: {"console/API.md": (text) => text}. */
function tree(bends = {}) {
    const read = (name) => {
        const text = readFileSync(path.join(root, name), 'utf8');
        const bent = bends[name] ? bends[name](text) : text;
        if (bends[name] && bent === text) throw new Error(`the bend of ${name} changes nothing`);
        return bent;
    };
    return { read, list: (folder, ending) => readdirSync(path.join(root, folder)).filter((name) => name.endsWith(ending)).map((name) => `${folder}/${name}`) };
}

/** Says what only one side has. */
function compare(what, a, inA, b, inB) {
    const said = [];
    for (const one of a.keys()) if (!b.has(one)) said.push(`${what} ${one} is in ${inA}, not in ${inB}`);
    for (const one of b.keys()) if (!a.has(one)) said.push(`${what} ${one} is in ${inB}, not in ${inA}`);
    for (const [one, value] of a) if (b.has(one) && b.get(one) !== value) said.push(`${what} ${one} has ${value} in ${inA}, ${b.get(one)} in ${inB}`);
    return said;
}

// --- routes -----------------------------------------------------------------------------------------------------------
/** "V1 "/x/{name}"" with what the macros stand for. */
function spelled(expression, macros) {
    return [...expression.matchAll(/"([^"]*)"|(\w+)/g)].map(([, text, macro]) => text ?? macros.get(macro) ?? `?${macro}?`).join('');
}

function routesOfCode(files) {
    const macros = new Map();
    for (const name of ['agent/protocol.h', 'console/routes.c'])
        for (const [, macro, text] of files.read(name).matchAll(/^#define (\w+) "([^"]*)"/gm)) macros.set(macro, text);
    const rows = { people: new Map(), devices: new Map() };
    for (const [, method, where, listener, role] of files.read('console/routes.c').matchAll(/^\s*\{"([A-Z]+)",\s*([^,]+?),\s*(\w+),\s*ROLE_(\w+),/gm)) {
        const route = `${method} ${spelled(where, macros)}`;
        if (listener !== 'DEVICES') rows.people.set(route, role);
        if (listener !== 'PEOPLE') rows.devices.set(route, role);
    }
    return rows;
}

/** Tokens of a first cell: methods, then the paths that they are for; a lone "/x" after "/a/b" is "/a/x". */
function routesOfCell(cell, base) {
    const found = [];
    let methods = [], fresh = true, before = '';
    for (const [, method, quoted] of cell.matchAll(/\b(GET|HEAD|PUT|POST|PATCH|DELETE)\b|`([^`]+)`/g)) {
        if (method) {
            if (!fresh) methods = [];
            fresh = true;
            methods.push(method);
            continue;
        }
        fresh = false;
        let where = quoted.replace(/\[.*$|\?.*$/, '').replace('…', '{*}');
        if (/^\/[^/]+$/.test(where) && before.lastIndexOf('/') > 0) where = before.slice(0, before.lastIndexOf('/')) + where;
        before = where;
        for (const one of methods) if (one !== 'HEAD') found.push(`${one} ${base}${where}`); // a GET answers HEAD
    }
    return found;
}

function routesOfInterface(files) {
    const roles = { V: 'VIEWER', S: 'SUPPORT', R: 'RELEASE', A: 'ADMIN', '-': 'ANYBODY' };
    const rows = new Map();
    for (const [, cell, role] of files.read('console/API.md').matchAll(/^\| ((?:GET|PUT|POST|PATCH|DELETE)\b[^|]*) \| ([VSRA, -]+) \|/gm)) {
        const found = routesOfCell(cell, cell.includes('(no base)') ? '' : '/api/v1');
        const each = role.split(', ');
        found.forEach((route, i) => rows.set(route, roles[each.length === 1 ? each[0] : each[i]]));
    }
    return rows;
}

function routesOfProtocol(files) {
    const who = { anybody: 'ANYBODY', 'claim code': 'ANYBODY', key: 'ANYBODY', session: 'DEVICE' };
    const params = { '<run id>': '{run}', '<n>': '{n}', '<sha256>': '{sha256}', '<old>': '{old}', '<new>': '{new}' };
    const rows = new Map();
    for (const [, cell, whose] of files.read('agent/PROTOCOL.md').matchAll(/^\| ((?:GET|PUT|POST|PATCH|DELETE)\b[^|]*) \| ([^|]+) \|/gm)) {
        const plain = cell.replace(/\?[^`]*/g, '').replace(/<[^>]*>/g, (param) => params[param] ?? '{*}');
        for (const route of routesOfCell(plain, '')) rows.set(route, who[whose]);
    }
    return rows;
}

function routes(files) {
    const code = routesOfCode(files);
    return [
        ...compare('the route', routesOfInterface(files), 'console/API.md', code.people, 'console/routes.c'),
        ...compare('the route', routesOfProtocol(files), 'agent/PROTOCOL.md', code.devices, 'console/routes.c'),
    ];
}

// --- commands ---------------------------------------------------------------------------------------------------------
const optionsOf = (body) => [...body.matchAll(/\{"(?:--)?([a-z-]+)",\s*(?:"([^"]*)"|NULL)/g)].map(([, name, value]) => `--${name}${value ? ` ${value}` : ''}`);

function commandsOfCode(files) {
    const text = files.read('console/cli/commands.c'), rows = new Map(), options = new Map();
    for (const [, name, body] of text.matchAll(/struct cli_option (\w+)\[\] = \{(.*?)\n\};/gs)) options.set(name, optionsOf(body));
    const table = /struct command cli_commands\[\] = \{(.*?)\n\};/s.exec(text)[1];
    for (const [, noun, verb, words, own] of table.matchAll(/\{"(\w+)",\s*(?:"([\w-]+)"|NULL),\s*"([^"]*)",\s*\d+,\s*-?\d+,\s*"[^"]*",\s*(\w+),\s*\w+\}/gs))
        rows.set(['locum', noun, verb, words].filter(Boolean).join(' '), own === 'NULL' ? '' : (options.get(own) ?? ['?']).join(', '));
    const serve = optionsOf(/\} rows\[\] = \{(.*?)\n\};/s.exec(files.read('console/serve_options.c'))[1]);
    rows.set('locum serve', serve.join(', '));
    rows.set('locum COMMAND', optionsOf(/common_options\[\] = \{(.*?)\n\};/s.exec(files.read('console/cli/cli.c'))[1]).join(', '));
    return rows;
}

function commandsOfDocument(files) {
    const rows = new Map();
    for (const [, command, options] of files.read('console/API.md').matchAll(/^\| `(locum[^`]*)` \| ([^|]*) \|/gm)) rows.set(command, options.replaceAll('`', '').trim());
    return rows;
}

function commands(files) {
    const code = commandsOfCode(files);
    const said = compare('the command', commandsOfDocument(files), 'console/API.md', code, 'console/cli/commands.c');
    const known = new Set([...code.keys()].map((line) => line.split(' ').slice(1, /^locum (login|serve|COMMAND)/.test(line) ? 2 : 3).join(' ')));
    const nouns = new Set([...known].map((words) => words.split(' ')[0]));
    for (const document of ['README.md', 'ARCHITECTURE.md'])
        for (const [, noun, verb] of files.read(document).matchAll(/\blocum ([a-z]+)(?: ([a-z]+))?/g))
            if (nouns.has(noun) && !known.has(noun) && !known.has(`${noun} ${verb}`)) said.push(`${document} names the command locum ${noun} ${verb}, which is not in console/cli/commands.c`);
    return said;
}

// --- states -----------------------------------------------------------------------------------------------------------
/** The text from "## Title" to the next one. */
const section = (text, title) => new RegExp(`^## ${title}\\n(.*?)(?=^## |$(?![^]))`, 'ms').exec(text)?.[1] ?? '';
const named = (words) => new Map(words.map((word) => [word, true]));

function states(files) {
    const document = files.read('diagnostics/LIFECYCLE.md'), said = [];
    let tables = 0;
    for (const name of files.list('diagnostics', '.c')) {
        const text = files.read(name), table = /struct lifecycle_state states\[\] = \{(.*?)\n\};/s.exec(text)?.[1];
        if (!table) continue;
        tables++;
        const code = named([...table.matchAll(/\[\w+\] = \{"(\w+)"/g)].map(([, state]) => state));
        const title = path.basename(name, '.c').replace(/^./, (letter) => letter.toUpperCase());
        const chapter = section(document, title), drawing = /```\n(.*?)```/s.exec(chapter)?.[1] ?? '';
        const drawn = [...drawing.matchAll(/\w+/g)].map(([word]) => word), beside = [...drawing.matchAll(/► (\w+)|(\w+) ─/g)].map(([, to, from]) => to ?? from);
        for (const state of code.keys()) if (!drawn.includes(state)) said.push(`the state ${state} of ${name} is not drawn in LIFECYCLE.md, ${title}`);
        for (const state of beside) if (!code.has(state)) said.push(`the state ${state} is drawn in LIFECYCLE.md, ${title}, and not in ${name}`);
        const rows = [...chapter.matchAll(/^\| ([a-z_, ]+) \|/gm)].flatMap(([, cell]) => cell.split(', ')).filter((word) => word !== 'state');
        if (rows.length) said.push(...compare('the state', named(rows), `LIFECYCLE.md, ${title}`, code, name));
    }
    if (tables < 3) said.push(`only ${tables} tables of states were found`);
    return said;
}

// --- the real tree, then each broken once -------------------------------------------------------------------------------
let count = 0, bad = 0;
function result(good, sentence, said = []) {
    count++;
    bad += !good;
    console.log(`${good ? 'ok' : 'not ok'} ${count} - ${sentence}`);
    for (const line of said) console.log(`#   ${line}`);
}
for (const [sentence, check] of [['routes stand in code and documents alike', routes], ['commands and their options stand in code and documents alike', commands], ['states stand in code and documents alike', states]]) {
    const said = check(tree());
    result(said.length === 0, sentence, said);
}
const cut = (pattern) => (text) => text.replace(pattern, '');
for (const [sentence, check, file, bend, words] of [
    ['a route that is not documented is found', routes, 'console/API.md', cut(/^\| GET `\/preview.*\n/m), 'GET /api/v1/preview is in console/routes.c, not in'],
    ['a documented route without a row is found', routes, 'console/routes.c', cut(/^.*devices_preview\},\n/m), 'GET /api/v1/preview is in console/API.md, not in'],
    ['one of several routes in a line is found', routes, 'console/API.md', cut(', `/reject`'), 'POST /api/v1/devices/{name}/reject is in console/routes.c, not in'],
    ['a role that differs is found', routes, 'console/routes.c', (text) => text.replace('ROLE_SUPPORT, SMALL, false, claims_create', 'ROLE_VIEWER, SMALL, false, claims_create'), 'POST /api/v1/claims has SUPPORT in'],
    ["a route of devices that the protocol lacks is found", routes, 'agent/PROTOCOL.md', cut(/^\| POST `\/device\/reports.*\n/m), 'POST /device/reports is in console/routes.c, not in'],
    ['a route of the protocol without a row is found', routes, 'console/routes.c', cut(/^.*device_side_enrol\},\n/m), 'POST /device/enrol is in agent/PROTOCOL.md, not in'],
    ['a path that is spelled otherwise in the protocol header is found', routes, 'agent/protocol.h', (text) => text.replace('"/device/checkin"', '"/device/check-in"'), 'POST /device/checkin is in agent/PROTOCOL.md, not in'],
    ['a command that is not documented is found', commands, 'console/API.md', cut(/^\| `locum capture list.*\n/m), 'locum capture list [CAMPAIGN [N]] is in console/cli/commands.c, not in'],
    ['a documented command that is not there is found', commands, 'console/cli/commands.c', (text) => text.replace('{"asset", "diff"', '{"asset", "compare"'), 'locum asset diff PRODUCT/ASSET V1 V2 is in console/API.md, not in'],
    ['an option that is not documented is found', commands, 'console/cli/commands.c', (text) => text.replace('{"counter", "N"', '{"floor", "N"'), 'locum asset publish PRODUCT/ASSET PATH… has'],
    ['an option of serve that is not documented is found', commands, 'console/serve_options.c', (text) => text.replace('"--www"', '"--pages"'), 'locum serve has'],
    ['a command that the README invents is found', commands, 'README.md', (text) => `${text}\nlocum asset destroy x\n`, 'README.md names the command locum asset destroy'],
    ['a state without a row is found', states, 'diagnostics/LIFECYCLE.md', cut(/^\| verifying .*\n/m), 'the state verifying is in diagnostics/assignment.c, not in'],
    ['a row without a state is found', states, 'diagnostics/LIFECYCLE.md', (text) => text.replace('| verifying |', '| verifying, dreaming |'), 'the state dreaming is in LIFECYCLE.md'],
    ['a state that is not drawn is found', states, 'diagnostics/run.c', (text) => text.replace('{"expired"', '{"lapsed"'), 'the state lapsed of diagnostics/run.c is not drawn'],
    ['a drawn state that is not there is found', states, 'diagnostics/campaign.c', (text) => text.replace('{"active"', '{"busy"'), 'the state active is drawn in'],
]) {
    let said;
    try { said = check(tree({ [file]: bend })); } catch (error) { said = [error.message]; }
    const found = said.some((line) => line.includes(words));
    result(found, sentence, found ? [] : said);
}
console.log(`1..${count}`);
process.exit(bad ? 1 : 0);
