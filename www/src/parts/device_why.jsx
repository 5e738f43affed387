// "Why does this device not get X?": per asset every candidate, which of them wins, and what it waits for.
import { at } from "../api.js";
import { useResource, wants } from "../resource.js";
import { Icon } from "./icon.jsx";
import { Loaded } from "./page.jsx";
import { State } from "./state.jsx";

const SOURCES = { pin: "pinned", development: "development device", rollout: "rollout", group: "group", product: "product's release", requires: "needed by another asset", keep: "kept" };
const HREF = { group: (name) => `/groups/${encodeURIComponent(name)}`, rollout: (name) => `/rollouts/${encodeURIComponent(name)}` };

/* The order in which candidates are asked, said where they are shown. */
export function DeviceWhy({ name }) {
    const why = useResource(at`/devices/${name}/why`, wants.why(name));
    return (
        <Loaded of={why} what="why it runs what it runs" rows={2}>
            {(rows) => rows.length === 0 ? <p class="muted">Nothing is wanted of it yet.</p> : (
                <>
                    <p class="muted small">The first that there is wins: a pin, then being a development device, a rollout, the newest release to one of its groups, the product's release.</p>
                    {rows.map((row) => <Asset key={row.asset} row={row} many={rows.length > 4} />)}
                </>
            )}
        </Loaded>
    );
}

function Asset({ row, many }) {
    const winner = row.candidates.find((one) => one.wins);
    const there = row.wanted !== null && row.wanted === row.running;
    return (
        <details class="why-asset" open={!many || !there}>
            <summary>
                <strong>{row.asset}</strong> {row.wanted ? <code>{row.wanted}</code> : <span class="muted">nothing wanted</span>}
                {there ? <State name="current" /> : row.waits ? <State name="waiting" /> : row.wanted ? <State name="downloading" word="on the way" /> : null}
            </summary>
            <p>{row.text !== winner?.text && row.text}{row.running !== row.wanted && <span class="muted"> It runs {row.running ? <code>{row.running}</code> : "none"} now.</span>}</p>
            {row.waits && <p class="waits"><State name="waiting" word={row.waits} /></p>}
            {row.candidates.length > 0 && (
                <ol class="candidates" aria-label={`Candidates for ${row.asset}`}>
                    {row.candidates.map((one, i) => (
                        <li key={i} class={one.wins ? "wins" : undefined}>
                            <Icon name={one.wins ? "check" : "dash"} />
                            <span class="candidate-what">{SOURCES[one.source] ?? one.source}{one.name && <> {HREF[one.source] ? <a href={HREF[one.source](one.name)}>{one.name}</a> : one.name}</>}</span>
                            <code>{one.version ?? "–"}</code>
                            <span class="wrap">{one.wins && <span class="sr">wins: </span>}{one.text}</span>
                        </li>
                    ))}
                </ol>
            )}
        </details>
    );
}
