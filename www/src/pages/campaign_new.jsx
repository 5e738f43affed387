// A new campaign: which image, which devices, how long and when; beside it the dry run of exactly that, before anything is sent.
import { useState } from "preact/hooks";
import { api } from "../api.js";
import { DAYS, createCommand, settingsWords } from "../campaign_words.jsx";
import { useDryRun } from "../dry_run.js";
import { collectWords, imageWords } from "../image_words.js";
import { useLimits } from "../limits.js";
import { go, params } from "../router.js";
import { useResource, wants } from "../resource.js";
import { whyNot } from "../session.js";
import { say } from "../status.js";
import { absolute, bytes, duration, number, plural, utc } from "../words.js";
import { Action } from "../parts/button.jsx";
import { DevicePicker, FilterPicker, usePreview } from "../parts/choose_devices.jsx";
import { Command } from "../parts/command.jsx";
import { Field, FormError } from "../parts/dialog.jsx";
import { Occurrences } from "../parts/occurrences.jsx";
import { Facts, Failure, Loaded, Note, Nothing, Page, Section } from "../parts/page.jsx";
import { Time } from "../parts/time.jsx";
import { useWeight } from "../parts/weight.jsx";

const UNITS = [["s", 1, "seconds"], ["m", 60, "minutes"], ["h", 3600, "hours"]];
const DATE = /^\d{4}-\d{2}-\d{2}$/;

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

const keyOf = (image) => `${image.product}/${image.name}`;
const words = (text) => text.split(/[\s,]+/).filter(Boolean);
const whole = (text) => text === "" || /^[1-9]\d{0,8}$/.test(text);
const zulu = (text) => new Date(text).toISOString().slice(0, 19) + "Z";

/* What the fields start with: what the address asks for. */
function start(images) {
    const asked = /^([^@]+)(?:@(.+))?$/.exec(params.value.get("image") ?? "");
    const image = images.find((one) => keyOf(one) === asked?.[1]) ?? images[0];
    return {
        image: keyOf(image), version: asked?.[2] ?? image.newest, by: params.value.has("filter") ? "filter" : "names", names: params.value.getAll("device"),
        filter: params.value.get("filter") ?? `product:${image.product} connectivity:online`, amount: "30", unit: "s", when: "now", at: "", repeat: "daily", days: ["mon"], dates: "1", first: "", time: "02:00", until: "", count: "",
        blackout: "", windowed: false, from: "02:00", to: "05:00", parallel: "", max_failures: "", left_out: [], redact: "", max_output: "", ticket: "", draft: false,
    };
}

/* Per field why its value cannot be. */
function wrong(f, limits) {
    const seconds = secondsOf(f);
    const again = f.when === "repeat";
    const kib = Number(f.max_output);
    return {
        amount: !(seconds >= 1) ? "At least one second." : limits && seconds > limits.max_runtime_s ? `The image allows ${duration(limits.max_runtime_s)} at most.` : null,
        at: f.when !== "at" ? null : !f.at || Number.isNaN(+new Date(f.at)) ? "Give a day and a time." : new Date(f.at) < Date.now() ? "This time has passed." : null,
        window: f.windowed && (!f.from || !f.to || f.from === f.to) ? "Give two different times." : null,
        days: again && f.repeat === "weekly" && !f.days.length ? "Choose at least one day." : null,
        dates: again && f.repeat === "monthly" && !(words(f.dates).length && words(f.dates).every((one) => one === "last" || (/^\d+$/.test(one) && one >= 1 && one <= 31))) ? "Days from 1 to 31, or last." : null,
        time: again && !f.windowed && !f.time ? "Give a time of the day." : null,
        blackout: again && !words(f.blackout).every((one) => DATE.test(one) && !Number.isNaN(+new Date(one))) ? "Dates as 2026-12-24." : null,
        count: whole(f.count) ? null : "A whole number from 1, or empty.",
        parallel: whole(f.parallel) ? null : "A whole number from 1, or empty for all at once.",
        max_failures: f.max_failures === "" || /^(100|[1-9]?\d)%$/.test(f.max_failures) || /^\d{1,9}$/.test(f.max_failures) ? null : "A share or a number: 5% or 3; empty: no limit.",
        left_out: limits?.collect?.length > 0 && limits.collect.every((one) => f.left_out.includes(one)) ? "Leave at least one thing that it may read." : null,
        max_output: !whole(f.max_output) ? "KiB, or empty." : limits && kib * 1024 > limits.max_output ? `The image allows ${bytes(limits.max_output)} at most.` : null,
    };
}

