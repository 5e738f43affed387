// The proof of a return: what the device measured and signed after the image was gone.
import { Facts } from "./page.jsx";
import { State } from "./state.jsx";
import { Time } from "./time.jsx";

const ENDS = { exited: "the image ended by itself", deadline: "the deadline", killed: "it was killed", runner_lost: "its runner was lost" };

/** What the device says, and what the two digests that it signed say. */
export const isEqual = (proof) => proof?.equal === true && !!proof.before && proof.before === proof.after;
export const isGood = ({ proof, verified }) => isEqual(proof) && proof.leftovers === 0 && verified !== false;
export const proofWord = (reverted) => (isGood(reverted) ? `proven${reverted.proof.revert_ms !== undefined ? `, ${reverted.proof.revert_ms} ms` : ""}` : "not as before");

export function ProofFacts({ reverted, by }) {
    const { at, proof, verified } = reverted;
    return (
        <Facts rows={[
            ["all files as before", isEqual(proof) ? <State name="done" word="yes, each hashed again" /> : <State name="failed" word="no" />],
            ["left over", proof.leftovers === 0 ? <State name="done" word="0 processes, mounts and files" /> : <State name="failed" word={String(proof.leftovers)} />],
            ["signature", verified === false ? <State name="failed" word="does not verify" /> : <State name="done" word="verified with the device's key" />],
            ["back", <Time at={at} both />],
            ["how it ended", proof.end === "cancelled" ? `${by ?? "a person"} ended it` : ENDS[proof.end] ?? proof.end],
            ["time without app after the end", proof.revert_ms !== undefined ? `${proof.revert_ms} ms` : null],
            ["set before", <code class="hash">{proof.before}</code>],
            ["set after", <code class="hash">{proof.after}</code>],
            proof.app ? ["app", <>pid {proof.app.pid}, program <code class="hash">{proof.app.exe}</code></>] : null,
            ["boot", proof.boot_id ? <code class="hash">{proof.boot_id}</code> : null],
        ]} />
    );
}
