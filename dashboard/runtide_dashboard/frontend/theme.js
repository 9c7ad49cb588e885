// Colours come from Streamlit's theme variables, so light, dark and custom themes all work.

const FALLBACK = ["#1845fb", "#ff5e02", "#c91f16", "#c849a9", "#adad7d", "#86c8dd", "#578dff", "#656364"];
const DASHES = [[], [7, 4], [2, 3]]; // the palette again dashed, then dotted: 24 that can be told apart

export function readTheme(element) {
  const style = getComputedStyle(element);
  const read = (name, fallback) => {
    const value = style.getPropertyValue(`--st-${name}`).trim();
    return value && value !== "unset" ? value : fallback;
  };
  const palette = read("chart-categorical-colors", "").split(",").map((colour) => colour.trim()).filter(Boolean);
  return {
    palette: palette.length >= 8 ? palette : FALLBACK,
    text: read("text-color", "#16202e"),
    background: read("background-color", "#ffffff"),
    grid: read("border-color", "#dde3ec"),
    primary: read("primary-color", "#1b59f8"),
    font: read("font", "sans-serif"),
  };
}

export function strokeOf(theme, style) {
  return {
    colour: theme.palette[style % 8],
    dash: DASHES[Math.floor(style / 8) % DASHES.length],
  };
}
