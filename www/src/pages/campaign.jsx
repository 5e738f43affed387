// One campaign: what it is and its runs.
import { useState } from "preact/hooks";
import { at } from "../api.js";
import { useResource, wants } from "../resource.js";
import { duration, number, plural } from "../words.js";
import { Facts, Loaded, Page, Section } from "../parts/page.jsx";
import { State, StateBar } from "../parts/state.jsx";
import { Table } from "../parts/table.jsx";
import { Time } from "../parts/time.jsx";
import { assetHref } from "./assets.jsx";
import { EndAction, EndDialog } from "../dialogs/end.jsx";

export function Campaign({ id }) {
    const campaign = useResource(at`/campaigns/${id}`, wants.campaigns);
    const [ending, setEnding] = useState(false);
    const c = campaign.data;
    const runs = (c) => [
        { key: "n", title: "Run", main: true, cell: (r) => <a href={`/campaigns/${c.id}/runs/${r.number}`}>Run {r.number}</a> },
        { key: "state", title: "State", cell: (r) => <State name={r.state} /> },
        { key: "counts", title: "Devices", wide: true, cell: (r) => <StateBar counts={r.counts ?? {}} total={c.devices} /> },
    ];
    return (
        <Page title={`Campaign ${id}`} crumbs={[["Campaigns", "/campaigns"]]} lead={c && <><State name={c.state} /> <span class="muted">{c.image.asset} {c.image.version}, {plural(c.devices, "device")}</span></>}
            actions={c && <EndAction campaign={c} onClick={() => setEnding(true)} />}>
            <Loaded of={campaign} what={`campaign ${id}`} rows={4}>
                {(c) => (
                    <>
                        <CampaignFacts campaign={c} />
                        <Section title="Runs" id="runs"><Table label="Runs" columns={runs(c)} rows={c.runs} id={(r) => r.number} sorted={false} /></Section>
                    </>
                )}
            </Loaded>
            {ending && c && <EndDialog campaign={c} close={() => setEnding(false)} done={campaign.reload} />}
        </Page>
    );
}

export function CampaignFacts({ campaign: c }) {
    return (
        <Facts rows={[
            ["image", <a href={assetHref(c.image.product, c.image.asset)}>{c.image.product}/{c.image.asset} {c.image.version}</a>],
            ["devices", c.filter ? <><code>{c.filter}</code>: {number(c.devices)} at the start</> : plural(c.devices, "device")],
            ["duration", duration(c.duration_s)],
            ["at once", c.parallel ? number(c.parallel) : "all"],
            ["start", c.at ? <Time at={c.at} both /> : "at once"],
            ["created", <><Time at={c.created_at} both /> by {c.created_by}</>],
            c.ticket ? ["ticket", c.ticket] : null,
            c.reason ? ["reason", c.reason] : null,
        ]} />
    );
}
