// A new rollout: which version, whom, in which stages, behind which gates; beside it the dry run of exactly that.
import { useState } from "preact/hooks";
import { api, at } from "../api.js";
import { useDryRun } from "../dry_run.js";
import { go, params } from "../router.js";
import { useResource, wants } from "../resource.js";
import { whyNot } from "../session.js";
import { say } from "../status.js";
import { createCommand, seconds, short } from "../rollout_words.js";
import { absolute, bytes, number, plural, utc } from "../words.js";
import { Action } from "../parts/button.jsx";
import { DevicePicker, FilterPicker, usePreview } from "../parts/choose_devices.jsx";
import { Command } from "../parts/command.jsx";
import { Field, FormError } from "../parts/dialog.jsx";
import { Facts, Failure, Loaded, Nothing, Page, Section } from "../parts/page.jsx";
import { Time } from "../parts/time.jsx";
import { useWeight } from "../parts/weight.jsx";

export function NewRollout() {
    const clone = params.value.get("clone");
    const assets = useResource("/assets?limit=1000");
    const groups = useResource("/groups");
    const before = useResource(clone && at`/rollouts/${clone}`);
    return (
        <Page title="New rollout" crumbs={[["Rollouts", "/rollouts"]]} lead="Moves one asset through devices in stages. It stops by itself when a gate says so.">
            <Loaded of={before.error ? before : assets} what="the assets" rows={6}>
                {(list) => {
                    const some = list.filter((a) => a.kind !== "diagnostic");
                    if (!some.length) return <Nothing action={<a class="button primary" href="/assets?publish=1">Publish an asset</a>} command="locum asset publish demo/detector --version 1.0.0 --kind model FOLDER">There is no asset yet that a rollout could move.</Nothing>;
                    /* Fields are filled once, so what they start from is there first. */
                    return (groups.data || groups.error) && (!clone || before.data) && <Form assets={some} groups={groups.data ?? []} of={before.data} />;
                }}
            </Loaded>
        </Page>
    );
}

