// A SharedWorker: holds the one event stream of this browser and hands it to every open tab.
import { openStream } from "./stream.js";

const ports = new Set();
let stream = null;

const tell = (message) => ports.forEach((port) => port.postMessage(message));

self.onconnect = (event) => {
    const port = event.ports[0];
    ports.add(port);
    port.onmessage = ({ data }) => {
        if (data === "bye") ports.delete(port);
        else stream.wake(data === "restart");
    };
    stream ??= openStream("/api/v1/events", tell);
    port.postMessage(stream.status());
};
