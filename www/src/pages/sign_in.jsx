// Sign-in: alone at /login, or over the page when a session ended, so that what was typed there is kept.
import { useEffect, useState } from "preact/hooks";
import { api } from "../api.js";
import { go, params, path } from "../router.js";
import { session, signedIn } from "../session.js";
import { Dialog, Field, FormError } from "../parts/dialog.jsx";
import { Logo } from "../parts/icon.jsx";
import { Command } from "../parts/command.jsx";

function SignInForm({ done, name: known }) {
    const [name, setName] = useState(known ?? "");
    const [password, setPassword] = useState("");
    const [error, setError] = useState(null);
    const [busy, setBusy] = useState(false);
    async function submit(event) {
        event.preventDefault();
        if (busy) return;
        setBusy(true);
        setError(null);
        try {
            const answer = await api.post("/session", { name, password });
            setPassword("");
            signedIn(answer);
            done?.();
        } catch (cause) {
            setError(cause.status === 401 ? { message: "The name or the password is wrong." } : cause);
        }
        setBusy(false);
    }
    return (
        <form onSubmit={submit} class="sign-in-form">
            <Field label="Name" autocomplete="username" autocapitalize="none" spellcheck={false} required value={name} onInput={(e) => setName(e.currentTarget.value)} />
            <Field label="Password" type="password" autocomplete="current-password" required value={password} onInput={(e) => setPassword(e.currentTarget.value)} />
            <FormError error={error} />
            <button class="primary" type="submit" aria-disabled={busy ? "true" : undefined}>{busy ? "Signing in…" : "Sign in"}</button>
        </form>
    );
}

export function Brand() {
    return <p class="brand big"><Logo size={28} />Locum</p>;
}

export function SignIn() {
    const [needed, setNeeded] = useState(null);
    useEffect(() => {
        document.title = "Sign in · Locum";
        api.get("/setup").then((answer) => setNeeded(answer.needed), () => setNeeded(false));
    }, []);
    const next = params.value.get("next");
    const leave = () => path.peek() === "/login" && go(next?.startsWith("/") && !next.startsWith("//") ? next : "/", { replace: true });
    useEffect(() => {
        if (session.value) leave();
    }, [session.value]);
    if (needed)
        return (
            <div class="card">
                <Brand />
                <h1 tabindex="-1">This console is not set up yet</h1>
                <p>Open the one-time set-up link that the server printed when it first started. It looks like this:</p>
                <pre class="box">{location.origin}/setup#…</pre>
                <p>Or start the server unattended with a password file; the operator is then called <code>admin</code>:</p>
                <Command text="locum serve --data DIR --admin-password-file FILE" />
            </div>
        );
    return (
        <div class="card">
            <Brand />
            <h1 tabindex="-1">Sign in</h1>
            <SignInForm done={leave} />
        </div>
    );
}

export function SignInOver() {
    return (
        <Dialog title="Your session has ended" close={() => go("/login?next=" + encodeURIComponent(path.peek()))}>
            <div class="dialog-body">
                <p>Sign in again to go on. What is on the page stays as it is.</p>
                <SignInForm />
            </div>
        </Dialog>
    );
}
