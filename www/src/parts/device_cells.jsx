// What several pages say about a device.
import { State } from "./state.jsx";
import { Left, Time } from "./time.jsx";

/* The device's state at a glance: the image first, then whether it is in touch. */
export function DeviceState({ device }) {
    if (device.admission !== "accepted") return <State name={device.admission} />;
    if (device.clone_suspected) return <State name="revert_failed" word="clone suspected" />;
    return <State name={device.connectivity} />;
}

export function RunsNow({ device }) {
    const image = device.image;
    if (image) {
        const tone = device.overdue ? "danger" : "diagnostic";
        return (
            <span class={`state tone-${tone} live-value`}>
                <State name={device.overdue ? "overdue" : image.state} tone={tone} word={`diagnostic ${image.image} ${image.version}`} />
                {image.ends_at && <span class="muted">{device.overdue ? "overdue by " : "returns in "}<Left at={image.ends_at} over={device.overdue ? "" : undefined} /></span>}
            </span>
        );
    }
    const assets = Object.entries(device.running ?? {});
    if (!assets.length) return <span class="muted">nothing yet</span>;
    return (
        <span class="live-value">
            {assets.slice(0, 3).map(([name, asset], i) => (
                <span key={name}>{i > 0 && ", "}{name} <code>{asset.version}</code></span>
            ))}
            {assets.length > 3 && <span class="muted"> and {assets.length - 3} more</span>}
        </span>
    );
}

/* What is not as wanted, in words; null when all is. */
export function notAsWanted(device) {
    if (device.waiting) return device.waiting;
    const off = Object.entries(device.running ?? {}).find(([, asset]) => asset.wanted && asset.wanted !== asset.version);
    if (!off) return null;
    return off[1].reason ? `${off[0]} ${off[1].wanted}: ${off[1].reason}` : `${off[0]} goes to ${off[1].wanted}`;
}

export const Seen = ({ device }) => <span class="live-value"><Time at={device.last_seen} none="never" /></span>;
