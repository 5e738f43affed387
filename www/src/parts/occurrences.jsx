// The next times of a campaign, as the devices' clocks and as UTC show them.
import { number, plural } from "../words.js";

const day = (time) => time.slice(0, 10);
const clock = (time) => time.slice(11, 16);
const WEEKDAY = new Intl.DateTimeFormat("en", { weekday: "short", timeZone: "UTC" });
const weekday = (time) => WEEKDAY.format(new Date(day(time) + "T12:00:00Z"));

export function Occurrences({ rows }) {
    if (!rows?.length) return <p class="muted">No time is left: nothing would ever begin.</p>;
    return (
        <div class="table-box scrolls" role="region" aria-label="Times that come next" tabIndex={0}>
            <table class="plain-table occurrences" aria-label="Next times">
                <thead><tr><th scope="col">UTC</th><th scope="col">On the devices</th></tr></thead>
                <tbody>
                    {rows.map((one) => (
                        <tr key={one.utc}>
                            <td>{weekday(one.utc)} {day(one.utc)} <strong>{clock(one.utc)}</strong></td>
                            <td>{one.local.map((l) => <div key={l.zone}>{day(l.time) !== day(one.utc) && `${weekday(l.time)} ${day(l.time)} `}<strong>{clock(l.time)}</strong> {l.zone}{one.local.length > 1 && <span class="muted"> {number(l.devices)}<span class="sr"> {plural(l.devices, "device").replace(/^\S+ /, "")}</span></span>}</div>)}</td>
                        </tr>
                    ))}
                </tbody>
            </table>
        </div>
    );
}
