// All panels of one page as one thing: window, hover, pin and hidden runs are shared, so one run can be followed everywhere.

import { markLegend, syncLegend } from "./legend.js";
import { layout, paintAxes, paintBase, paintTop } from "./paint.js";
import { decode } from "./payload.js";
import { covers, nearest } from "./places.js";
import { listen } from "./pointer.js";
import { number, rangeWords, xWords } from "./scale.js";
import { readTheme } from "./theme.js";

class View {
  constructor(root) {
    const find = (name) => root.querySelector(`[data-part="${name}"]`);
    this.root = root.querySelector(".curves");
    this.elements = Object.fromEntries(
      ["words", "reset", "panels", "list", "count", "metric", "showAll", "probe"].map((name) => [name, find(name)]),
    );
    this.panels = [];
    this.rows = [];
    this.hidden = new Set(); // refs, as `pinned`: they outlive a change of the runs' order
    this.pinned = null;
    this.hovered = null; // index of a run
    this.cursor = null; // place on the x axis
    this.focus = null; // the panel under the pointer
    this.drag = null;
    this.asked = null; // the window that Python was asked for
    this.patience = 0; // how many payloads of another window may still be on their way
    this.elements.reset.addEventListener("click", () => this.zoom(null));
    this.elements.showAll.addEventListener("click", () => this.showAll());
    this.elements.probe.addEventListener("transitionend", () => this.draw()); // its colour follows the theme
    this.resizing = new ResizeObserver(() => this.draw());
    this.resizing.observe(this.elements.panels);
  }

  // New data from Python. What the reader has pinned, hidden or is pointing at stays.
  update(bytes, send) {
    this.send = send;
    const followed = this.hovered === null ? null : this.header.runs[this.hovered].ref;
    this.header = decode(bytes);
    if (this.answersWhatWasAsked()) {
      this.window = this.header.x.window;
      this.asked = null;
    } // else it was on its way before the reader zoomed: what was asked for stays in sight
    const index = this.header.runs.findIndex((run) => run.ref === followed);
    this.hovered = index < 0 ? null : index;
    if (!this.header.runs.some((run) => run.ref === this.pinned)) this.pinned = null;
    this.theme = readTheme(this.root);
    this.syncPanels();
    syncLegend(this);
    this.draw();
    this.describe();
  }

  answersWhatWasAsked() {
    if (this.asked === null || this.patience-- <= 0) return true;
    const { window, zoomed } = this.header.x;
    if (this.asked === "full") return !zoomed;
    const near = Math.abs(this.asked[1] - this.asked[0]) * 1e-6;
    return window.every((edge, i) => Math.abs(edge - this.asked[i]) <= near);
  }

  syncPanels() {
    const { panels } = this.header;
    while (this.panels.length > panels.length) this.panels.pop().figure.remove();
    while (this.panels.length < panels.length) this.panels.push(this.buildPanel());
    this.panels.forEach((panel, index) => {
      const { title, log, series, under } = panels[index];
      Object.assign(panel, { title, log, series, under });
      for (const one of series) one.style = this.header.runs[one.run].style;
      panel.heading.textContent = panel.heading.title = title;
      panel.figure.dataset.metric = title;
      panel.empty.hidden = series.some((one) => one.x.length > 0);
      panel.figure.setAttribute("aria-label", this.label(panel));
    });
    this.root.classList.toggle("single", panels.length === 1);
    if (!this.panels.includes(this.focus)) this.focus = null;
  }

  buildPanel() {
    const figure = document.createElement("div");
    figure.className = "panel";
    figure.tabIndex = 0;
    figure.setAttribute("role", "img");
    const part = (tag, name, parent) => {
      const made = document.createElement(tag);
      made.className = name;
      parent.append(made);
      return made;
    };
    const head = part("div", "head", figure), plot = part("div", "plot", figure);
    const panel = {
      figure,
      plot,
      heading: part("span", "title", head),
      note: part("span", "note", head),
      reading: part("span", "reading", head),
      axes: part("canvas", "axes", plot),
      base: part("canvas", "base", plot),
      top: part("canvas", "top", plot),
      empty: part("p", "empty", plot),
    };
    panel.empty.textContent = "No points of this metric here";
    this.elements.panels.append(figure);
    listen(panel, this);
    return panel;
  }

  label(panel) {
    const { x } = this.header, count = panel.series.filter((one) => one.x.length).length;
    const from = xWords(x.window[0], x.kind, x.name), to = xWords(x.window[1], x.kind, x.name);
    return `${panel.title}: ${count} ${count === 1 ? "run" : "runs"}, ${from} to ${to}. Arrow keys move the crosshair.`;
  }

  draw() {
    if (!this.header) return;
    this.theme = readTheme(this.root);
    for (const panel of this.panels) {
      panel.width = panel.plot.clientWidth;
      panel.height = panel.plot.clientHeight;
      if (panel.width < 80 || panel.height < 40) continue;
      layout(panel, this);
      paintAxes(panel, this);
      paintBase(panel, this);
      paintTop(panel, this);
      panel.note.textContent = panel.unplottable ? `${panel.unplottable} not above 0` : "";
    }
    syncLegend(this);
    this.read();
  }

