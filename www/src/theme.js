// Light, dark, or as the system says.
export const THEMES = [["", "System"], ["light", "Light"], ["dark", "Dark"]];

export const theme = () => localStorage.getItem("locum.theme") ?? "";

export function applyTheme(choice = theme()) {
    if (choice) localStorage.setItem("locum.theme", choice);
    else localStorage.removeItem("locum.theme");
    document.documentElement.style.colorScheme = choice || "light dark";
}
