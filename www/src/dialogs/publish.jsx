// Publish a version: files first, sent while the rest is filled in, then one atomic act.
import { useEffect, useState } from "preact/hooks";
import { api, at } from "../api.js";
import { go } from "../router.js";
import { say } from "../status.js";
import { NAME, SEMVER, nextVersion, plural, shell } from "../words.js";
import { uploadSet } from "../upload.js";
import { DropBox, FileList } from "../parts/drop.jsx";
import { Field, FormDialog } from "../parts/dialog.jsx";

export const KINDS = [
    ["app", "the program that the device is for"],
    ["module", "a part of the app"],
    ["model", "a machine-learning model"],
    ["data", "files that the app reads"],
    ["config", "settings of the app"],
    ["bootloader", "a bootloader"],
    ["mcu", "firmware of a microcontroller"],
    ["diagnostic", "a temporary diagnostic image"],
];
const ACTIVATIONS = [
    ["notify", "the app is told and goes on running"],
    ["restart", "the app is stopped and started"],
];
const defaultActivation = (kind) => (kind === "app" || kind === "module" ? "restart" : "notify");

/* `of`: the asset that gets a new version; without it the dialog asks for product and name. */
export function PublishDialog({ of = null, products = [], close, done }) {
    const [set] = useState(uploadSet);
    useEffect(() => () => set.end(), []);
    const [product, setProduct] = useState(of?.product ?? products[0]?.name ?? "");
    const [asset, setAsset] = useState(of?.name ?? "");
    const [version, setVersion] = useState(of ? nextVersion(of.newest) : "1.0.0");
    const [kind, setKind] = useState(of?.kind ?? "model");
    const [activation, setActivation] = useState(of?.activation ?? null);
    const [title, setTitle] = useState("");
    const [notes, setNotes] = useState("");
    const files = set.files.value;
    const name = (value, what) => (value && !NAME.test(value) ? `${what}: small letters, digits, dot, dash, underscore; at most 64.` : null);
    const badVersion = version && !SEMVER.test(version) ? "A semantic version, for example 1.2.0 or 1.3.0-rc.1." : null;
    const unfinished = files.filter((one) => one.state !== "sent");
    const failed = files.filter((one) => one.state === "failed");
    const needsLimits = kind === "diagnostic" && files.length > 0 && !files.some((one) => one.path === "diagnostic.json");
    const why =
        !product || !asset ? "Say which product and asset." : (name(product, "Product") ?? name(asset, "Asset"))
        ?? (!version ? "Give a version." : badVersion)
        ?? (!files.length ? "Add the files of this version." : null)
        ?? (needsLimits ? "A diagnostic image needs a file diagnostic.json with its limits." : null)
        ?? (failed.length ? `${plural(failed.length, "file")} could not be sent.` : null)
        ?? (unfinished.length ? `${plural(unfinished.length, "file")} still on the way.` : null);
    const act = activation ?? defaultActivation(kind);
    const command = [
        `locum asset publish ${shell(`${product || "PRODUCT"}/${asset || "ASSET"}`)} --version ${shell(version || "V")}`,
        `--kind ${kind}`,
        act !== defaultActivation(kind) && `--activation ${act}`,
        title && `--title ${shell(title)}`,
        notes && `--notes ${shell(notes)}`,
        files.length === 0 ? "PATH…" : files.length > 3 || files.some((one) => one.path.includes("/")) ? "FOLDER" : files.map((one) => shell(one.path)).join(" "),
    ].filter(Boolean).join(" ");

    async function submit() {
        const answer = await api.post(at`/assets/${product}/${asset}/versions`, {
            version, kind, activation: act,
            ...(title && { title }), ...(notes && { notes }),
            files: files.map((one) => ({ path: one.path, mode: one.program ? 0o755 : 0o644, length: one.size, sha256: one.sha256 })),
        });
        const to = `/assets/${encodeURIComponent(product)}/${encodeURIComponent(asset)}`;
        say(answer.already ? `${asset} ${version} was there already, byte for byte.` : `Published ${asset} ${version}.`, { to, link: "Show it" });
        close();
        done?.();
        go(to);
    }

    return (
        <FormDialog title={of ? `Publish a version of ${of.name}` : "Publish an asset"} close={close} submit={submit} wide verb={`Publish ${asset || "asset"} ${version}`} why={why} command={command}>
            <DropBox set={set} />
            <FileList set={set} />
            {!of && (
                <div class="fields">
                    <Field label="Product" value={product} list="publish-products" autocomplete="off" bad={name(product, "Product")} onInput={(e) => setProduct(e.currentTarget.value.trim())} />
                    <datalist id="publish-products">{products.map((one) => <option key={one.name} value={one.name} />)}</datalist>
                    <Field label="Asset" value={asset} autocomplete="off" bad={name(asset, "Asset")} onInput={(e) => setAsset(e.currentTarget.value.trim())} />
                </div>
            )}
            <div class="fields">
                <Field label="Version" value={version} autocomplete="off" bad={badVersion} help={of?.newest && `Newest now: ${of.newest}`} onInput={(e) => setVersion(e.currentTarget.value.trim())} />
                <Field label="Kind" help={of ? "An asset keeps its kind." : KINDS.find(([value]) => value === kind)[1]}>
                    {(id, described) => (
                        <select id={id} aria-describedby={described} value={kind} disabled={!!of} onChange={(e) => setKind(e.currentTarget.value)}>
                            {KINDS.map(([value]) => <option key={value} value={value}>{value}</option>)}
                        </select>
                    )}
                </Field>
                <Field label="When it arrives" help={ACTIVATIONS.find(([value]) => value === act)[1]}>
                    {(id, described) => (
                        <select id={id} aria-describedby={described} value={act} onChange={(e) => setActivation(e.currentTarget.value)}>
                            {ACTIVATIONS.map(([value]) => <option key={value} value={value}>{value}</option>)}
                        </select>
                    )}
                </Field>
            </div>
            <Field label="Title (optional)" value={title} autocomplete="off" onInput={(e) => setTitle(e.currentTarget.value)} />
            <Field label="Notes (optional)" help="What changed; kept in the git history.">
                {(id, described) => <textarea id={id} aria-describedby={described} rows="3" value={notes} onInput={(e) => setNotes(e.currentTarget.value)} />}
            </Field>
        </FormDialog>
    );
}
