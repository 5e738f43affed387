// What a person does to a whole campaign: says what happens to devices that have not begun, are in it, or have finished, counted now.
import { api, at } from "../api.js";
import { useResource, wants } from "../resource.js";
import { session, whyNot } from "../session.js";
import { say } from "../status.js";
import { phases } from "../states.js";
import { plural, shell } from "../words.js";
import { Action } from "../parts/button.jsx";
import { FormDialog } from "../parts/dialog.jsx";
import { Phases, useWeight } from "../parts/weight.jsx";

const stay = (one) => (one ? "stays as it is, with its capture" : "stay as they are, with their captures");
const goOn = (one) => (one ? "goes on and returns by itself" : "go on and return by themselves");

/* Per action: its words, whether a reason is kept, what it does to each phase, whom it counts, and why it cannot be done now. */
const ACTS = {
    approve: {
        title: "Approve", verb: "Approve for", icon: "check", past: "approved", counts: ["not_begun"],
        says: { not_begun: (one) => `may begin at ${one ? "its" : "their"} time`, in_progress: goOn, finished: stay },
        why: (c) => (!c.approval ? "It needs no approval." : c.approval.by ? `${c.approval.by} has approved it.` : c.created_by === session.value?.operator?.name ? "You made it: another person must approve it." : null),
    },
    pause: {
        reason: true, title: "Pause", verb: "Pause for", icon: "pause", past: "is paused", counts: ["not_begun"],
        says: { not_begun: (one) => `${one ? "waits" : "wait"} until it is resumed`, in_progress: goOn, finished: stay },
        why: (c) => (c.state === "paused" ? "It is paused already." : ["scheduled", "active"].includes(c.state) ? null : c.state === "draft" ? "It waits for approval." : `It has ${c.state}.`),
    },
    resume: {
        reason: true, title: "Resume", verb: "Resume for", icon: "play", past: "goes on", counts: ["not_begun"],
        says: { not_begun: (one) => `${one ? "begins" : "begin"} when ${one ? "its" : "their"} time and place come`, in_progress: goOn, finished: stay },
        why: (c) => (c.state === "paused" ? null : "It is not paused."),
    },
    end: {
        title: "End", verb: "End for", icon: "stop", past: "ends", danger: true, counts: ["not_begun", "in_progress"],
        says: {
            not_begun: (one) => (one ? "is cancelled; nothing happens to it" : "are cancelled; nothing happens to them"),
            in_progress: (one) => (one ? "returns to its app now and sends what was collected" : "return to their app now and send what was collected"), finished: stay,
        },
        why: (c) => (c.state === "ended" ? "It has ended." : null),
    },
};

export function CampaignActions({ campaign: c, open }) {
    const shown = [...(c.approval && !c.approval.by ? ["approve"] : []), c.state === "paused" ? "resume" : "pause", "end"];
    return shown.map((name) => <Action key={name} icon={ACTS[name].icon} primary={name === "approve"} why={whyNot("support") ?? ACTS[name].why(c)} onClick={() => open(name)}>{ACTS[name].title} campaign…</Action>);
}

export function CampaignDialog({ campaign, name, close, done }) {
    const act = ACTS[name];
    const fresh = useResource(at`/campaigns/${campaign.id}`, wants.campaigns);
    const now = fresh.data ?? campaign;
    const counts = phases(now.counts ?? {});
    const touched = act.counts.reduce((sum, key) => sum + counts[key], 0);
    const weight = useWeight({ name: now.image.asset, count: touched, asks: act.reason, silent: !act.reason });
    async function submit() {
        await api.post(at`/campaigns/${campaign.id}/` + name, weight.reason ? { reason: weight.reason } : {});
        say(`Campaign ${campaign.id} ${act.past}.`);
        done?.();
        close();
    }
    return (
        <FormDialog title={`${act.title} campaign ${campaign.id}`} close={close} submit={submit} danger={act.danger} verb={`${act.verb} ${plural(touched, "device")}`} why={act.why(now) ?? weight.why}
            command={`locum campaign ${name} ${campaign.id}${weight.reason ? ` --reason ${shell(weight.reason)}` : ""}`}>
            <Phases rows={[["not begun", counts.not_begun, act.says.not_begun], ["in progress", counts.in_progress, act.says.in_progress], ["finished", counts.finished, act.says.finished]]} />
            {now.repeat && <p class="help">{name === "end" ? "There is no other run of it." : name === "pause" ? "Runs whose time comes meanwhile wait too." : "Later runs begin at their times."}</p>}
            {weight.fields}
        </FormDialog>
    );
}