const secondsOf = (f) => Math.round(Number(f.amount) * UNITS.find(([u]) => u === f.unit)[1]);

function toBody(f, limits) {
    const again = f.when === "repeat";
    const which = again && { daily: "daily", weekly: `weekly:${DAYS.map(([key]) => key).filter((key) => f.days.includes(key)).join(",")}`, monthly: `monthly:${words(f.dates).join(",")}` }[f.repeat];
    const today = new Date(Date.now() - new Date().getTimezoneOffset() * 60000).toISOString().slice(0, 10);
    const at = f.when === "at" ? zulu(f.at) : again && (f.first || !f.windowed) ? `${f.first || today}T${f.windowed ? f.from : f.time}` : null;
    return {
        image: `${f.image}@${f.version}`, ...(f.by === "names" ? { devices: f.names } : { filter: f.filter.trim() }), duration_s: secondsOf(f), at, parallel: f.parallel ? Number(f.parallel) : null,
        ...(f.windowed && { window: `${f.from}-${f.to}` }),
        ...(again && { repeat: which, ...(f.until && { until: f.until }), ...(f.count && { count: Number(f.count) }), ...(words(f.blackout).length && { blackout: words(f.blackout) }) }),
        ...(f.max_failures && { max_failures: f.max_failures }), ...(f.max_output && { max_output: Number(f.max_output) * 1024 }),
        ...(limits?.collect?.some((one) => f.left_out.includes(one)) && { collect: limits.collect.filter((one) => !f.left_out.includes(one)) }),
        ...(f.redact.trim() && { redact: f.redact.split("\n").map((one) => one.trim()).filter(Boolean) }), ...(f.ticket && { ticket: f.ticket }),
    };
}

