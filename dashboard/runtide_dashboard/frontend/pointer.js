// What hand and keyboard do on a panel: hover picks, click pins, drag zooms, double-click shows everything.

import { MARGIN, shown } from "./paint.js";
import { covers, nearest } from "./places.js";

const REACH_PX = 36; // farther from every curve than this, none is meant
const STICKINESS_PX = 5; // the picked run stays until another is nearer by this much: no flicker
const DRAG_MIN_PX = 5;

export function listen(panel, view) {
  const surface = panel.top;
  surface.addEventListener("pointermove", (event) => move(panel, view, event));
  surface.addEventListener("pointerleave", () => {
    if (!view.drag) view.leave();
  });
  surface.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    surface.setPointerCapture(event.pointerId);
    const at = inPlot(panel, event.offsetX);
    view.drag = { panel, startPixel: at, from: panel.x.value(at), to: panel.x.value(at), moved: false };
  });
  surface.addEventListener("pointerup", (event) => release(panel, view, event));
  surface.addEventListener("pointercancel", () => {
    view.drag = null;
    view.drawTops();
  });
  surface.addEventListener("dblclick", () => view.zoom(null));
  panel.figure.addEventListener("keydown", (event) => press(panel, view, event));
  panel.figure.addEventListener("blur", () => view.leave());
}

const inPlot = (panel, pixel) => Math.min(panel.width - MARGIN.right, Math.max(MARGIN.left, pixel));

function move(panel, view, event) {
  const at = inPlot(panel, event.offsetX);
  if (view.drag) {
    view.drag.to = panel.x.value(at);
    view.drag.moved = Math.abs(at - view.drag.startPixel) >= DRAG_MIN_PX;
  }
  const run = pick(panel, view, at, event.offsetY);
  const series = panel.series.find((one) => one.run === run);
  const x = panel.x.value(at), i = series ? nearest(series.x, x) : null;
  view.hover(panel, i === null ? x : series.x[i], run);
}

function pick(panel, view, x, y) {
  const value = panel.x.value(x);
  let best = null, bestDistance = Infinity, currentDistance = Infinity;
  for (const series of shown(panel, view)) {
    const i = nearest(series.x, value);
    if (i === null || !covers(series.x, value)) continue;
    const distance = distanceTo(panel, series, i, x, y);
    if (distance < bestDistance) [best, bestDistance] = [series.run, distance];
    if (series.run === view.hovered) currentDistance = distance;
  }
  if (currentDistance <= bestDistance + STICKINESS_PX && currentDistance <= REACH_PX) return view.hovered;
  return bestDistance <= REACH_PX ? best : null;
}

// Distance to the two segments beside the nearest point, so that steep lines are as easy to hit as flat ones.
function distanceTo(panel, series, i, x, y) {
  const values = series.smooth ?? series.mean;
  const place = (j) => [panel.x.pixel(series.x[j]), panel.y.pixel(values[j])];
  const [px, py] = place(i);
  let distance = Math.hypot(px - x, py - y);
  for (const j of [i - 1, i + 1]) {
    if (j < 0 || j >= series.x.length) continue;
    const [qx, qy] = place(j), dx = qx - px, dy = qy - py, length = dx * dx + dy * dy;
    const along = length > 0 ? Math.min(1, Math.max(0, ((x - px) * dx + (y - py) * dy) / length)) : 0;
    const candidate = Math.hypot(px + along * dx - x, py + along * dy - y);
    if (candidate < distance) distance = candidate; // false for NaN
  }
  return Number.isNaN(distance) ? Infinity : distance;
}

function release(panel, view, event) {
  const { drag } = view;
  view.drag = null;
  if (!drag) return;
  if (drag.moved) {
    view.zoom([Math.min(drag.from, drag.to), Math.max(drag.from, drag.to)]);
  } else {
    const run = pick(panel, view, inPlot(panel, event.offsetX), event.offsetY);
    if (run !== null) view.togglePin(run);
    else if (view.pinned !== null) view.unpin();
  }
  view.drawTops();
}

function press(panel, view, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const visible = shown(panel, view).map((series) => series.run);
  const [lo, hi] = view.window;
  const middle = view.cursor ?? panel.x.value((panel.width + MARGIN.left - MARGIN.right) / 2);
  const acts = {
    ArrowLeft: () => step(panel, view, middle, event.shiftKey ? -10 : -1),
    ArrowRight: () => step(panel, view, middle, event.shiftKey ? 10 : 1),
    ArrowUp: () => turn(panel, view, visible, middle, -1),
    ArrowDown: () => turn(panel, view, visible, middle, 1),
    Home: () => view.hover(panel, lo, view.hovered),
    End: () => view.hover(panel, hi, view.hovered),
    Enter: () => view.hovered !== null && view.togglePin(view.hovered),
    "+": () => view.zoom([middle - (middle - lo) / 2, middle + (hi - middle) / 2]),
    "=": () => acts["+"](),
    "-": () => view.zoom([lo - (hi - lo) / 2, hi + (hi - lo) / 2]),
    Escape: () => (view.pinned === null ? view.zoom(null) : view.unpin()),
  };
  if (!acts[event.key]) return;
  event.preventDefault();
  event.stopPropagation();
  acts[event.key]();
}

// Moves the crosshair from point to point of the run at hand.
function step(panel, view, from, count) {
  const run = view.pickedRun() ?? shown(panel, view)[0]?.run;
  const series = panel.series.find((one) => one.run === run);
  if (!series || !series.x.length) return;
  const [lo, hi] = view.window;
  let i = nearest(series.x, from) + count;
  i = Math.min(series.x.length - 1, Math.max(0, i));
  view.hover(panel, Math.min(hi, Math.max(lo, series.x[i])), run);
}

function turn(panel, view, visible, at, direction) {
  if (!visible.length) return;
  const now = visible.indexOf(view.pickedRun());
  const next = now < 0 ? 0 : (now + direction + visible.length) % visible.length;
  view.hover(panel, at, visible[next]);
}
