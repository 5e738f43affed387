// One product: its assets, its devices, and the rules that its releases and campaigns follow.
import { useState } from "preact/hooks";
import { api, at, query } from "../api.js";
import { useResource, wants } from "../resource.js";
import { whyNot } from "../session.js";
import { say } from "../status.js";
import { plural, shell } from "../words.js";
import { Action } from "../parts/button.jsx";
import { Command } from "../parts/command.jsx";
import { Field, FormError } from "../parts/dialog.jsx";
import { Loaded, Page, Section } from "../parts/page.jsx";

export const productHref = (name) => `/products/${encodeURIComponent(name)}`;

const RULES = [
    { key: "release.proven_on", label: "Devices that must run a version before it is released", help: "0: none. A version counts on a device once its app has adopted it.", number: true },
    { key: "markers", label: "Programs must name their own product, asset and version", help: "By the macro of locum_marker.h. Required: publishing refuses a program without it.", choices: [["optional", "optional: shown as unmarked"], ["required", "required"]] },
    { key: "approval", label: "Campaigns need the approval of", help: "With two people nobody approves their own. Only an administrator changes this.", choices: [["one", "nobody else"], ["two", "a second person"]], role: "admin" },
    { key: "capture.keep_days", label: "Days that captures are kept", help: "0: for ever.", number: true },
];

export function Product({ name }) {
    const product = useResource(at`/products/${name}`, wants.assets);
    const p = product.data;
    return (
        <Page title={name} crumbs={[["Assets", "/assets"]]} lead={p && <span class="muted">a product: <a href={"/assets" + query({ filter: name })}>{plural(p.assets, "asset")}</a>, <a href={"/devices" + query({ filter: `product:${name}` })}>{plural(p.devices, "device")}</a></span>}>
            <Loaded of={product} what={`the product ${name}`} rows={4}>{(p) => <Section title="Rules" id="rules"><Rules product={p} reload={product.reload} /></Section>}</Loaded>
        </Page>
    );
}

function Rules({ product, reload }) {
    const [mine, setMine] = useState({});
    const [error, setError] = useState(null);
    const [busy, setBusy] = useState(false);
    const value = (key) => String(mine[key] ?? product.settings[key]);
    const changed = RULES.filter((rule) => value(rule.key) !== String(product.settings[rule.key]));
    const bad = (rule) => (rule.number && !/^\d{1,5}$/.test(value(rule.key)) ? "A whole number from 0." : null);
    const why = whyNot("release") ?? changed.map((rule) => whyNot(rule.role ?? "release") ?? bad(rule)).find(Boolean) ?? (changed.length ? null : "Nothing is changed.");
    async function save(event) {
        event.preventDefault();
        if (why || busy) return;
        setBusy(true);
        setError(null);
        try {
            await api.patch(at`/products/${product.name}`, { settings: Object.fromEntries(changed.map((rule) => [rule.key, rule.number ? Number(value(rule.key)) : value(rule.key)])) });
            say(`Rules of ${product.name} saved.`);
            setMine({});
            reload();
        } catch (cause) {
            setError(cause);
        }
        setBusy(false);
    }
    const set = (key) => (e) => setMine({ ...mine, [key]: e.currentTarget.value.trim() });
    return (
        <form class="narrow" onSubmit={save} noValidate>
            {RULES.map((rule) => rule.number
                ? <Field key={rule.key} label={rule.label} help={rule.help} inputmode="numeric" autocomplete="off" value={value(rule.key)} bad={bad(rule)} onInput={set(rule.key)} />
                : (
                    <Field key={rule.key} label={rule.label} help={rule.help}>
                        {(id, described) => <select id={id} aria-describedby={described} value={value(rule.key)} disabled={!!whyNot(rule.role ?? "release")} onChange={set(rule.key)}>{rule.choices.map(([key, text]) => <option key={key} value={key}>{text}</option>)}</select>}
                    </Field>
                ))}
            <FormError error={error} />
            <Action type="submit" primary why={why} saidBy="rules-why" busy={busy}>Save rules</Action>
            {why && <p class="why-line muted" id="rules-why">{why}</p>}
            <Command label="the same on a command line" text={`locum product set ${shell(product.name)} ${(changed.length ? changed : RULES.slice(0, 1)).map((rule) => shell(`${rule.key}=${value(rule.key)}`)).join(" ")}`} />
        </form>
    );
}
