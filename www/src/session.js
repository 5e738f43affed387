// Who is signed in, and what their role allows. `session` is undefined until the server has answered, null when nobody is.
import { effect, signal } from "@preact/signals";
import { api, unauthorised } from "./api.js";

export const session = signal(undefined);
/* True once somebody has been signed in on this page: the sign-in then comes over the page, which keeps its state. */
export const wasSignedIn = signal(false);

effect(() => {
    if (unauthorised.value) session.value = null;
});

export async function loadSession() {
    try {
        signedIn(await api.get("/session"));
    } catch (error) {
        if (error.status !== 401) throw error;
        session.value = null;
    }
}

export function signedIn(answer) {
    session.value = answer;
    wasSignedIn.value = true;
}

/* The page goes first, so that nothing of it asks without a session; it comes back when the server could not be told. */
export async function signOut() {
    const before = session.value;
    wasSignedIn.value = false;
    session.value = null;
    try {
        await api.remove("/session");
    } catch (error) {
        signedIn(before);
        throw error;
    }
}

const ROLES = [
    ["viewer", "viewer"],
    ["support", "support"],
    ["release", "release manager"],
    ["admin", "administrator"],
];
const rank = (role) => ROLES.findIndex(([name]) => name[0] === role?.[0]);

export const roleWord = (role) => ROLES[rank(role)]?.[1] ?? role;

/* Null when the signed-in operator's role includes `role`, else the sentence why not. */
export function whyNot(role) {
    const mine = session.value?.operator?.role;
    if (!mine || rank(mine) >= rank(role)) return null;
    return `Needs the role ${roleWord(role)}; yours is ${roleWord(mine)}. An administrator can change it.`;
}
