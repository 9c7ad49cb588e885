// One list for all panels: a swatch, the name, the value under the crosshair; click pins, the eye hides.

import { strokeOf } from "./theme.js";

// Buttons are built anew only when the runs change, so keyboard focus survives live refreshes.
export function syncLegend(view) {
  const { runs } = view.header;
  const signature = JSON.stringify(runs.map((run) => [run.ref, run.short, run.state]));
  if (signature !== view.legendSignature) {
    view.legendSignature = signature;
    view.rows = runs.map((run, index) => buildRow(view, run, index));
    view.elements.list.replaceChildren(...view.rows.map((row) => row.item));
  }
  paintSwatches(view);
  markLegend(view);
}

function buildRow(view, run, index) {
  const item = element("li", "run");
  const pin = element("button", "pin"), hide = element("button", "hide");
  const swatch = element("canvas", "swatch"), name = element("span", "name"), value = element("span", "value");
  swatch.setAttribute("aria-hidden", "true");
  name.textContent = run.short;
  pin.type = hide.type = "button";
  pin.title = run.name === run.id ? run.name : `${run.name} (${run.id})`;
  pin.append(swatch, name);
  if (run.state === "running") {
    const live = element("span", "live");
    live.title = "running";
    live.setAttribute("role", "img");
    live.setAttribute("aria-label", "running");
    pin.append(live);
  }
  pin.append(value);
  item.dataset.run = run.ref;
  item.append(pin, hide);
  item.addEventListener("pointerenter", () => view.pointAt(index));
  item.addEventListener("pointerleave", () => view.pointAt(null));
  pin.addEventListener("focus", () => view.pointAt(index));
  pin.addEventListener("blur", () => view.pointAt(null));
  pin.addEventListener("click", () => view.togglePin(index));
  hide.addEventListener("click", () => view.toggleHidden(index));
  hide.append(eye());
  return { item, pin, hide, swatch, value };
}

function element(tag, name) {
  const made = document.createElement(tag);
  made.className = name;
  return made;
}

function eye() {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  for (const [tag, attributes] of [
    ["path", { d: "M1.5 8C3 5 5.3 3.5 8 3.5S13 5 14.5 8C13 11 10.7 12.5 8 12.5S3 11 1.5 8Z" }],
    ["circle", { cx: "8", cy: "8", r: "2" }],
    ["path", { d: "M2.5 13.5 13.5 2.5", class: "stroke" }],
  ]) {
    const part = document.createElementNS(space, tag);
    for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
    svg.append(part);
  }
  return svg;
}

function paintSwatches(view) {
  const ratio = window.devicePixelRatio || 1;
  view.rows.forEach(({ swatch }, index) => {
    const { colour, dash } = strokeOf(view.theme, view.header.runs[index].style);
    swatch.width = 18 * ratio;
    swatch.height = 10 * ratio;
    const context = swatch.getContext("2d");
    context.scale(ratio, ratio);
    context.strokeStyle = colour;
    context.lineWidth = 3;
    context.setLineDash(dash.map((length) => Math.min(length, 4)));
    context.beginPath();
    context.moveTo(0, 5);
    context.lineTo(18, 5);
    context.stroke();
  });
}

export function markLegend(view) {
  const picked = view.pickedRun();
  view.rows.forEach(({ item, pin, hide }, index) => {
    const { ref, name } = view.header.runs[index], hidden = view.isHidden(index);
    item.classList.toggle("picked", index === picked);
    item.classList.toggle("hidden", hidden);
    pin.setAttribute("aria-pressed", String(view.pinned === ref));
    hide.setAttribute("aria-pressed", String(hidden));
    hide.setAttribute("aria-label", `${hidden ? "Show" : "Hide"} ${name}`);
    hide.title = hidden ? "Show" : "Hide";
  });
  const { hidden } = view, total = view.header.runs.length;
  const count = view.header.runs.filter((run) => hidden.has(run.ref)).length;
  view.elements.showAll.hidden = count === 0;
  view.elements.count.textContent = count ? `${total - count} of ${total} runs` : `${total} ${total === 1 ? "run" : "runs"}`;
}
