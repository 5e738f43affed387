// One capture: its files, and the one that is looked at as a plot, a log, text or bytes.
import { at, href } from "../api.js";
import { useResource, wants } from "../resource.js";
import { bytes, plural, shell } from "../words.js";
import { Command } from "../parts/command.jsx";
import { Icon } from "../parts/icon.jsx";
import { Facts, Loaded, Nothing, Page, Section } from "../parts/page.jsx";
import { State } from "../parts/state.jsx";
import { Time } from "../parts/time.jsx";
import { reasonText } from "../parts/captures_table.jsx";
import { Viewer } from "../parts/viewer.jsx";

const TYPES = { timeseries: ["capture", "time series"], log: ["audit", "log"], text: ["file", "text"], binary: ["file", "bytes"] };

export function Capture({ id, n }) {
    const capture = useResource(at`/captures/${id}`, wants.captures);
    const c = capture.data;
    return (
        <Page title={c ? `Capture of ${c.device}` : `Capture ${id}`} crumbs={[["Captures", "/captures"]]}
            lead={c && <><State name={c.state} /> <span class="muted">{c.image} {c.version} · {plural(c.files.length, "file")}, {bytes(c.length)} · <Time at={c.created_at} both /></span></>}
            actions={c && <a class="button" href={`/campaigns/${c.campaign}/runs/${c.run}`}>Campaign {c.campaign}, run {c.run}</a>}>
            <Loaded of={capture} what={`capture ${id}`} rows={4}>
                {(c) => c.files.length ? <Files capture={c} n={n} /> : <Nothing>{reasonText(c.reason) ?? "Nothing was collected."}</Nothing>}
            </Loaded>
        </Page>
    );
}

function Files({ capture: c, n }) {
    const chosen = c.files.find((file) => String(file.n) === n) ?? c.files.find((file) => file.type === "timeseries") ?? c.files[0];
    const path = at`/captures/${c.id}/files/${chosen.n}`;
    return (
        <>
            {c.reason && <Facts rows={[["why not complete", reasonText(c.reason)], ["device", c.device]]} />}
            <div class="capture">
                <nav class="file-list" aria-label="Files of the capture">
                    {c.files.map((file) => {
                        const [icon, word] = TYPES[file.type] ?? TYPES.binary;
                        return (
                            <a key={file.n} href={`/captures/${c.id}/files/${file.n}`} aria-current={file === chosen ? "page" : undefined}>
                                <Icon name={icon} /><span class="wrap">{file.path}</span><span class="muted small">{word}, {bytes(file.length)}</span>
                            </a>
                        );
                    })}
                </nav>
                <div class="viewer">
                    <Section title={chosen.path} id="file" actions={<a class="button" href={href(path)} download={chosen.path.split("/").pop()}><Icon name="down" />Download</a>}>
                        <Viewer key={`${c.id}/${chosen.n}`} path={path} file={chosen} />
                        <p class="small muted">SHA-256 <code class="hash">{chosen.sha256}</code></p>
                    </Section>
                </div>
            </div>
            <Command text={`locum capture download ${c.campaign} ${c.run} --to ${shell("DIR")} --device ${shell(c.device)}`} label="on a command line" />
        </>
    );
}
