// A new campaign: which image, which devices, how long; and in words what will happen, before anything is sent.
import { useState } from "preact/hooks";
import { api } from "../api.js";
import { go, params } from "../router.js";
import { useResource, wants } from "../resource.js";
import { whyNot } from "../session.js";
import { say } from "../status.js";
import { imageWords } from "../image_words.js";
import { absolute, duration, plural, shell, utc } from "../words.js";
import { Action } from "../parts/button.jsx";
import { Command } from "../parts/command.jsx";
import { DevicePicker, FilterPicker, usePreview } from "../parts/choose_devices.jsx";
import { Field, FormError } from "../parts/dialog.jsx";
import { Facts, Loaded, Note, Nothing, Page, Section } from "../parts/page.jsx";
import { Time } from "../parts/time.jsx";

const UNITS = [["s", 1, "seconds"], ["m", 60, "minutes"], ["h", 3600, "hours"]];

export function NewCampaign() {
    const images = useResource("/images", wants.assets);
    return (
        <Page title="New campaign" crumbs={[["Campaigns", "/campaigns"]]} lead="Sends a temporary diagnostic image to devices. Each of them returns to its app by itself.">
            <Loaded of={images} what="the diagnostic images" rows={6}>
                {(list) => list.length ? <Form images={list} /> : <Nothing action={<a class="button primary" href="/assets?publish=1">Publish an image</a>} command="locum asset publish demo/raw-counters --version 1.0.0 --kind diagnostic FOLDER">There is no diagnostic image yet. It is an asset of kind diagnostic: a folder with its programs and diagnostic.json.</Nothing>}
            </Loaded>
        </Page>
    );
}

/* The versions that an image can be sent in, newest first. */
const versionsOf = (image) => (Array.isArray(image?.versions) ? image.versions.map((v) => v.version ?? v) : image ? [image.newest] : []);

