// One group: who is in it and what is released to it.
import { useState } from "preact/hooks";
import { at, query } from "../api.js";
import { useResource, wants } from "../resource.js";
import { go } from "../router.js";
import { whyNot } from "../session.js";
import { number, plural, shell } from "../words.js";
import { Action } from "../parts/button.jsx";
import { Command } from "../parts/command.jsx";
import { Facts, Loaded, Nothing, Page, Section } from "../parts/page.jsx";
import { Table } from "../parts/table.jsx";
import { Time } from "../parts/time.jsx";
import { DeleteGroupDialog, GroupDialog } from "../dialogs/group.jsx";
import { EndReleaseDialog } from "../dialogs/release.jsx";
import { assetHref } from "./assets.jsx";

export function Group({ name }) {
    const group = useResource(at`/groups/${name}`, wants.groups);
    const [open, setOpen] = useState(null);
    const [ending, setEnding] = useState(null);
    const g = group.data;
    const support = whyNot("support");
    const columns = [
        { key: "asset", title: "Asset", main: true, cell: (r) => <a href={assetHref(r.product, r.asset)}><span class="muted">{r.product}/</span>{r.asset}</a> },
        { key: "version", title: "Version", cell: (r) => <code>{r.version}</code> },
        { key: "do", title: "Actions", cell: (r) => <Action why={whyNot("release")} onClick={() => setEnding(r)}>End release…<span class="sr"> of {r.asset}</span></Action> },
    ];
    return (
        <Page title={name} crumbs={[["Groups", "/groups"]]} lead={g && <span class="live-value">{plural(g.devices, "device")}, <span class="muted">{g.filter === null ? "fixed, chosen by name" : "by filter: they come and go by themselves"}</span></span>}
            actions={g && <>
                <a class="button" href={"/rollouts/new" + query({ group: name })}>New rollout</a>
                <Action why={support} onClick={() => setOpen("change")}>Change…</Action>
                <Action danger why={support} onClick={() => setOpen("delete")}>Delete…</Action>
            </>}>
            <Loaded of={group} what={`the group ${name}`} rows={5}>
                {(g) => (
                    <>
                        <Facts rows={[
                            g.filter !== null && ["filter", <code>{g.filter}</code>],
                            ["made", <><Time at={g.created_at} both /> by {g.created_by}</>],
                        ]} />
                        <Section title="Released to this group" id="releases">
                            {g.releases.length ? <Table label="Releases" columns={columns} rows={g.releases} id={(r) => r.product + r.asset} sorted={false} />
                                : <p class="muted">Nothing: its devices run what is released for their product. Release a version to it from the version's asset page.</p>}
                        </Section>
                        <Section title="Devices" id="members" actions={<a class="button" href={"/devices" + query({ filter: `group:${name}` })}>Show in the fleet</a>}>
                            {g.members.length ? (
                                <>
                                    <ul class="names">{g.members.map((one) => <li key={one}><a href={`/devices/${encodeURIComponent(one)}`}>{one}</a></li>)}</ul>
                                    {g.devices > g.members.length && <p class="muted">{number(g.members.length)} of {number(g.devices)} shown.</p>}
                                </>
                            ) : <Nothing>{g.filter === null ? "Its devices are all gone." : "No device matches its filter now."}</Nothing>}
                        </Section>
                        <Command text={`locum group show ${shell(name)} --json`} label="the same on a command line" />
                    </>
                )}
            </Loaded>
            {open === "change" && g && <GroupDialog of={g} close={() => setOpen(null)} done={group.reload} />}
            {open === "delete" && g && <DeleteGroupDialog group={g} close={() => setOpen(null)} ending={group.ending} done={() => go("/groups", { replace: true })} />}
            {ending && <EndReleaseDialog product={ending.product} asset={ending.asset} group={name} close={() => setEnding(null)} done={group.reload} />}
        </Page>
    );
}