const local = (time) => {
    const t = new Date(time);
    return new Date(t - t.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
};
const zulu = (text) => new Date(text).toISOString().slice(0, 19) + "Z";
const whole = (text) => text === "" || (/^\d{1,9}$/.test(text) && Number(text) >= 1);

/* What the fields start with: another rollout, or what the address asks for. */
function start(assets, groups, of) {
    const asked = /^([^/]+\/[^@]+)(?:@(.+))?$/.exec(params.value.get("asset") ?? "");
    const asset = of ? `${of.product}/${of.asset}` : assets.some((a) => `${a.product}/${a.name}` === asked?.[1]) ? asked[1] : `${assets[0].product}/${assets[0].name}`;
    const group = of?.by.group ?? params.value.get("group") ?? groups[0]?.name ?? "";
    return {
        asset, version: of ? of.version : asked?.[2] ?? "", group,
        by: of ? (of.by.group ? "group" : of.by.filter ? "filter" : "names") : params.value.has("filter") || (!groups.length && !params.value.has("device")) ? "filter" : params.value.has("device") ? "names" : "group",
        filter: of?.by.filter ?? params.value.get("filter") ?? `product:${asset.split("/")[0]}`, names: params.value.getAll("device"),
        stages: of ? of.stages.map((s) => s.share).join(", ") : "1%, 10%, 50%, 100%",
        soak: short(of?.soak_s ?? 600), deadline: short(of?.device_deadline_s ?? 3600), stage_deadline: of?.stage_deadline_s ? short(of.stage_deadline_s) : "",
        max_failures: of ? of.max_failures ?? "" : "5%", min_successes: String(of?.min_successes ?? ""), parallel: String(of?.parallel ?? ""), rate: of?.rate ? String(Math.round(of.rate / 1024)) : "", retries: String(of?.retries ?? 1),
        approval: of?.approval ?? false, auto_roll_back: of?.auto_roll_back ?? false, late_joiners: of?.late_joiners ?? false,
        when: "now", at: "", windowed: !!of?.window, from: of?.window?.split("-")[0] ?? "02:00", to: of?.window?.split("-")[1] ?? "05:00", ends: "", ticket: of?.ticket ?? "",
    };
}

/* Per field why its value cannot be. */
function wrong(f) {
    const stages = f.stages.split(/[\s,]+/).filter(Boolean);
    const span = (text, must) => (text === "" && !must) || seconds(text) !== null ? null : "A time: 90s, 10m, 1h, 2d.";
    const time = (text) => (text && !(new Date(text) > Date.now()) ? "This time has passed." : null);
    const percent = (text) => /^(100|[1-9]?\d)%$/.test(text) || /^\d{1,9}$/.test(text);
    return {
        stages: !stages.length ? "At least one stage." : !stages.every((one) => percent(one) && one !== "0%" && one !== "0") ? "Shares or numbers of devices: 1%, 10%, 100% or 5, 50, 100%." : stages.length > 20 ? "At most 20 stages." : null,
        soak: span(f.soak, true), deadline: span(f.deadline, true) ?? (seconds(f.deadline) < 1 ? "At least a second." : null), stage_deadline: span(f.stage_deadline),
        max_failures: f.max_failures === "" || percent(f.max_failures) ? null : "A share or a number: 5% or 3; empty: no limit.",
        min_successes: whole(f.min_successes) ? null : "A whole number from 1, or empty.", parallel: whole(f.parallel) ? null : "A whole number from 1, or empty for all.",
        rate: whole(f.rate) ? null : "KiB a second, or empty for no limit.", retries: /^(10|\d)$/.test(f.retries) ? null : "0 to 10.",
        at: f.when !== "at" ? null : !f.at ? "Give a day and a time." : time(f.at), ends: time(f.ends),
        window: f.windowed && (!f.from || !f.to || f.from === f.to) ? "Give two different times." : null,
    };
}

function toBody(f, count) {
    const [product, asset] = f.asset.split("/");
    const or = (text, value) => (text === "" ? null : value(text));
    return {
        product, asset, version: f.version,
        ...(f.by === "group" ? { group: f.group } : f.by === "filter" ? { filter: f.filter.trim() } : { devices: f.names }),
        stages: f.stages.split(/[\s,]+/).filter(Boolean), soak_s: seconds(f.soak), device_deadline_s: seconds(f.deadline), stage_deadline_s: or(f.stage_deadline, seconds),
        max_failures: f.max_failures || null, min_successes: or(f.min_successes, Number), approval: f.approval, auto_roll_back: f.auto_roll_back, late_joiners: f.by !== "names" && f.late_joiners,
        at: f.when === "at" ? zulu(f.at) : null, draft: f.when === "draft", window: f.windowed ? `${f.from}-${f.to}` : null,
        parallel: or(f.parallel, Number), rate: or(f.rate, (text) => Number(text) * 1024), retries: Number(f.retries), ends_at: f.ends ? zulu(f.ends) : null,
        ...(f.ticket && { ticket: f.ticket }), ...(count !== undefined && { expect_count: count }),
    };
}

function Form({ assets, groups, of }) {
    const [f, setFields] = useState(() => start(assets, groups, of));
    const set = (changes) => setFields((now) => ({ ...now, ...changes }));
    const put = (key) => (e) => set({ [key]: e.currentTarget.value });
    const tick = (key) => (e) => set({ [key]: e.currentTarget.checked });
    const [error, setError] = useState(null);
    const [busy, setBusy] = useState(false);
    const [product, asset] = f.asset.split("/");
    const detail = useResource(at`/assets/${product}/${asset}`, wants.asset(product, asset));
    const versions = (detail.data?.name === asset && detail.data.product === product ? detail.data.versions : []).filter((v) => !v.withdrawn);
    /* The version is chosen by a person or, until then, the newest. */
    const form = { ...f, version: f.version || versions[0]?.version || "" };
    const preview = usePreview(f.by === "filter" && f.filter.trim() ? f.filter.trim() : null);
    const bad = wrong(form);
    const whose = f.by === "group" ? (f.group ? null : "Choose a group.") : f.by === "names" ? (f.names.length ? null : "Choose at least one device.") : !f.filter.trim() ? "Write a filter." : preview.error?.message ?? null;
    const invalid = !form.version ? "Reading the versions…" : whose ?? Object.values(bad).find(Boolean) ?? null;
    const body = invalid ? null : toBody(form);
    const { plan, error: refused, fresh } = useDryRun("/rollouts", body && JSON.stringify(body));
    const weight = useWeight({ name: asset, count: plan?.matches ?? 0, asks: true });
    const why = whyNot("release") ?? invalid ?? (!fresh ? "Making the dry run…" : refused ? refused.message : plan.matches === 0 && !body.late_joiners ? "No device matches." : null) ?? weight.why;

    async function submit(event) {
        event.preventDefault();
        if (why || busy) return;
        setBusy(true);
        setError(null);
        try {
            const made = await api.post("/rollouts", { ...toBody(form, plan.matches), ...(weight.reason && { reason: weight.reason }) });
            say(`Rollout ${made.id} made.`);
            go(`/rollouts/${made.id}`);
        } catch (cause) {
            setError(cause);
        }
        setBusy(false);
    }
    const text = (key, label, more) => <Field key={key} label={label} value={f[key]} bad={bad[key]} autocomplete="off" onInput={put(key)} {...more} />;
    const radio = (key, value, words) => <label class="check"><input type="radio" name={key} checked={f[key] === value} onChange={() => set({ [key]: value })} />{words}</label>;
    const box = (key, words) => <label class="check"><input type="checkbox" checked={f[key]} onChange={tick(key)} />{words}</label>;
    const verb = f.when === "draft" ? "Save the draft" : plan && fresh ? `${f.when === "at" ? "Schedule" : "Start"} for ${plural(plan.moves ?? plan.matches, "device")}` : "Start";

    return (
        <form class="form-page" onSubmit={submit} noValidate>
            <div>
                <Section title="What" id="what">
                    <div class="fields">
                        <Field label="Asset">{(id) => <select id={id} value={f.asset} onChange={(e) => set({ asset: e.currentTarget.value, version: "", ...(f.filter === `product:${product}` && { filter: `product:${e.currentTarget.value.split("/")[0]}` }) })}>{assets.map((a) => <option key={`${a.product}/${a.name}`} value={`${a.product}/${a.name}`}>{a.product}/{a.name}</option>)}</select>}</Field>
                        <Field label="To version">{(id) => <select id={id} value={form.version} onChange={put("version")}>{versions.map((v) => <option key={v.version} value={v.version}>{v.version}{v.version === detail.data.released ? " (released)" : ""}</option>)}</select>}</Field>
                    </div>
                </Section>
                <Section title="Devices" id="devices">
                    <div class="choices" role="radiogroup" aria-label="Choose devices">{radio("by", "group", "A group")}{radio("by", "filter", "All that match a filter")}{radio("by", "names", "By name")}</div>
                    {f.by === "group" && (groups.length
                        ? <Field label="Group">{(id) => <select id={id} value={f.group} onChange={put("group")}>{groups.map((g) => <option key={g.name} value={g.name}>{g.name}</option>)}</select>}</Field>
                        : <p class="muted">There is no group yet. <a href="/groups?new=1">Make one</a></p>)}
                    {f.by === "filter" && <FilterPicker filter={f.filter} setFilter={(filter) => set({ filter })} preview={f.filter.trim() ? preview : { data: null, error: { message: "" } }} />}
                    {f.by === "names" && <DevicePicker product={product} names={f.names} setNames={(names) => set({ names })} />}
                    {f.by !== "names" && box("late_joiners", "Devices that come to match later join")}
                </Section>
                <Section title="Stages" id="stages">
                    <div class="fields">
                        {text("stages", "Stages", { help: "Shares or numbers of devices, each counted from the first device." })}
                        {text("soak", "Soak", { help: "So long a device must run it to count as proven." })}
                        {text("deadline", "Deadline for a device", { help: "Silence until then counts as failure." })}
                        {text("stage_deadline", "Deadline for a stage (optional)")}
                    </div>
                    {box("approval", "A person approves each next stage")}
                </Section>
                <Section title="Gates" id="gates">
                    <div class="fields">
                        {text("max_failures", "Most failures in a stage", { help: "5% or 3; empty: no limit." })}
                        {text("min_successes", "Fewest successes (optional)", { inputmode: "numeric" })}
                        {text("retries", "Tries again", { inputmode: "numeric", help: "Times that a device is asked again after it failed." })}
                    </div>
                    {box("auto_roll_back", "Roll back by itself when a gate stops it")}
                </Section>
                <Section title="Time and load" id="time">
                    <div class="choices" role="radiogroup" aria-label="Start">{radio("when", "now", "Start now")}{radio("when", "at", "At a time")}{radio("when", "draft", "Save as a draft")}</div>
                    {f.when === "at" && text("at", "Start", { type: "datetime-local", step: "1", help: f.at && !bad.at ? both(f.at) : "In your time zone." })}
                    {box("windowed", "Take it up only inside a window")}
                    {f.windowed && <div class="fields"><Field label="From" type="time" value={f.from} onInput={put("from")} bad={bad.window} /><Field label="To" type="time" value={f.to} onInput={put("to")} help="In each device's own time zone, not yours. Devices download ahead." /></div>}
                    <div class="fields">
                        {text("parallel", "Most at once (optional)", { inputmode: "numeric", help: "Devices; empty: all of a stage." })}
                        {text("rate", "KiB a second for each device (optional)", { inputmode: "numeric" })}
                    </div>
                    {text("ends", "End (optional)", { type: "datetime-local", step: "1", help: f.ends && !bad.ends ? both(f.ends) : "Then what has not begun is skipped." })}
                </Section>
                <Section title="Why" id="why"><div class="fields">{text("ticket", "Ticket (optional)")}</div>{weight.fields}</Section>
            </div>
            <aside class="before tone-active" aria-labelledby="before">
                <h2 id="before">Dry run</h2>
                {invalid ? <p class="muted">{invalid}</p> : refused && fresh ? <Refused error={refused} /> : plan ? <div class={fresh ? "live-value" : "live-value old-plan"}><Plan plan={plan} asset={asset} version={form.version} /></div> : <p class="muted" role="status">Making the dry run…</p>}
                <FormError error={error} />
                <Action type="submit" primary why={why} saidBy="start-why" busy={busy}>{busy ? "Working…" : verb}</Action>
                {why && <p class="why-line muted" id="start-why">{why}</p>}
                <Command text={createCommand(body ? { ...body, reason: weight.reason } : { ...toBody(start(assets, groups, of)), version: form.version, product, asset }, f.names)} label="the same on a command line" />
            </aside>
        </form>
    );
}

const both = (text) => <>{absolute(new Date(text))} = {utc(new Date(text))}, <Time at={zulu(text)} /></>;

const Refused = ({ error }) => (error.status === 409 || error.status === 400 || error.status === 404 ? <p class="bad" role="alert">{error.message}{error.hint && ` ${error.hint}`}</p> : <Failure error={error} what="the dry run" />);

const Groups = ({ list }) => list.map((one) => <div key={one.why}><strong>{number(one.devices)}</strong> {one.why}<span class="muted"> ({one.samples.slice(0, 3).join(", ")}{one.devices > 3 && ", …"})</span></div>);

function Plan({ plan, asset, version }) {
    return (
        <>
            <p class="big-line"><strong>{plural(plan.moves, "device")}</strong> {plan.moves === 1 ? "moves" : "move"} to <strong>{asset} {version}</strong></p>
            <Facts rows={[
                ["match", plural(plan.matches, "device")],
                ["already there", number(plan.already)],
                ["pinned", number(plan.pinned)],
                ["development", number(plan.development)],
                ["incompatible", plan.incompatible.length ? <Groups list={plan.incompatible} /> : "0"],
                plan.conflict.length > 0 && ["conflict", <Groups list={plan.conflict} />],
                ["not in touch", plan.offline ? <>{number(plan.offline)}: {plan.offline === 1 ? "it fails" : "they fail"} when silent past the deadline</> : "0"],
                ["to move", bytes(plan.bytes)],
                ["expected end", plan.expected_end ? <Time at={plan.expected_end} both /> : "not known"],
            ]} />
            <h3>Who goes when</h3>
            <ol class="plan-stages">
                {plan.stages.map((s) => <li key={s.number}><span>{s.number}: {s.share}</span><strong class="num">{number(s.devices)}</strong><span class="wrap muted small">{s.samples.slice(0, 5).join(", ")}{s.devices > s.samples.length || s.samples.length > 5 ? ", …" : ""}</span></li>)}
            </ol>
        </>
    );
}
