// One stream of server-sent events (WHATWG HTML, "Server-sent events"), read with fetch: an EventSource hides the comment lines that are
// the server's heartbeat, and the status of a refusal. Runs in the SharedWorker, or in the leading tab where there is none.

const SILENCE_MS = 30000; // twice the server's heartbeat
const WAIT_MS = [500, 1000, 2000, 4000, 8000, 15000];

/* Reads the stream for ever and calls tell({ kind: "state", state, since } | { kind: "events", events: [{ type, data }] }).
 * state: connecting, live, lost, signed_out; since: when it became so, or for lost when the last byte came. */
export function openStream(url, tell) {
    let lastId = null;
    let lastByte = Date.now();
    let tries = 0;
    let abort = null;
    let timer = null;
    let status = { kind: "state", state: "connecting", since: Date.now() };

    function become(state, since = Date.now()) {
        if (state === status.state) return;
        status = { kind: "state", state, since };
        tell(status);
    }

    async function read(response) {
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        const parse = eventParser((id) => (lastId = id));
        for (;;) {
            const { value, done } = await reader.read();
            if (done) return;
            lastByte = Date.now();
            const events = parse(value);
            if (events.length) tell({ kind: "events", events });
        }
    }

    async function connect() {
        clearTimeout(timer);
        abort = new AbortController();
        const mine = abort;
        lastByte = Date.now();
        const watch = setInterval(() => Date.now() - lastByte > SILENCE_MS && mine.abort(), 1000);
        try {
            const headers = { Accept: "text/event-stream", ...(lastId && { "Last-Event-ID": lastId }) };
            const response = await fetch(url, { headers, signal: mine.signal, cache: "no-store", credentials: "same-origin" });
            if (response.status === 401) {
                await response.body?.cancel();
                return become("signed_out");
            }
            if (!response.ok) throw new Error(String(response.status));
            tries = 0;
            become("live");
            await read(response);
        } catch {
            /* cut, refused or silent: all the same, tried again below */
        } finally {
            clearInterval(watch);
        }
        if (mine !== abort) return; // another connection has taken over
        if (status.state !== "lost") become("lost", lastByte);
        timer = setTimeout(connect, WAIT_MS[Math.min(tries++, WAIT_MS.length - 1)] * (0.75 + Math.random() / 2));
    }

    connect();
    return {
        status: () => status,
        /* Somebody signed in, came back to the tab or to the network: do not wait any longer. */
        wake(always) {
            if (status.state === "live" && !always) return;
            const old = abort;
            tries = 0;
            connect();
            old?.abort();
        },
    };
}

/* Returns a function from a piece of text to the events that it completes. */
function eventParser(onId) {
    let rest = "";
    let type = "";
    let data = [];
    return (piece) => {
        const events = [];
        const lines = (rest + piece).split(/\r\n|\n|\r/);
        rest = lines.pop();
        for (const line of lines) {
            if (line === "") {
                if (data.length || type) events.push({ type: type || "message", data: toJson(data.join("\n")) });
                type = "";
                data = [];
                continue;
            }
            const colon = line.indexOf(":");
            if (colon === 0) continue;
            const field = colon < 0 ? line : line.slice(0, colon);
            const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
            if (field === "event") type = value;
            else if (field === "data") data.push(value);
            else if (field === "id") onId(value);
        }
        return events;
    };
}

function toJson(text) {
    try {
        return JSON.parse(text);
    } catch {
        return {};
    }
}
