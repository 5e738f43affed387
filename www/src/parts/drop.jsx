// Where files are dropped or picked, and the list of what happens to each.
import { useState } from "preact/hooks";
import { droppedFiles, pickedFiles } from "../upload.js";
import { bytes, plural } from "../words.js";
import { Icon } from "./icon.jsx";
import { State } from "./state.jsx";

export function DropBox({ set, why }) {
    const [over, setOver] = useState(false);
    async function drop(event) {
        event.preventDefault();
        setOver(false);
        if (!why) set.add(await droppedFiles(event.dataTransfer));
    }
    const pick = (event) => {
        set.add(pickedFiles(event.currentTarget.files));
        event.currentTarget.value = "";
    };
    return (
        <div class={over ? "drop over" : "drop"} onDragOver={(event) => { event.preventDefault(); setOver(true); }} onDragLeave={() => setOver(false)} onDrop={drop}>
            <Icon name="up" />
            <p>Drop files or a folder here</p>
            <div class="actions">
                <label class="button">Choose files<input class="sr" type="file" multiple disabled={!!why} onChange={pick} data-files /></label>
                <label class="button">Choose a folder<input class="sr" type="file" webkitdirectory disabled={!!why} onChange={pick} data-folder /></label>
            </div>
            {why && <p class="muted">{why}</p>}
        </div>
    );
}

const WORDS = { waiting: ["queued", "waiting"], hashing: ["verifying", "hashing"], sending: ["uploading", "sending"], sent: ["done", "on the server"], failed: ["failed", "failed"] };

export function FileList({ set }) {
    const files = set.files.value;
    const total = files.reduce((sum, one) => sum + one.size, 0);
    const sent = files.reduce((sum, one) => sum + (one.state === "sent" ? one.size : one.state === "sending" ? one.done : 0), 0);
    if (!files.length) return null;
    return (
        <div class="files">
            <p class="files-sum">
                <span>{plural(files.length, "file")}, {bytes(total)}</span>
                <progress max={total || 1} value={total ? sent : 1} aria-label="Uploaded" />
                <span class="num">{total ? Math.floor((100 * sent) / total) : 100} %</span>
            </p>
            <ul>
                {files.slice(0, 200).map((one) => <FileRow key={one.id} one={one} set={set} />)}
            </ul>
            {files.length > 200 && <p class="muted">and {plural(files.length - 200, "more file")}</p>}
        </div>
    );
}

function FileRow({ one, set }) {
    const [state, word] = WORDS[one.state];
    const share = one.size && (one.state === "hashing" || one.state === "sending") ? ` ${Math.floor((100 * one.done) / one.size)} %` : "";
    return (
        <li>
            <code class="wrap file-path">{one.path}</code>
            <span class="num muted">{bytes(one.size)}</span>
            <State name={state} word={word + share} />
            {one.sha256 && <label class="check small"><input type="checkbox" checked={!!one.program} onChange={(e) => set.change(one.id, { program: e.currentTarget.checked })} />program<span class="sr"> {one.path}</span></label>}
            {one.state === "failed" && <button type="button" onClick={() => set.retry(one.id)}>Try again</button>}
            <button type="button" class="plain" aria-label={`Leave out ${one.path}`} onClick={() => set.remove(one.id)}><Icon name="cross" /></button>
            {one.sha256 && <code class="hash small muted" title={one.sha256}>{one.sha256}</code>}
            {one.error && <p class="bad">{one.error}</p>}
        </li>
    );
}
