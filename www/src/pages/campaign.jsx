// One campaign: what it is, when it comes next, its runs, and what a person may do to it.
import { useState } from "preact/hooks";
import { at } from "../api.js";
import { settingsWords } from "../campaign_words.jsx";
import { imageHref } from "../limits.js";
import { collectWords, list, modeSentence } from "../image_words.js";
import { useResource, wants } from "../resource.js";
import { number, plural } from "../words.js";
import { Occurrences } from "../parts/occurrences.jsx";
import { Facts, Loaded, Note, Page, Section } from "../parts/page.jsx";
import { State, StateBar } from "../parts/state.jsx";
import { Table } from "../parts/table.jsx";
import { Left, Time } from "../parts/time.jsx";
import { stateName } from "./campaigns.jsx";
import { CampaignActions, CampaignDialog } from "../dialogs/campaign.jsx";

const runs = (c) => [
    { key: "n", title: "Run", main: true, cell: (r) => <a href={`/campaigns/${c.id}/runs/${r.number}`}>Run {r.number}</a> },
    { key: "state", title: "State", cell: (r) => <><State name={r.state} />{r.starts_at && r.state === "scheduled" && <span class="small muted"> <Time at={r.starts_at} /></span>}</> },
    { key: "counts", title: "Devices", wide: true, cell: (r) => <StateBar counts={r.counts ?? {}} /> },
];

export function Campaign({ id }) {
    const campaign = useResource(at`/campaigns/${id}`, wants.campaigns);
    const [open, setOpen] = useState(null);
    const c = campaign.data;
    return (
        <Page title={`Campaign ${id}`} crumbs={[["Campaigns", "/campaigns"]]}
            lead={c && <><State name={stateName(c)} /> <span class="muted">{c.image.asset} {c.image.version}, {plural(c.devices, "device")}{c.next_at && c.state !== "ended" && <> · next <Left at={c.next_at} before="in " /></>}</span></>}
            actions={c && <CampaignActions campaign={c} open={setOpen} />}>
            <Loaded of={campaign} what={`campaign ${id}`} rows={4}>
                {(c) => (
                    <>
                        <CampaignNotes campaign={c} />
                        <div class="run-bar live-value"><StateBar counts={c.counts ?? {}} /></div>
                        <div class="columns">
                            <Section title="What it is" id="what"><CampaignFacts campaign={c} /></Section>
                            {c.state !== "ended" && c.occurrences?.length > 0 && <Section title="Next times" id="next"><Occurrences rows={c.occurrences} /></Section>}
                        </div>
                        <Section title="Runs" id="runs">{c.runs.length ? <Table label="Runs" columns={runs(c)} rows={c.runs} id={(r) => r.number} sorted={false} /> : <p class="muted">No run yet.</p>}</Section>
                    </>
                )}
            </Loaded>
            {open && c && <CampaignDialog campaign={c} name={open} close={() => setOpen(null)} done={campaign.reload} />}
        </Page>
    );
}

/* What stops it, if anything. */
export function CampaignNotes({ campaign: c }) {
    return (
        <>
            {c.approval && !c.approval.by && c.state !== "ended" && <Note tone="attention" icon="shield"><p><strong>Waits for approval.</strong> {c.created_by} made it; another person must approve it before any device begins.</p></Note>}
            {c.state === "paused" && <Note tone="attention" icon="pause"><p><strong>Paused.</strong> {c.state_reason?.text ?? "No other device begins until it is resumed."}</p></Note>}
        </>
    );
}

export function CampaignFacts({ campaign: c }) {
    return (
        <Facts rows={[
            ["image", <a href={imageHref(c.image.product, c.image.asset)}>{c.image.product}/{c.image.asset} {c.image.version}</a>],
            c.mode ? ["mode", modeSentence(c.mode)] : null,
            ["devices", c.filter ? <><code>{c.filter}</code>: {number(c.devices)} at the start</> : plural(c.devices, "device")],
            ...settingsWords(c),
            c.collect ? ["it reads", c.collect.length ? list(c.collect.map(collectWords)) : "nothing of the device"] : null,
            c.approval?.by ? ["approved", `by ${c.approval.by}`] : null,
            ["created", <><Time at={c.created_at} both /> by {c.created_by}</>],
            c.ticket ? ["ticket", c.ticket] : null,
            c.reason ? ["reason", c.reason] : null,
        ]} />
    );
}