function Form({ images }) {
    const asked = /^([^/]+)\/([^@]+)(?:@(.+))?$/.exec(params.value.get("image") ?? "");
    const key = (image) => `${image.product}/${image.name}`;
    const [chosen, setChosen] = useState(asked && images.some((i) => key(i) === `${asked[1]}/${asked[2]}`) ? `${asked[1]}/${asked[2]}` : key(images[0]));
    const image = images.find((one) => key(one) === chosen) ?? images[0];
    const [version, setVersion] = useState(asked?.[3] ?? image.newest);
    const [by, setBy] = useState(params.value.has("filter") ? "filter" : "names");
    const [names, setNames] = useState(params.value.getAll("device"));
    const [filter, setFilter] = useState(params.value.get("filter") ?? `product:${image.product} connectivity:online`);
    const [amount, setAmount] = useState(30);
    const [unit, setUnit] = useState("s");
    const [when, setWhen] = useState("now");
    const [time, setTime] = useState("");
    const [parallel, setParallel] = useState("");
    const [ticket, setTicket] = useState("");
    const [reason, setReason] = useState("");
    const [error, setError] = useState(null);
    const [busy, setBusy] = useState(false);

    const seconds = Math.round(Number(amount) * UNITS.find(([u]) => u === unit)[1]);
    const limits = useLimits(image, version);
    const preview = usePreview(by === "filter" ? filter : null);
    const count = by === "names" ? names.length : preview.data?.count;
    const start = when === "at" && time ? new Date(time) : null;
    const badTime = when === "at" ? (!start || Number.isNaN(+start) ? "Give a day and a time." : start < Date.now() ? "This time has passed." : null) : null;
    const badDuration = !(seconds >= 1) ? "At least one second." : limits && seconds > limits.max_runtime_s ? `The image allows ${duration(limits.max_runtime_s)} at most.` : null;
    const badParallel = parallel !== "" && !(Number.isInteger(Number(parallel)) && Number(parallel) >= 1) ? "A whole number from 1, or empty for all at once." : null;
    const why = whyNot("support") ?? badDuration ?? badTime ?? badParallel
        ?? (by === "names" && !names.length ? "Choose at least one device." : null)
        ?? (by === "filter" && preview.error ? preview.error.message : null)
        ?? (by === "filter" && !preview.data ? "Counting the devices…" : null)
        ?? (by === "filter" && count === 0 ? "No device matches the filter." : null);

    const command = ["locum campaign create", `--image ${shell(`${chosen}@${version}`)}`,
        by === "names" ? `--device ${names.length ? names.map(shell).join(" ") : "NAME…"}` : `--filter ${shell(filter)}`,
        `--duration ${amount}${unit}`, start && !badTime && `--at ${start.toISOString().slice(0, 19)}Z`, parallel && `--parallel ${parallel}`,
        ticket && `--ticket ${shell(ticket)}`, reason && `--reason ${shell(reason)}`].filter(Boolean).join(" ");

    async function submit(event) {
        event.preventDefault();
        if (why || busy) return;
        setBusy(true);
        setError(null);
        try {
            const answer = await api.post("/campaigns", {
                image: `${chosen}@${version}`, duration_s: seconds, at: start ? start.toISOString().slice(0, 19) + "Z" : null, parallel: parallel ? Number(parallel) : null,
                ...(by === "names" ? { devices: names } : { filter, expect_count: count }),
                ...(ticket && { ticket }), ...(reason && { reason }),
            });
            say(`Campaign ${answer.id} started.`);
            go(`/campaigns/${answer.id}/runs/${answer.run ?? 1}`);
        } catch (cause) {
            setError(cause);
        }
        setBusy(false);
    }

    return (
        <form class="form-page" onSubmit={submit} noValidate>
            <div>
                <Section title="Image" id="image">
                    <div class="fields">
                        <Field label="Diagnostic image">
                            {(id) => <select id={id} value={chosen} onChange={(e) => { const next = images.find((one) => key(one) === e.currentTarget.value); setChosen(e.currentTarget.value); setVersion(next.newest); }}>
                                {images.map((one) => <option key={key(one)} value={key(one)}>{key(one)}</option>)}
                            </select>}
                        </Field>
                        <Field label="Version">
                            {(id) => <select id={id} value={version} onChange={(e) => setVersion(e.currentTarget.value)}>
                                {versionsOf(image).map((one) => <option key={one} value={one}>{one}{one === image.newest ? " (newest)" : ""}</option>)}
                            </select>}
                        </Field>
                    </div>
                </Section>
                <Section title="Devices" id="devices">
                    <div class="choices" role="radiogroup" aria-label="Choose devices">
                        <label class="check"><input type="radio" name="by" checked={by === "names"} onChange={() => setBy("names")} />By name</label>
                        <label class="check"><input type="radio" name="by" checked={by === "filter"} onChange={() => setBy("filter")} />All that match a filter</label>
                    </div>
                    {by === "names" ? <DevicePicker product={image.product} names={names} setNames={setNames} /> : <FilterPicker filter={filter} setFilter={setFilter} preview={preview} />}
                </Section>
                <Section title="Time" id="time">
                    <div class="fields">
                        <Field label="Collect for" type="number" min="1" inputmode="numeric" value={amount} bad={badDuration} onInput={(e) => setAmount(e.currentTarget.value)} />
                        <Field label="Unit">{(id) => <select id={id} value={unit} onChange={(e) => setUnit(e.currentTarget.value)}>{UNITS.map(([value, , word]) => <option key={value} value={value}>{word}</option>)}</select>}</Field>
                        <Field label="Most at once" help="Devices; empty: all." inputmode="numeric" value={parallel} bad={badParallel} onInput={(e) => setParallel(e.currentTarget.value.trim())} />
                    </div>
                    <div class="choices" role="radiogroup" aria-label="When">
                        <label class="check"><input type="radio" name="when" checked={when === "now"} onChange={() => setWhen("now")} />Now</label>
                        <label class="check"><input type="radio" name="when" checked={when === "at"} onChange={() => setWhen("at")} />At a time</label>
                    </div>
                    {when === "at" && <Field label="Start" type="datetime-local" step="1" value={time} bad={badTime} help={start && !badTime ? <>{absolute(start)} = {utc(start)}, <Time at={start.toISOString()} /></> : "In your time zone."} onInput={(e) => setTime(e.currentTarget.value)} />}
                </Section>
                <Section title="Why" id="why">
                    <div class="fields">
                        <Field label="Ticket (optional)" value={ticket} autocomplete="off" onInput={(e) => setTicket(e.currentTarget.value)} />
                        <Field label="Reason (optional)" help="Goes to the audit log." value={reason} autocomplete="off" onInput={(e) => setReason(e.currentTarget.value)} />
                    </div>
                </Section>
            </div>
            <aside class="before tone-diagnostic" aria-labelledby="before">
                <h2 id="before">Before you send it</h2>
                <p class="big-line">{count === undefined ? "…" : plural(count, "device")} on <strong>{image.name} {version}</strong> for <strong>{duration(seconds || 0)}</strong>{start && !badTime ? <>, <Time at={start.toISOString()} /></> : ", now"}{parallel && !badParallel ? `, ${parallel} at once` : ""}</p>
                {limits ? <Facts rows={imageWords(limits, seconds || 0)} /> : <p class="muted">Reading the limits of the image…</p>}
                {limits?.mode === "replace" && count > 0 && <Note tone="attention" icon="pause"><p>{count === 1 ? "Its app does" : "Their apps do"} not run during that time.</p></Note>}
                <FormError error={error} />
                <Action type="submit" primary why={why} saidBy="send-why" busy={busy}>{busy ? "Sending…" : count === undefined ? "Send" : `Send to ${plural(count, "device")}`}</Action>
                {why && <p class="why-line muted" id="send-why">{why}</p>}
                <Command text={command} label="the same on a command line" />
            </aside>
        </form>
    );
}

/* The signed limits of this very version. */
function useLimits(image, version) {
    const newest = version === image.newest && image.limits;
    const detail = useResource(newest ? null : `/assets/${encodeURIComponent(image.product)}/${encodeURIComponent(image.name)}/versions/${encodeURIComponent(version)}`);
    return newest || (detail.path?.endsWith("/" + encodeURIComponent(version)) ? detail.data?.manifest?.limits : null) || null;
}