function Form({ images }) {
    const [f, setFields] = useState(() => start(images));
    const set = (changes) => setFields((now) => ({ ...now, ...changes }));
    const put = (key) => (e) => set({ [key]: e.currentTarget.value });
    const [error, setError] = useState(null);
    const [busy, setBusy] = useState(false);
    const image = images.find((one) => keyOf(one) === f.image) ?? images[0];
    const limits = useLimits(image, f.version);
    const preview = usePreview(f.by === "filter" && f.filter.trim() ? f.filter.trim() : null);
    const bad = wrong(f, limits);
    const whose = f.by === "names" ? (f.names.length ? null : "Choose at least one device.")
        : !f.filter.trim() ? "Write a filter." : preview.error ? preview.error.message : !preview.data ? "Counting the devices…" : preview.data.count === 0 ? "No device matches the filter." : null;
    const invalid = Object.values(bad).find(Boolean) ?? (limits ? null : "Reading the limits of the image…") ?? whose;
    const body = invalid ? null : toBody(f, limits);
    const { plan, error: refused, fresh } = useDryRun("/campaigns", body && JSON.stringify(body));
    const weight = useWeight({ name: image.name, count: plan?.matches ?? 0, asks: true });
    const why = whyNot("support") ?? invalid ?? (!fresh ? "Making the dry run…" : refused ? refused.message : plan.matches === 0 ? "No device matches." : null) ?? weight.why;
    const count = fresh && plan ? plan.matches : f.by === "names" ? f.names.length : preview.data?.count;
    const later = f.when !== "now" || f.windowed;

    async function submit(event) {
        event.preventDefault();
        if (why || busy) return;
        setBusy(true);
        setError(null);
        try {
            const made = await api.post("/campaigns", { ...body, ...(f.by === "filter" && { expect_count: plan.matches }), ...(weight.reason && { reason: weight.reason }) });
            say(plan.needs_approval ? `Campaign ${made.id} waits for approval.` : `Campaign ${made.id} ${later ? "is scheduled" : "started"}.`);
            go(later || plan.needs_approval ? `/campaigns/${made.id}` : `/campaigns/${made.id}/runs/${made.run ?? 1}`);
        } catch (cause) {
            setError(cause);
        }
        setBusy(false);
    }
    const text = (key, label, more) => <Field label={label} value={f[key]} bad={bad[key]} autocomplete="off" onInput={put(key)} {...more} />;
    const radio = (key, value, says) => <label class="check"><input type="radio" name={key} checked={f[key] === value} onChange={() => set({ [key]: value })} />{says}</label>;
    const toggle = (key, one) => set({ [key]: f[key].includes(one) ? f[key].filter((other) => other !== one) : [...f[key], one] });

    return (
        <form class="form-page" onSubmit={submit} noValidate>
            <div>
                <Section title="Image" id="image">
                    <div class="fields">
                        <Field label="Diagnostic image">{(id) => <select id={id} value={f.image} onChange={(e) => { const next = images.find((one) => keyOf(one) === e.currentTarget.value); set({ image: keyOf(next), version: next.newest, left_out: [] }); }}>{images.map((one) => <option key={keyOf(one)} value={keyOf(one)}>{keyOf(one)}</option>)}</select>}</Field>
                        <Versions image={image} value={f.version} choose={(version) => set({ version, left_out: [] })} />
                    </div>
                </Section>
                <Section title="Devices" id="devices">
                    <div class="choices" role="radiogroup" aria-label="Choose devices">{radio("by", "names", "By name")}{radio("by", "filter", "All that match a filter")}</div>
                    {f.by === "names" ? <DevicePicker product={image.product} names={f.names} setNames={(names) => set({ names })} /> : <FilterPicker filter={f.filter} setFilter={(filter) => set({ filter })} preview={f.filter.trim() ? preview : { data: null, error: { message: "" } }} />}
                </Section>
                <Section title="Time" id="time">
                    <div class="fields">
                        {text("amount", "Collect for", { type: "number", min: "1", inputmode: "numeric" })}
                        <Field label="Unit">{(id) => <select id={id} value={f.unit} onChange={put("unit")}>{UNITS.map(([value, , says]) => <option key={value} value={value}>{says}</option>)}</select>}</Field>
                        {text("parallel", "Most at once", { inputmode: "numeric", help: "Devices; empty: all." })}
                        {text("max_failures", "Most failures (optional)", { help: "5% or 3; then no other device begins." })}
                    </div>
                    <div class="choices" role="radiogroup" aria-label="When">{radio("when", "now", "Now")}{radio("when", "at", "At a time")}{radio("when", "repeat", "Repeatedly")}</div>
                    {f.when === "at" && text("at", "Start", { type: "datetime-local", step: "1", help: f.at && !bad.at ? <>{absolute(new Date(f.at))} = {utc(new Date(f.at))}, <Time at={zulu(f.at)} /></> : "In your time zone." })}
                    {f.when === "repeat" && (
                        <>
                            <div class="fields">
                                <Field label="Repeat">{(id) => <select id={id} value={f.repeat} onChange={put("repeat")}><option value="daily">daily</option><option value="weekly">weekly</option><option value="monthly">monthly</option></select>}</Field>
                                {f.repeat === "monthly" && text("dates", "Days of the month", { help: "1, 15, last" })}
                                {!f.windowed && text("time", "Time of the day", { type: "time", help: "On each device's own clock." })}
                            </div>
                            {f.repeat === "weekly" && <div class="choices" role="group" aria-label="Days of the week">{DAYS.map(([key, says]) => <label key={key} class="check"><input type="checkbox" checked={f.days.includes(key)} onChange={() => toggle("days", key)} />{says}</label>)}{bad.days && <p class="bad">{bad.days}</p>}</div>}
                        </>
                    )}
                    <label class="check"><input type="checkbox" checked={f.windowed} onChange={(e) => set({ windowed: e.currentTarget.checked })} />Only inside a window of the day</label>
                    {f.windowed && <div class="fields">{text("from", "Window from", { type: "time", bad: bad.window })}{text("to", "Window to", { type: "time", help: "In each device's own time zone. A device that misses it is skipped, not run late." })}</div>}
                    {f.when === "repeat" && (
                        <div class="fields">
                            {text("first", "First day (optional)", { type: "date" })}
                            {text("until", "Last day (optional)", { type: "date" })}
                            {text("count", "Times at most (optional)", { inputmode: "numeric" })}
                            {text("blackout", "Not on (optional)", { help: "Dates, for example 2026-12-24 2026-12-25." })}
                        </div>
                    )}
                </Section>
                {limits && (
                    <Section title="Data" id="data">
                        {limits.collect?.length > 0 && <div class="choices column" role="group" aria-label="It may read">{limits.collect.map((one) => <label key={one} class="check"><input type="checkbox" checked={!f.left_out.includes(one)} onChange={() => toggle("left_out", one)} />{collectWords(one)}</label>)}{bad.left_out && <p class="bad">{bad.left_out}</p>}</div>}
                        <div class="fields">
                            <Field label="Blot out (optional)" help="One pattern a line, applied on the device: what it matches never leaves it.">{(id, described) => <textarea id={id} aria-describedby={described} rows="2" spellcheck={false} value={f.redact} onInput={put("redact")} />}</Field>
                            {text("max_output", "KiB at most (optional)", { inputmode: "numeric", help: `For each device; the image allows ${bytes(limits.max_output)}.` })}
                        </div>
                    </Section>
                )}
                <Section title="Why" id="why"><div class="fields">{text("ticket", "Ticket (optional)")}</div>{weight.fields}</Section>
            </div>
            <aside class="before tone-diagnostic" aria-labelledby="before">
                <h2 id="before">Before you send it</h2>
                <p class="big-line">{count === undefined ? "…" : plural(count, "device")} on <strong>{image.name} {f.version}</strong> for <strong>{duration(secondsOf(f) || 0)}</strong>{later ? "" : ", now"}{f.parallel && !bad.parallel ? `, ${f.parallel} at once` : ""}</p>
                {plan && body ? <div class={fresh ? "live-value" : "live-value old-plan"}><Plan plan={plan} body={body} limits={limits} /></div>
                    : refused && fresh ? ([400, 404, 409].includes(refused.status) ? <p class="bad" role="alert">{refused.message}{refused.hint && ` ${refused.hint}`}</p> : <Failure error={refused} what="the dry run" />) : null}
                {limits ? <Facts rows={imageWords(body?.collect ? { ...limits, collect: body.collect } : limits, secondsOf(f) || 0)} /> : <p class="muted">Reading the limits of the image…</p>}
                {limits?.mode === "replace" && count > 0 && <Note tone="attention" icon="pause"><p>{count === 1 ? "Its app does" : "Their apps do"} not run during that time.</p></Note>}
                <FormError error={error} />
                <Action type="submit" primary why={why} saidBy="send-why" busy={busy}>{busy ? "Sending…" : count === undefined ? "Send" : plan?.needs_approval && fresh ? `Ask for approval for ${plural(count, "device")}` : `${later ? "Schedule for" : "Send to"} ${plural(count, "device")}`}</Action>
                {why && <p class="why-line muted" id="send-why">{why}</p>}
                <Command text={createCommand({ ...(body ?? toBody({ ...f, when: "now", windowed: false }, limits)), ...(weight.reason && { reason: weight.reason }) }, f.names, `${f.amount}${f.unit}`)} label="the same on a command line" />
            </aside>
        </form>
    );
}