  // At most one repaint of the top layers per frame, however fast the pointer moves.
  drawTops() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = null;
      const picked = this.pickedRun() !== null;
      for (const panel of this.panels) {
        panel.base.classList.toggle("faded", picked);
        if (panel.width >= 80 && panel.height >= 40) paintTop(panel, this);
      }
      markLegend(this);
      this.read();
      this.describe();
    });
  }

  // Puts the values under the crosshair into the titles, the legend and the line above.
  read() {
    const { header } = this, picked = this.pickedRun();
    for (const panel of this.panels) {
      const series = picked === null ? undefined : panel.series.find((one) => one.run === picked);
      panel.reading.textContent = series ? this.valueOf(series) : "";
    }
    const panel = this.focus ?? this.panels[0];
    const values = new Map(panel ? panel.series.map((one) => [one.run, this.valueOf(one)]) : []);
    this.rows.forEach((row, index) => (row.value.textContent = values.get(index) ?? ""));
    const { words, metric, reset } = this.elements;
    metric.textContent = panel ? (this.cursor === null ? `last ${panel.title}` : panel.title) : "";
    metric.title = panel ? panel.title : "";
    const place = this.cursor === null ? "" : xWords(this.cursor, header.x.kind, header.x.name);
    const name = picked === null ? "" : header.runs[picked].name;
    const left = panel?.series.find((one) => one.run === picked)?.left ?? null;
    const leaving = left === null ? "" : `left its baseline at step ${number(Math.round(left))}`;
    words.textContent =
      [place, name, leaving].filter(Boolean).join(" · ") || `${rangeWords(this.window, header.x.kind, header.x.name)} · ${header.caption}`;
    words.classList.toggle("caption", !place && !name);
    reset.hidden = !header.x.zoomed && this.asked === null;
  }

  valueOf(series) {
    const values = series.smooth ?? series.mean;
    if (!values.length) return "";
    if (this.cursor === null) return number(values[values.length - 1]);
    return covers(series.x, this.cursor) ? number(values[nearest(series.x, this.cursor)]) : "–";
  }

  pickedRun() {
    if (this.hovered !== null && !this.isHidden(this.hovered)) return this.hovered;
    const index = this.header.runs.findIndex((run) => run.ref === this.pinned);
    return index < 0 || this.isHidden(index) ? null : index;
  }

  isHidden(index) {
    return this.hidden.has(this.header.runs[index].ref);
  }

  hover(panel, x, run) {
    this.focus = panel;
    this.cursor = x;
    this.hovered = run;
    this.drawTops();
  }

  leave() {
    this.cursor = this.hovered = this.focus = null;
    this.drawTops();
  }

  pointAt(run) {
    this.hovered = run;
    this.drawTops();
  }

  togglePin(run) {
    const { ref } = this.header.runs[run];
    this.pinned = this.pinned === ref ? null : ref;
    this.drawTops();
  }

  unpin() {
    this.pinned = null;
    this.drawTops();
  }

  toggleHidden(run) {
    const { ref } = this.header.runs[run];
    if (!this.hidden.delete(ref)) this.hidden.add(ref);
    this.draw();
    this.drawTops();
  }

  showAll() {
    this.hidden.clear();
    this.draw();
    this.drawTops();
  }

  // Shows what is at hand at once, and asks Python for the same window at full detail. null: everything.
  zoom(window) {
    const { full, zoomed, kind } = this.header.x;
    if (window === null && !zoomed) return;
    let wanted = window ?? full;
    if (window !== null) {
      wanted = [Math.max(full[0], window[0]), Math.min(full[1], window[1])];
      if (kind === "step") wanted = [Math.floor(wanted[0]), Math.ceil(wanted[1])];
      if (!(wanted[1] > wanted[0])) return;
    }
    this.window = wanted;
    this.asked = window === null || (wanted[0] <= full[0] && wanted[1] >= full[1]) ? "full" : wanted;
    this.patience = 2;
    this.draw();
    this.describe();
    this.send("zoom", this.asked);
  }

  // For tests, and for people who look at a page from outside.
  describe() {
    const { header, root } = this, picked = this.pickedRun();
    const points = this.panels.reduce((sum, panel) => sum + panel.series.reduce((all, one) => all + one.x.length, 0), 0);
    root.dataset.runs = header.runs.map((run) => run.ref).join(" ");
    root.dataset.panels = String(this.panels.length);
    root.dataset.points = String(points);
    root.dataset.window = this.window.join(":");
    root.dataset.last = String(header.x.full[1]);
    root.dataset.pick = picked === null ? "" : header.runs[picked].ref;
    root.dataset.pinned = this.pinned ?? "";
    root.dataset.hidden = [...this.hidden].join(" ");
    root.dataset.busy = String(this.asked !== null);
  }

  close() {
    this.resizing.disconnect();
    if (this.frame) cancelAnimationFrame(this.frame);
  }
}

const views = new WeakMap();

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  let view = views.get(parentElement);
  if (!view || !view.root.isConnected) {
    view?.close();
    view = new View(parentElement);
    views.set(parentElement, view);
  }
  view.update(data, setTriggerValue);
}
