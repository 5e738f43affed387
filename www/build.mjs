// Builds the pages: node build.mjs OUT. What lies in OUT/static has its hash in its name and never changes; index.html names it.
// Each file has a .gz beside it, which the server sends to who takes it.
import { build } from "esbuild";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const out = process.argv[2];
if (!out || process.argv.length > 3) {
    console.error("usage: node build.mjs OUT");
    process.exit(2);
}

const common = {
    absWorkingDir: here,
    outdir: path.resolve(out),
    bundle: true,
    minify: true,
    metafile: true,
    write: true,
    legalComments: "none",
    charset: "utf8",
    entryNames: "static/[name]-[hash]",
    chunkNames: "static/[name]-[hash]",
    target: ["chrome123", "firefox120", "safari17.5"], // the first with light-dark()
    jsx: "automatic",
    jsxImportSource: "preact",
    logLevel: "warning",
};

/* The path, seen from the server's root, of what became of one entry point. */
function built(result, entry) {
    for (const [file, output] of Object.entries(result.metafile.outputs))
        if (output.entryPoint === entry) return "/static/" + path.basename(file);
    throw new Error(`${entry} was not built`);
}

await rm(out, { recursive: true, force: true });
await mkdir(path.join(out, "static"), { recursive: true });

const workers = await build({ ...common, format: "iife", entryPoints: ["src/live_worker.js", "src/hash_worker.js"] });
const pages = await build({
    ...common,
    format: "esm",
    splitting: true,
    entryPoints: ["src/app.jsx", "src/style.css"],
    define: {
        LIVE_WORKER: JSON.stringify(built(workers, "src/live_worker.js")),
        HASH_WORKER: JSON.stringify(built(workers, "src/hash_worker.js")),
    },
});

const icon = (await readFile(path.join(here, "src/icon.svg"), "utf8")).trim();
const html = (await readFile(path.join(here, "src/index.html"), "utf8"))
    .replace("ICON", "data:image/svg+xml," + encodeURIComponent(icon))
    .replace("APP_JS", built(pages, "src/app.jsx"))
    .replace("STYLE_CSS", built(pages, "src/style.css"));
await writeFile(path.join(out, "index.html"), html);

for (const name of ["index.html", ...(await readdir(path.join(out, "static"))).map((file) => `static/${file}`)])
    await writeFile(path.join(out, `${name}.gz`), gzipSync(await readFile(path.join(out, name)), { level: 9 }));
