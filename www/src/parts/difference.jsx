// What differs between two versions: text line by line, everything else by its facts.
import { bytes, number, plural } from "../words.js";

const CHANGES = {
    added: ["success", "plus", "added"],
    removed: ["danger", "dash", "removed"],
    changed: ["active", "turn", "changed"],
    mode: ["neutral", "key", "mode changed"],
    same: ["neutral", "check", "unchanged"],
};

export function Difference({ difference }) {
    const changed = difference.files.filter((file) => file.change !== "same");
    const same = difference.files.length - changed.length;
    return (
        <div class="difference">
            <p class="muted">
                {changed.length ? `${plural(changed.length, "file")} of ${number(difference.files.length)} ${changed.length === 1 ? "differs" : "differ"}` : "No file differs"}
                {same > 0 && `, ${number(same)} unchanged (devices fetch nothing of ${same === 1 ? "it" : "them"})`}.
            </p>
            {difference.manifest?.length > 0 && (
                <div class="diff-file">
                    <h2 class="diff-name">Manifest</h2>
                    <table class="facts-table"><thead><tr><th scope="col">Member</th><th scope="col">{difference.from}</th><th scope="col">{difference.to}</th></tr></thead>
                        <tbody>{difference.manifest.map((row) => <tr key={row.member}><td>{row.member}</td><td><code class="wrap">{plain(row.old)}</code></td><td><code class="wrap">{plain(row.new)}</code></td></tr>)}</tbody>
                    </table>
                </div>
            )}
            {changed.map((file) => <FileDifference key={file.path} file={file} from={difference.from} to={difference.to} />)}
        </div>
    );
}

const plain = (value) => (value === null || value === undefined ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value));

function FileDifference({ file, from, to }) {
    const [tone, , word] = CHANGES[file.change] ?? CHANGES.changed;
    return (
        <section class="diff-file" aria-label={file.path}>
            <h2 class="diff-name"><code class="wrap">{file.path}</code> <span class={`kind tone-${tone}`}>{word}</span></h2>
            {file.kind === "text" && file.hunks?.length ? <Hunks file={file} /> : <BinaryFacts file={file} from={from} to={to} />}
            {file.truncated && <p class="muted diff-more">Longer than is shown here. Download both versions to see all of it.</p>}
        </section>
    );
}

function Hunks({ file }) {
    return (
        <div class="diff-scroll" tabindex="0" role="group" aria-label={`Lines of ${file.path}`}>
            <table class="diff">
                <thead class="sr"><tr><th scope="col">Old line</th><th scope="col">New line</th><th scope="col">Change</th><th scope="col">Text</th></tr></thead>
                {file.hunks.map((hunk) => <Hunk key={`${hunk.old_start}/${hunk.new_start}`} hunk={hunk} />)}
            </table>
        </div>
    );
}

function Hunk({ hunk }) {
    let old = hunk.old_start;
    let fresh = hunk.new_start;
    return (
        <tbody>
            <tr class="hunk"><td colspan="4">@@ −{hunk.old_start},{hunk.old_count} +{hunk.new_start},{hunk.new_count} @@</td></tr>
            {hunk.lines.map((line, i) => {
                const left = line.op === "+" ? "" : old++;
                const right = line.op === "-" ? "" : fresh++;
                return (
                    <tr key={i} class={line.op === "+" ? "line-added" : line.op === "-" ? "line-removed" : undefined}>
                        <td class="line-number">{left}</td>
                        <td class="line-number">{right}</td>
                        <td class="line-op">{line.op === "-" ? "−" : line.op === "+" ? "+" : ""}</td>
                        <td class="line-text">{line.text}</td>
                    </tr>
                );
            })}
        </tbody>
    );
}

function BinaryFacts({ file, from, to }) {
    const sides = [[from, file.old], [to, file.new]];
    return (
        <>
            <table class="facts-table">
                <thead><tr><th scope="col">Version</th><th scope="col">Size</th><th scope="col">Mode</th><th scope="col">SHA-256</th></tr></thead>
                <tbody>
                    {sides.map(([version, side]) => (
                        <tr key={version}><td><code>{version}</code></td>{side ? <><td class="num">{bytes(side.length)} <span class="muted">({number(side.length)} B)</span></td><td>{side.mode === 0o755 ? "program" : "file"}</td><td><code class="hash">{side.sha256}</code></td></> : <td colspan="3" class="muted">not there</td>}</tr>
                    ))}
                </tbody>
            </table>
            {file.old && file.new && file.first_difference !== undefined && file.first_difference !== null && (
                <p class="small diff-more">
                    {file.kind === "binary" && "Not text. "}First difference at byte {number(file.first_difference)} (<code>0x{file.first_difference.toString(16)}</code>)
                    {file.differing_bytes !== null && file.differing_bytes !== undefined && <>; {plural(file.differing_bytes, "byte")} {file.differing_bytes === 1 ? "differs" : "differ"}</>}
                    {file.old.length !== file.new.length && <>; {file.new.length > file.old.length ? "longer" : "shorter"} by {bytes(Math.abs(file.new.length - file.old.length))}</>}.
                </p>
            )}
        </>
    );
}
