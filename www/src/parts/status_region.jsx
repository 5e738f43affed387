import { status } from "../status.js";

export function StatusRegion() {
    const now = status.value;
    return (
        <div class="toast-place" role="status" aria-live="polite">
            {now && (
                <div class="toast">
                    <span>{now.text}</span>
                    {now.to && <a href={now.to}>{now.link}</a>}
                    <button type="button" class="plain" onClick={() => (status.value = null)} aria-label="Dismiss">✕</button>
                </div>
            )}
        </div>
    );
}
