// Plain paths: what is shown follows the address, and the address is changed only here.
import { computed, effect, signal } from "@preact/signals";

const address = signal(location.pathname + location.search);

export const path = computed(() => new URL(address.value, location.origin).pathname);
export const params = computed(() => new URL(address.value, location.origin).searchParams);

export function go(to, { replace = false } = {}) {
    if (to === address.peek()) return;
    const samePage = new URL(to, location.origin).pathname === path.peek();
    history[replace ? "replaceState" : "pushState"](null, "", to);
    address.value = to;
    if (!samePage) scrollTo(0, 0);
}

/* Changes members of the query string in place: null removes one. */
export function setParams(changes, { replace = true } = {}) {
    const url = new URL(address.peek(), location.origin);
    for (const [name, value] of Object.entries(changes)) {
        url.searchParams.delete(name);
        for (const one of [value].flat()) if (one !== null && one !== "") url.searchParams.append(name, one);
    }
    go(url.pathname + url.search, { replace });
}

/* Finds the first row of [pattern, …] that fits; `:name` takes one segment. Returns { row, args } or null. */
export function match(rows, pathname) {
    const parts = pathname.split("/").filter(Boolean);
    for (const row of rows) {
        const pattern = row[0].split("/").filter(Boolean);
        if (pattern.length !== parts.length) continue;
        const args = {};
        const fits = pattern.every((want, i) => {
            if (!want.startsWith(":")) return want === parts[i];
            try {
                args[want.slice(1)] = decodeURIComponent(parts[i]);
                return true;
            } catch {
                return false;
            }
        });
        if (fits) return { row, args };
    }
    return null;
}

/* Our own links change the page without loading it again; downloads, new tabs and foreign addresses are the browser's. */
function clicked(event) {
    const link = event.target.closest?.("a[href]");
    if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
        return;
    const url = new URL(link.href);
    if (url.origin !== location.origin || link.target || link.hasAttribute("download")) return;
    if (url.hash || url.pathname.startsWith("/api/")) return;
    event.preventDefault();
    go(url.pathname + url.search);
}

export function startRouter() {
    addEventListener("popstate", () => (address.value = location.pathname + location.search));
    document.addEventListener("click", clicked);
    /* A new page is announced by moving the focus to its heading; the first one is announced by the browser. */
    let before = path.peek();
    effect(() => {
        const now = path.value;
        if (now !== before) focusHeading();
        before = now;
    });
}

/* The heading may be drawn a little later, when the page's chunk has come. */
function focusHeading(tries = 20) {
    requestAnimationFrame(() => {
        const heading = document.querySelector("main h1");
        if (heading) heading.focus({ preventScroll: true });
        else if (tries) focusHeading(tries - 1);
    });
}
