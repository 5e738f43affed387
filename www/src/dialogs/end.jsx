// Ends a campaign: says what happens to devices that have not begun, are in it, or have finished, counted now.
import { api, at } from "../api.js";
import { useResource, wants } from "../resource.js";
import { whyNot } from "../session.js";
import { say } from "../status.js";
import { phases } from "../states.js";
import { number, plural } from "../words.js";
import { Action } from "../parts/button.jsx";
import { FormDialog } from "../parts/dialog.jsx";

export function EndAction({ campaign, onClick }) {
    return <Action icon="stop" why={whyNot("support") ?? (campaign.state === "ended" ? "It has ended." : null)} onClick={onClick}>End campaign…</Action>;
}

export function EndDialog({ campaign, close, done }) {
    const fresh = useResource(at`/campaigns/${campaign.id}`, wants.campaigns);
    const now = fresh.data ?? campaign;
    const counts = phases(now.counts ?? {});
    const left = counts.not_begun + counts.in_progress;
    async function submit() {
        await api.post(at`/campaigns/${campaign.id}/end`);
        say(`Campaign ${campaign.id} ends.`);
        done?.();
        close();
    }
    return (
        <FormDialog title={`End campaign ${campaign.id}`} close={close} submit={submit} danger verb={`End for ${plural(left, "device")}`} why={now.state === "ended" ? "It has ended by itself." : null} command={`locum campaign end ${campaign.id}`}>
            <dl class="phases">
                <div><dt>not begun</dt><dd><strong>{number(counts.not_begun)}</strong> {counts.not_begun === 1 ? "is" : "are"} cancelled; nothing happens to {counts.not_begun === 1 ? "it" : "them"}</dd></div>
                <div><dt>in progress</dt><dd><strong>{number(counts.in_progress)}</strong> {counts.in_progress === 1 ? "returns" : "return"} to {counts.in_progress === 1 ? "its" : "their"} app now and send what was collected</dd></div>
                <div><dt>finished</dt><dd><strong>{number(counts.finished)}</strong> {counts.finished === 1 ? "stays" : "stay"} as {counts.finished === 1 ? "it is" : "they are"}, with {counts.finished === 1 ? "its" : "their"} captures</dd></div>
            </dl>
        </FormDialog>
    );
}