/* The versions that the image can be sent in, newest first. */
function Versions({ image, value, choose }) {
    const detail = useResource(image.versions > 1 ? `/assets/${encodeURIComponent(image.product)}/${encodeURIComponent(image.name)}` : null);
    const found = (detail.data?.name === image.name ? detail.data.versions : []).filter((v) => !v.withdrawn).map((v) => v.version);
    const all = found.length ? found : [image.newest];
    return <Field label="Version">{(id) => <select id={id} value={value} onChange={(e) => choose(e.currentTarget.value)}>{(all.includes(value) ? all : [value, ...all]).map((one) => <option key={one} value={one}>{one}{one === image.newest ? " (newest)" : ""}</option>)}</select>}</Field>;
}

const Unable = ({ list }) => list.map((one) => <div key={one.why}><strong>{number(one.devices)}</strong> {one.why}<span class="muted"> ({one.samples.slice(0, 3).join(", ")}{one.devices > 3 && ", …"})</span></div>);

function Plan({ plan, body, limits }) {
    const rows = [
        ["match", plural(plan.matches, "device")],
        plan.offline > 0 && ["not in touch", `${number(plan.offline)}: ${plan.offline === 1 ? "it begins" : "they begin"} when back in time, else skipped`],
        plan.busy > 0 && ["busy", `${number(plan.busy)} on another image or ordered to one: never on two at once`],
        plan.unable.length > 0 && ["unable", <Unable list={plan.unable} />],
        ["collects", `${bytes(plan.bytes_most)} at most`],
        ...settingsWords(body, limits).filter(([what]) => !["for how long", "at once"].includes(what) && (what !== "most failures" || body.max_failures)),
    ];
    return (
        <>
            {plan.needs_approval && <Note tone="attention" icon="shield"><p><strong>Needs approval by another person</strong> before any device begins.</p></Note>}
            <Facts rows={rows} />
            {(body.repeat || body.window || body.at) && <><h3>Next times</h3><Occurrences rows={plan.occurrences} /></>}
        </>
    );
}
