// The first operator, with the one-time link that the server printed. The token stays in the fragment: it is sent to nobody but the form's target.
import { useEffect, useState } from "preact/hooks";
import { api } from "../api.js";
import { go } from "../router.js";
import { signedIn } from "../session.js";
import { Field, FormError } from "../parts/dialog.jsx";
import { PASSWORD_LEAST } from "../dialogs/password.jsx";
import { Brand } from "./sign_in.jsx";

export function Setup() {
    const [token, setToken] = useState(decodeURIComponent(location.hash.slice(1)));
    const [needed, setNeeded] = useState(null);
    const [name, setName] = useState("admin");
    const [password, setPassword] = useState("");
    const [again, setAgain] = useState("");
    const [error, setError] = useState(null);
    const [busy, setBusy] = useState(false);
    useEffect(() => {
        document.title = "Set up · Locum";
        api.get("/setup").then((answer) => setNeeded(answer.needed), setError);
    }, []);
    const short = password && password.length < PASSWORD_LEAST ? `At least ${PASSWORD_LEAST} characters.` : null;
    const differs = again && again !== password ? "The two passwords differ." : null;
    async function submit(event) {
        event.preventDefault();
        if (busy || short || differs || !password || again !== password) return;
        setBusy(true);
        setError(null);
        try {
            signedIn(await api.post("/setup", { token, name, password }));
            go("/", { replace: true });
        } catch (cause) {
            setError(cause);
        }
        setBusy(false);
    }
    if (needed === false)
        return (
            <div class="card">
                <Brand />
                <h1 tabindex="-1">Already set up</h1>
                <p>This console has its first operator; the set-up link works only once.</p>
                <p><a href="/login">Go to sign-in</a></p>
            </div>
        );
    return (
        <div class="card">
            <Brand />
            <h1 tabindex="-1">Set up this console</h1>
            <p>You become its administrator. Others are added later with roles of their own.</p>
            <form onSubmit={submit} class="sign-in-form">
                {!location.hash && <Field label="Set-up token" help="The part after # in the link that the server printed." value={token} onInput={(e) => setToken(e.currentTarget.value)} autocomplete="off" />}
                <Field label="Name" autocomplete="username" autocapitalize="none" required value={name} onInput={(e) => setName(e.currentTarget.value)} />
                <Field label="Password" type="password" autocomplete="new-password" required help={`At least ${PASSWORD_LEAST} characters; a few words are fine.`} bad={short} value={password} onInput={(e) => setPassword(e.currentTarget.value)} />
                <Field label="Password again" type="password" autocomplete="new-password" required bad={differs} value={again} onInput={(e) => setAgain(e.currentTarget.value)} />
                <FormError error={error} />
                <button class="primary" type="submit" aria-disabled={busy ? "true" : undefined}>{busy ? "Setting up…" : "Create the administrator"}</button>
            </form>
        </div>
    );
}
