// The shell around every page: navigation, header, sign-in over the page, and the page that the address names.
import { render, Component } from "preact";
import { useEffect, useState } from "preact/hooks";
import { match, path, startRouter } from "./router.js";
import { loadSession, session, wasSignedIn } from "./session.js";
import { startLive } from "./live.js";
import { startKeys } from "./keys.jsx";
import { applyTheme } from "./theme.js";
import { Header, Navigation } from "./shell.jsx";
import { SignIn, SignInOver } from "./pages/sign_in.jsx";
import { Failure, Page } from "./parts/page.jsx";
import { StatusRegion } from "./parts/status_region.jsx";
import { Overview } from "./pages/overview.jsx";
import { Devices } from "./pages/devices.jsx";

/* The pages of the second chunk, fetched when the first of them is wanted. */
let more = null;
function later(name) {
    return function Later(props) {
        const [, ready] = useState(0);
        const [error, setError] = useState(null);
        useEffect(() => {
            if (!more) import("./pages/more.js").then((pages) => { more = pages; ready(1); }, setError);
        }, []);
        if (error) return <Page title="Page not loaded"><Failure what="this page" error={{ message: "The console may have been updated.", time: new Date() }} retry={() => location.reload()} /></Page>;
        const Shown = more?.[name];
        return Shown ? <Shown {...props} /> : null;
    };
}

const Device = later("Device");
const Assets = later("Assets");
const Asset = later("Asset");
const Campaigns = later("Campaigns");
const NewCampaign = later("NewCampaign");
const Campaign = later("Campaign");
const Run = later("Run");
const RunDevice = later("RunDevice");
const Captures = later("Captures");
const Capture = later("Capture");
const Compare = later("Compare");
const Images = later("Images");
const Image = later("Image");
const Audit = later("Audit");
const Setup = later("Setup");
const Groups = later("Groups");
const Group = later("Group");
const Product = later("Product");
const Rollouts = later("Rollouts");
const NewRollout = later("NewRollout");
const Rollout = later("Rollout");
const Hooks = later("Hooks");
const Hook = later("Hook");

const PAGES = [
    ["/", Overview],
    ["/devices", Devices],
    ["/devices/:name", Device],
    ["/devices/:name/:tab", Device],
    ["/groups", Groups],
    ["/groups/:name", Group],
    ["/products/:name", Product],
    ["/assets", Assets],
    ["/assets/:product/:asset", Asset],
    ["/assets/:product/:asset/:tab", Asset],
    ["/assets/:product/:asset/compare/:pair", Asset],
    ["/rollouts", Rollouts],
    ["/rollouts/new", NewRollout],
    ["/rollouts/:id", Rollout],
    ["/rollouts/:id/:tab", Rollout],
    ["/campaigns", Campaigns],
    ["/campaigns/new", NewCampaign],
    ["/campaigns/:id", Campaign],
    ["/campaigns/:id/runs/:n", Run],
    ["/campaigns/:id/runs/:n/devices/:device", RunDevice],
    ["/images", Images],
    ["/images/:product/:image", Image],
    ["/compare", Compare],
    ["/captures", Captures],
    ["/captures/:id", Capture],
    ["/captures/:id/files/:n", Capture],
    ["/audit", Audit],
    ["/settings", Hooks],
    ["/settings/hooks", Hooks],
    ["/settings/hooks/:name", Hook],
];

function NotFound() {
    return (
        <Page title="Nothing here">
            <p>There is no page at <code>{path.value}</code>. It may have been renamed, or the link is incomplete.</p>
            <p><a href="/">Go to the overview</a></p>
        </Page>
    );
}

/* A page that fails while it is drawn says so; the shell stays. */
class Guard extends Component {
    state = { error: null };
    static getDerivedStateFromError(error) {
        return { error };
    }
    componentDidCatch(error) {
        console.error(error);
    }
    render({ children }, { error }) {
        if (!error) return children;
        return <Page title="This page failed"><Failure what="this page" error={{ message: String(error.message), time: new Date() }} retry={() => this.setState({ error: null })} /></Page>;
    }
}

function App() {
    const here = path.value;
    const who = session.value;
    if (here === "/setup") return <main class="alone"><Setup /></main>;
    if (here === "/login" || (who === null && !wasSignedIn.value)) return <main class="alone"><SignIn /></main>;
    const found = match(PAGES, here);
    const Shown = found?.row[1] ?? NotFound;
    /* Tabs of one object keep their page; another object is another page. */
    const { tab, pair, n, ...object } = found?.args ?? {};
    return (
        <>
            <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.querySelector("main h1")?.focus(); }}>Skip to the page</a>
            <Header />
            <div class="frame">
                <Navigation />
                <main id="main">
                    <Guard key={here}>
                        <Shown key={JSON.stringify([found?.row[1] ?? "none", object])} {...found?.args} />
                    </Guard>
                </main>
            </div>
            {who === null && <SignInOver />}
            <StatusRegion />
        </>
    );
}

/* Once somebody is signed in: remember it for the next start, and listen. */
function Start() {
    useEffect(() => session.subscribe((who) => {
        if (who) {
            localStorage.setItem("locum.known", "1");
            startLive();
        } else if (who === null) localStorage.removeItem("locum.known");
    }), []);
    return <App />;
}

applyTheme();
startRouter();
startKeys();
/* A browser where nobody has signed in need not ask. A server that cannot be reached is the page's own to say. */
if (localStorage.getItem("locum.known")) loadSession().catch(() => {});
else session.value = null;
render(<Start />, document.getElementById("app"));
