// Small shapes, one per state, drawn in the colour of the text beside them.
const SHAPES = {
    dot: <circle cx="8" cy="8" r="4.5" fill="currentColor" stroke="none" />,
    ring: <circle cx="8" cy="8" r="4.5" />,
    dash: <path d="M4 8h8" />,
    half: <><circle cx="8" cy="8" r="5" /><path d="M8 3a5 5 0 0 1 0 10z" fill="currentColor" /></>,
    clock: <><circle cx="8" cy="8" r="5.5" /><path d="M8 5v3l2 1.5" /></>,
    question: <><circle cx="8" cy="8" r="6" /><path d="M6.3 6.4a1.8 1.8 0 1 1 2.5 1.7c-.6.3-.8.6-.8 1.2M8 11.3v.1" /></>,
    check: <path d="m3.5 8.5 3 3 6-7" />,
    cross: <path d="m4 4 8 8M12 4l-8 8" />,
    slash: <><circle cx="8" cy="8" r="5.5" /><path d="m4.2 11.8 7.6-7.6" /></>,
    skip: <path d="m4 4 4 4-4 4M8 4l4 4-4 4" />,
    down: <path d="M8 3v8M4.5 7.5 8 11l3.5-3.5M3.5 13.5h9" />,
    up: <path d="M8 11V3M4.5 6.5 8 3l3.5 3.5M3.5 13.5h9" />,
    turn: <path d="M12.5 8A4.5 4.5 0 1 1 8 3.5h3M9 1.5l2 2-2 2" />,
    play: <path d="M5 3.5v9l7.5-4.5z" fill="currentColor" />,
    pause: <path d="M5.5 4v8M10.5 4v8" />,
    stop: <rect x="4.5" y="4.5" width="7" height="7" />,
    shield: <path d="M8 2.5 3.5 4v4c0 3 2 4.8 4.5 5.5C10.5 12.8 12.5 11 12.5 8V4z" />,
    alarm: <path d="M8 2.5 14 13.5H2zM8 6.5v3M8 11.5v.1" />,
    menu: <path d="M2.5 4.5h11M2.5 8h11M2.5 11.5h11" />,
    copy: <><rect x="5.5" y="5.5" width="7.5" height="8" rx="1" /><path d="M10.5 3H4a1 1 0 0 0-1 1v7" /></>,
    plus: <path d="M8 3.5v9M3.5 8h9" />,
    right: <path d="m6 3.5 4.5 4.5L6 12.5" />,
    person: <><circle cx="8" cy="5.5" r="2.5" /><path d="M3.5 13.5c.6-2.6 2.3-4 4.5-4s3.9 1.4 4.5 4" /></>,
    file: <path d="M4 2.5h5l3 3v8H4zM9 2.5v3h3" />,
    key: <><circle cx="5.5" cy="10.5" r="2.5" /><path d="m7.5 8.5 5-5M10.5 5.5l2 2" /></>,
    overview: <path d="M3 3h4v4H3zM9 3h4v4H9zM3 9h4v4H3zM9 9h4v4H9z" />,
    device: <><rect x="3.5" y="3.5" width="9" height="9" rx="1" /><path d="M6 1.5v2M10 1.5v2M6 12.5v2M10 12.5v2M1.5 6h2M1.5 10h2M12.5 6h2M12.5 10h2" /></>,
    asset: <path d="m8 2 5.5 3v6L8 14l-5.5-3V5zM2.5 5 8 8l5.5-3M8 8v6" />,
    image: <path d="M5.5 2.5h5M6.5 2.5v4L3 12.3c-.4.8 0 1.7.9 1.7h8.2c.9 0 1.3-.9.9-1.7L9.5 6.5v-4M5 10h6" />,
    campaign: <><circle cx="8" cy="8" r="5.5" /><circle cx="8" cy="8" r="2" /></>,
    capture: <path d="M2 13.5h12M3 10l3-4 3 2.5L13 3" />,
    group: <><circle cx="5" cy="5.5" r="2" /><circle cx="11" cy="5.5" r="2" /><path d="M1.5 12.5c.4-2 1.7-3.2 3.5-3.2s3.1 1.2 3.5 3.2M9.5 9.5c.5-.2 1-.2 1.5-.2 1.8 0 3.1 1.2 3.5 3.2" /></>,
    rollout: <path d="M2 13h3.5V9.5H9V6h3.5V2.5M10.5 4.5l2-2 2 2" />,
    pin: <path d="M6 2.5h4v4l2 2.5H4l2-2.5zM8 9v5" />,
    settings: <><path d="M2.5 5h5M12.5 5h1M2.5 11h1M8.5 11h5" /><circle cx="10" cy="5" r="2" /><circle cx="6" cy="11" r="2" /></>,
    audit: <path d="M3.5 3h9M3.5 6.5h9M3.5 10h9M3.5 13.5h5" />,
};

export function Icon({ name }) {
    return (
        <svg class="icon" viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor" stroke-width="1.6"
            stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">
            {SHAPES[name] ?? SHAPES.dash}
        </svg>
    );
}

export function Logo({ size }) {
    return (
        <svg class="logo" viewBox="0 0 32 32" width={size} height={size} aria-hidden="true" focusable="false">
            <rect width="32" height="32" rx="7" fill="#0b6a75" />
            <path d="M10 7v14a4 4 0 0 0 4 4h8" fill="none" stroke="#fff" stroke-width="4" stroke-linecap="round" />
            <circle cx="21" cy="12" r="4" fill="#5fd0dc" />
        </svg>
    );
}
