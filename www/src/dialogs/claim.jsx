// A claim code: one line to run on the new device, and the device appears here while the dialog is open.
import { useState } from "preact/hooks";
import { api } from "../api.js";
import { useResource, wants } from "../resource.js";
import { NAME, shell } from "../words.js";
import { Dialog, Field, FormDialog } from "../parts/dialog.jsx";
import { Command } from "../parts/command.jsx";
import { State } from "../parts/state.jsx";
import { Time } from "../parts/time.jsx";

export function ClaimDialog({ close }) {
    const products = useResource("/products");
    // The form comes with its first answer: a field must not change under the hand that types into it.
    if (!products.data && !products.error) return <Dialog title="Enrol a device" close={close}><div class="dialog-body"><p class="muted" role="status">{products.slow ? "Reading the products…" : ""}</p></div></Dialog>;
    return <ClaimForm products={products.data ?? []} close={close} />;
}

function ClaimForm({ products, close }) {
    const [product, setProduct] = useState(products[0]?.name ?? "");
    const [hardware, setHardware] = useState("");
    const [review, setReview] = useState(false);
    const [claim, setClaim] = useState(null);
    const [before, setBefore] = useState(null);
    if (claim) return <Claimed claim={claim} before={before} review={review} close={close} />;
    const bad = product && !NAME.test(product) ? "Small letters, digits, dot, dash, underscore; at most 64." : null;
    const badHardware = hardware && !NAME.test(hardware) ? "Small letters, digits, dot, dash, underscore; at most 64." : null;
    const command = `locum device claim --product ${shell(product || "PRODUCT")}${hardware ? ` --hardware ${shell(hardware)}` : ""}${review ? " --review" : ""}`;
    async function submit() {
        setBefore(new Set((await api.get(inProduct(product))).map((device) => device.name)));
        setClaim(await api.post("/claims", { product, review, ...(hardware && { hardware }) }));
    }
    return (
        <FormDialog title="Enrol a device" close={close} submit={submit} verb="Make a claim code" why={!product ? "Say which product the device belongs to." : bad ?? badHardware} command={command}>
            <p>A claim code lets one device in, once. It lapses after 24 hours.</p>
            <Field label="Product" help="The line of devices that it belongs to; a new name makes a new product." bad={bad} value={product} list="products" autocomplete="off" onInput={(e) => setProduct(e.currentTarget.value.trim())} />
            <datalist id="products">{products.map((one) => <option key={one.name} value={one.name} />)}</datalist>
            <Field label="Hardware revision (optional)" bad={badHardware} value={hardware} autocomplete="off" onInput={(e) => setHardware(e.currentTarget.value.trim())} />
            <label class="check"><input type="checkbox" checked={review} onChange={(e) => setReview(e.currentTarget.checked)} />Let a person accept the device after it has enrolled</label>
        </FormDialog>
    );
}

const inProduct = (product) => "/devices?limit=1000&filter=" + encodeURIComponent(`product:${product}`);

function Claimed({ claim, before, review, close }) {
    const devices = useResource(inProduct(claim.product), wants.devices);
    const fresh = (devices.data ?? []).filter((device) => !before.has(device.name));
    const command = `locum-agent enrol --server ${claim.server} --claim ${claim.code} --state /var/lib/locum`;
    return (
        <Dialog title="Run this on the device" close={close} wide>
            <div class="dialog-body">
                <p>This one line carries the address, the code, and the fingerprints by which the device knows this server. It works once, until <Time at={claim.expires_at} both />. The code is not shown again.</p>
                <Command text={command} label="on the device, as root" />
                <Command text="locum-agent run --state /var/lib/locum" label="then start the agent" />
                <p class="waiting" role="status">
                    {fresh.length === 0
                        ? <State name="waiting" word="Waiting for the device to enrol…" />
                        : fresh.map((d) => <span key={d.name}><State name={d.admission} word={review ? `${d.name} has enrolled and waits to be accepted` : `${d.name} has enrolled`} /> <a href={`/devices/${encodeURIComponent(d.name)}`} onClick={close}>Show {d.name}</a></span>)}
                </p>
            </div>
            <div class="dialog-foot"><button type="button" onClick={close}>Close</button></div>
        </Dialog>
    );
}
