import { useState } from "preact/hooks";
import { api } from "../api.js";
import { say } from "../status.js";
import { Field, FormDialog } from "../parts/dialog.jsx";

export const PASSWORD_LEAST = 10;

export function PasswordDialog({ close }) {
    const [old, setOld] = useState("");
    const [next, setNext] = useState("");
    const short = next && next.length < PASSWORD_LEAST ? `At least ${PASSWORD_LEAST} characters.` : null;
    async function submit() {
        await api.post("/session/password", { old, new: next });
        say("Password changed.");
        close();
    }
    return (
        <FormDialog title="Change password" close={close} submit={submit} verb="Change password" why={!old || !next ? "Fill in both fields." : short}>
            <Field label="Present password" type="password" autocomplete="current-password" value={old} onInput={(e) => setOld(e.currentTarget.value)} />
            <Field label="New password" type="password" autocomplete="new-password" value={next} bad={short} onInput={(e) => setNext(e.currentTarget.value)} />
        </FormDialog>
    );
}
