// One capture: its files, and the one that is looked at as a plot, a log, text or bytes.
import { useState } from "preact/hooks";
import { at, href } from "../api.js";
import { useResource, wants } from "../resource.js";
import { bytes, plural, shell } from "../words.js";
import { Command } from "../parts/command.jsx";
import { Icon } from "../parts/icon.jsx";
import { Facts, Loaded, Note, Nothing, Page, Section } from "../parts/page.jsx";
import { State } from "../parts/state.jsx";
import { Time } from "../parts/time.jsx";
import { reasonText } from "../parts/captures_table.jsx";
import { Viewer } from "../parts/viewer.jsx";
import { CaptureActions, DeleteDialog, HoldDialog } from "../dialogs/capture.jsx";

const TYPES = { timeseries: ["capture", "time series"], log: ["audit", "log"], text: ["file", "text"], table: ["file", "table"], json: ["file", "JSON"], image: ["file", "image"], binary: ["file", "bytes"] };

export function Capture({ id, n }) {
    const capture = useResource(at`/captures/${id}`, wants.captures);
    const [open, setOpen] = useState(null);
    const c = capture.data;
    return (
        <Page title={c ? `Capture of ${c.device}` : `Capture ${id}`} crumbs={[["Captures", "/captures"]]}
            lead={c && <><State name={c.state} /> <span class="muted">{c.image} {c.version} · {plural(c.files.length, "file")}, {bytes(c.length)} · <Time at={c.created_at} both /></span></>}
            actions={c && <><a class="button" href={`/campaigns/${c.campaign}/runs/${c.run}`}>Campaign {c.campaign}, run {c.run}</a>{c.hold !== undefined && <CaptureActions capture={c} open={setOpen} />}</>}>
            <Loaded of={capture} what={`capture ${id}`} rows={4}>
                {(c) => <><Kept capture={c} />{c.files.length ? <Files capture={c} n={n} /> : <Nothing>{reasonText(c.reason) ?? "Nothing was collected."}</Nothing>}</>}
            </Loaded>
            {open === "hold" && c && <HoldDialog capture={c} close={() => setOpen(null)} done={capture.reload} />}
            {open === "delete" && c && <DeleteDialog capture={c} close={() => setOpen(null)} ending={capture.ending} />}
        </Page>
    );
}

/* How long it stays, and what the device left out or blotted out before it sent anything. */
function Kept({ capture: c }) {
    return (
        <>
            {c.hold && <Note tone="attention" icon="shield"><p><strong>Held by {c.hold.by}</strong>, <Time at={c.hold.at} both />: {c.hold.reason}</p></Note>}
            <Facts rows={[
                ["kept", c.hold ? "until a person ends the hold" : c.expires_at ? <>until <Time at={c.expires_at} both /></> : c.state === "uploading" ? null : "until a person deletes it"],
                c.omitted?.length ? ["left out", c.omitted.map((one) => <div key={one.path} class="wrap"><code>{one.path}</code> {one.why}</div>)] : null,
                c.redacted > 0 ? ["blotted out", `${plural(c.redacted, "place")}, on the device, before anything left it`] : null,
            ]} />
        </>
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
                                <Icon name={icon} /><span class="wrap">{file.path}</span><span class="muted small">{word}, {bytes(file.length)}{file.redacted > 0 && `, ${plural(file.redacted, "place")} blotted out`}{file.complete === false && ", not whole"}</span>
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
