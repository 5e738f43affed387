// Tell a web address what happens; its secret is seen this once. Or tell it nothing more.
import { useState } from "preact/hooks";
import { api, at } from "../api.js";
import { go } from "../router.js";
import { say } from "../status.js";
import { NAME, plural, shell } from "../words.js";
import { CopyButton } from "../parts/command.jsx";
import { Dialog, Field, FormDialog } from "../parts/dialog.jsx";
import { useWeight } from "../parts/weight.jsx";

export const HOOK_EVENTS = [["alarm", "Alarms: overdue, lost, revert failed"], ["rollout", "Rollouts: held, completed, aborted, rolled back"], ["campaign", "Campaigns: a run or the campaign is over"]];
export const hookHref = (name) => `/settings/hooks/${encodeURIComponent(name)}`;

export function NewHookDialog({ close, done }) {
    const [made, setMade] = useState(null);
    const [f, setFields] = useState({ name: "", url: "", events: ["alarm"], secret: "" });
    const put = (key) => (e) => setFields({ ...f, [key]: e.currentTarget.value.trim() });
    const toggle = (one) => setFields({ ...f, events: f.events.includes(one) ? f.events.filter((other) => other !== one) : [...f.events, one] });
    if (made) return <Secret made={made} close={() => { close(); go(hookHref(made.name)); }} />;

    const bad = {
        name: f.name && !NAME.test(f.name) ? "Small letters, digits, dot, dash, underscore; at most 64." : null,
        url: f.url && !/^https?:\/\/[^/\s]+/.test(f.url) ? "An address that begins with https: (or http: on this machine)." : null,
        secret: f.secret && f.secret.length < 16 ? "At least 16 characters." : null,
    };
    const why = (!f.name ? "Give a name." : !f.url ? "Give an address." : null) ?? Object.values(bad).find(Boolean) ?? (f.events.length ? null : "Choose at least one kind of event.");
    async function submit() {
        setMade(await api.post("/hooks", { name: f.name, url: f.url, events: f.events, ...(f.secret && { secret: f.secret }) }));
        done();
    }
    return (
        <FormDialog title="New web hook" close={close} submit={submit} verb="Make the hook" why={why}
            command={`locum hook create ${shell(f.name || "NAME")} --to ${shell(f.url || "URL")}${f.events.map((one) => ` --event ${one}`).join("")}`}>
            <Field label="Name" value={f.name} autocomplete="off" bad={bad.name} onInput={put("name")} />
            <Field label="Address" type="url" value={f.url} autocomplete="off" placeholder="https://HOST/PATH" bad={bad.url} help="It is sent a POST with JSON, again and again until it answers 2xx." onInput={put("url")} />
            <div class="choices column" role="group" aria-label="What it is told">
                {HOOK_EVENTS.map(([key, words]) => <label key={key} class="check"><input type="checkbox" checked={f.events.includes(key)} onChange={() => toggle(key)} />{words}</label>)}
            </div>
            <Field label="Secret (optional)" value={f.secret} autocomplete="off" spellcheck={false} maxlength="128" bad={bad.secret} help="Signs what is sent. Empty: one is made and shown once." onInput={put("secret")} />
        </FormDialog>
    );
}

function Secret({ made, close }) {
    return (
        <Dialog title={`Secret of ${made.name}`} close={close}>
            <div class="dialog-body">
                <p><strong>It is shown this once.</strong> Give it to the receiver, which checks the header <code>Locum-Signature</code> with it.</p>
                <div class="command"><div class="command-line"><code class="wrap">{made.secret}</code><CopyButton text={made.secret} of="the secret" /></div></div>
            </div>
            <div class="dialog-foot"><button type="button" class="primary" onClick={close}>I have it</button></div>
        </Dialog>
    );
}

export function DeleteHookDialog({ hook, close, ending }) {
    const weight = useWeight({ name: hook.name, destroys: true, silent: true });
    async function submit() {
        await ending(() => api.remove(at`/hooks/${hook.name}`));
        say(`Hook ${hook.name} deleted.`);
        close();
        go("/settings/hooks", { replace: true });
    }
    return (
        <FormDialog title={`Delete hook ${hook.name}`} close={close} submit={submit} danger verb={`Delete ${hook.name}`} why={weight.why} command={`locum hook delete ${shell(hook.name)}`}>
            <p>{hook.url} is told nothing more{hook.waiting > 0 && `, nor the ${plural(hook.waiting, "event")} that still ${hook.waiting === 1 ? "waits" : "wait"} for it`}. Its log goes with it.</p>
            {weight.fields}
        </FormDialog>
    );
}
