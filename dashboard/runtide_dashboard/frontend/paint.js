// Three canvases per panel: axes (never fades), base (all runs, fades while one is picked), top (pick, crosshair, brush).

import { paintDepartures, paintUnder, reachUnder } from "./baseline.js";
import { covers, nearest, slice } from "./places.js";
import { tickLabel, ticks, logTicks, xScale, xTickLabel, xTicks, yScale } from "./scale.js";
import { strokeOf } from "./theme.js";

export const MARGIN = { left: 52, right: 10, top: 8, bottom: 22 };
const BAND_ALPHA = 0.13, RAW_ALPHA = 0.28;

// The scales of a panel for the present window; the y range looks only at what is shown.
export function layout(panel, view) {
  const { width, height } = panel;
  const right = width - MARGIN.right, bottom = height - MARGIN.bottom;
  panel.x = xScale(view.window, MARGIN.left, right, view.header.x.log);
  panel.domain = domainOf(panel, view);
  panel.y = yScale(panel.domain, MARGIN.top, bottom, panel.log);
}

function domainOf(panel, view) {
  let lo = Infinity, hi = -Infinity, bandLo = Infinity, bandHi = -Infinity;
  const take = (value) => {
    if (Number.isFinite(value) && (!panel.log || value > 0)) {
      if (value < lo) lo = value;
      if (value > hi) hi = value;
    }
  };
  panel.unplottable = 0;
  for (const series of shown(panel, view)) {
    const [from, to] = slice(series.x, view.window);
    for (let i = from; i < to; i++) {
      if (panel.log && series.mean[i] <= 0) panel.unplottable++;
      take(series.smooth ? series.smooth[i] : series.mean[i]);
      if (series.smooth) take(series.mean[i]);
      if (series.lo && Number.isFinite(series.lo[i]) && (!panel.log || series.lo[i] > 0)) {
        bandLo = Math.min(bandLo, series.lo[i]);
        bandHi = Math.max(bandHi, series.hi[i]);
      }
    }
  }
  reachUnder(panel, view.window, take);
  if (lo > hi) return panel.log ? [0.1, 10] : [0, 1];
  if (panel.log) return lo === hi ? [lo / 2, hi * 2] : [lo / (hi / lo) ** 0.04, hi * (hi / lo) ** 0.04];
  const reach = (hi - lo) * 0.5; // a band may widen the view by half, one wild point not by more
  lo = Math.min(lo, Math.max(bandLo, lo - reach));
  hi = Math.max(hi, Math.min(bandHi, hi + reach));
  const room = hi > lo ? (hi - lo) * 0.05 : Math.abs(hi) * 0.1 || 1;
  return [lo - room, hi + room];
}

export const shown = (panel, view) => panel.series.filter((series) => !view.isHidden(series.run));

function fresh(canvas, panel) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(panel.width * ratio), height = Math.round(panel.height * ratio);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, panel.width, panel.height);
  return context;
}

function clipToPlot(context, panel) {
  context.beginPath();
  const width = panel.width - MARGIN.left - MARGIN.right, height = panel.height - MARGIN.top - MARGIN.bottom;
  context.rect(MARGIN.left, MARGIN.top - 3, width, height + 6);
  context.clip();
}

export function paintAxes(panel, view) {
  const { theme, header } = view, context = fresh(panel.axes, panel);
  const bottom = panel.height - MARGIN.bottom, right = panel.width - MARGIN.right;
  context.font = `11px ${theme.font}`;
  context.lineWidth = 1;
  const [lo, hi] = panel.domain, wanted = Math.max(2, Math.floor((bottom - MARGIN.top) / 42));
  const levels = panel.log ? logTicks(lo, hi, wanted) : ticks(lo, hi, wanted);
  const step = levels.length > 1 ? levels[1] - levels[0] : lo;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const level of levels) {
    const y = Math.round(panel.y.pixel(level)) + 0.5;
    context.globalAlpha = 0.7;
    context.strokeStyle = theme.grid;
    line(context, MARGIN.left, y, right, y);
    context.globalAlpha = 0.72;
    context.fillStyle = theme.text;
    context.fillText(tickLabel(level, panel.log ? Math.min(level, Math.abs(step)) : step), MARGIN.left - 8, y);
  }
  const places = xTicks(view.window, header.x.kind, header.x.log, Math.max(2, Math.floor((right - MARGIN.left) / 84)));
  const gap = places.length > 1 ? places[1] - places[0] : places[0];
  context.textBaseline = "top";
  let free = -Infinity;
  for (const place of places) {
    const x = Math.round(panel.x.pixel(place)) + 0.5;
    const label = xTickLabel(place, header.x.kind, view.window, header.x.log ? place : gap);
    const half = context.measureText(label).width / 2;
    context.globalAlpha = 0.9;
    context.strokeStyle = theme.grid;
    line(context, x, bottom, x, bottom + 4);
    if (x - half < free || x + half > panel.width) continue;
    free = x + half + 12;
    context.globalAlpha = 0.72;
    context.textAlign = "center";
    context.fillText(label, x, bottom + 7);
  }
  context.globalAlpha = 1;
  context.strokeStyle = theme.grid;
  line(context, MARGIN.left, bottom + 0.5, right, bottom + 0.5);
}

function line(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}

export function paintBase(panel, view) {
  const context = fresh(panel.base, panel), visible = shown(panel, view);
  context.save();
  clipToPlot(context, panel);
  paintUnder(context, panel, view);
  for (const series of visible) band(context, panel, series, view, BAND_ALPHA);
  const width = visible.length > 24 ? 1.1 : 1.6;
  for (const series of visible) curve(context, panel, series, view, width);
  paintDepartures(context, panel, visible, view, panel.height - MARGIN.bottom);
  context.restore();
  for (const series of visible) marks(context, panel, series, view);
}

function band(context, panel, series, view, alpha) {
  if (!series.lo) return;
  const [from, to] = slice(series.x, view.window), floor = panel.domain[0];
  context.fillStyle = strokeOf(view.theme, series.style).colour;
  context.globalAlpha = alpha;
  const low = (i) => panel.y.pixel(panel.log && series.lo[i] <= 0 ? floor : series.lo[i]);
  let i = from;
  while (i < to) {
    while (i < to && !Number.isFinite(series.lo[i])) i++;
    const start = i;
    context.beginPath();
    for (; i < to && Number.isFinite(series.lo[i]); i++) context.lineTo(panel.x.pixel(series.x[i]), panel.y.pixel(series.hi[i]));
    for (let j = i - 1; j >= start; j--) context.lineTo(panel.x.pixel(series.x[j]), low(j));
    context.fill();
  }
  context.globalAlpha = 1;
}

function curve(context, panel, series, view, width) {
  const { colour, dash } = strokeOf(view.theme, series.style);
  context.strokeStyle = colour;
  context.lineJoin = "round";
  if (series.smooth) {
    context.globalAlpha = RAW_ALPHA;
    context.lineWidth = 1;
    context.setLineDash([]);
    trace(context, panel, series, series.mean, view);
    context.globalAlpha = 1;
  }
  context.lineWidth = width;
  context.setLineDash(dash);
  trace(context, panel, series, series.smooth ?? series.mean, view);
  context.setLineDash([]);
}

// A value that is no number breaks the line: nothing is made up in between. A lone point becomes a dot.
function trace(context, panel, series, values, view) {
  const [from, to] = slice(series.x, view.window);
  const dots = [];
  let length = 0;
  context.beginPath();
  for (let i = from; i <= to; i++) {
    const y = i < to ? panel.y.pixel(values[i]) : NaN;
    if (Number.isFinite(y)) {
      const x = panel.x.pixel(series.x[i]);
      if (length++ === 0) context.moveTo(x, y);
      else context.lineTo(x, y);
    } else {
      if (length === 1) dots.push(i - 1);
      length = 0;
    }
  }
  context.stroke();
  context.fillStyle = context.strokeStyle;
  for (const i of dots) disc(context, panel.x.pixel(series.x[i]), panel.y.pixel(values[i]), 2.5);
}

function disc(context, x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}

// NaN: a cross at the bottom; infinities: a triangle at the edge where the line left.
function marks(context, panel, series, view) {
  if (!series.bad.length) return;
  const top = MARGIN.top + 5, bottom = panel.height - MARGIN.bottom - 5;
  context.fillStyle = context.strokeStyle = strokeOf(view.theme, series.style).colour;
  context.lineWidth = 1.8;
  for (const [at, kind] of series.bad) {
    const x = panel.x.pixel(at);
    if (x < MARGIN.left || x > panel.width - MARGIN.right) continue;
    if (kind === 0) {
      line(context, x - 3.5, bottom - 3.5, x + 3.5, bottom + 3.5);
      line(context, x - 3.5, bottom + 3.5, x + 3.5, bottom - 3.5);
    } else {
      const y = kind > 0 ? top : bottom, tip = kind > 0 ? -5 : 5;
      context.beginPath();
      context.moveTo(x - 4.5, y - tip / 2);
      context.lineTo(x + 4.5, y - tip / 2);
      context.lineTo(x, y + tip);
      context.fill();
    }
  }
}

export function paintTop(panel, view) {
  const context = fresh(panel.top, panel), { theme } = view;
  const bottom = panel.height - MARGIN.bottom;
  const picked = view.pickedRun();
  const series = picked === null ? undefined : panel.series.find((one) => one.run === picked);
  context.save();
  clipToPlot(context, panel);
  if (series) {
    band(context, panel, series, view, BAND_ALPHA * 1.6);
    curve(context, panel, series, view, 2.6);
    paintDepartures(context, panel, [series], view, bottom);
  }
  context.restore();
  if (series) marks(context, panel, series, view);
  if (view.cursor !== null) {
    const x = panel.x.pixel(view.cursor);
    if (x >= MARGIN.left - 1 && x <= panel.width - MARGIN.right + 1) {
      context.globalAlpha = 0.45;
      context.strokeStyle = theme.text;
      context.lineWidth = 1;
      line(context, Math.round(x) + 0.5, MARGIN.top, Math.round(x) + 0.5, bottom);
      context.globalAlpha = 1;
      const few = shown(panel, view).length <= 12;
      for (const one of series ? [series] : few ? shown(panel, view) : []) spot(context, panel, one, view);
    }
  }
  if (view.drag && view.drag.moved) {
    const [from, to] = [panel.x.pixel(view.drag.from), panel.x.pixel(view.drag.to)].sort((a, b) => a - b);
    context.fillStyle = theme.primary;
    context.globalAlpha = 0.14;
    context.fillRect(from, MARGIN.top, to - from, bottom - MARGIN.top);
    context.globalAlpha = 0.8;
    context.strokeStyle = theme.primary;
    line(context, from, MARGIN.top, from, bottom);
    line(context, to, MARGIN.top, to, bottom);
    context.globalAlpha = 1;
  }
}

function spot(context, panel, series, view) {
  const i = nearest(series.x, view.cursor);
  if (i === null || !covers(series.x, view.cursor)) return;
  const y = panel.y.pixel((series.smooth ?? series.mean)[i]);
  if (!Number.isFinite(y)) return;
  const x = panel.x.pixel(series.x[i]);
  context.fillStyle = view.theme.background;
  disc(context, x, y, 4.5);
  context.fillStyle = strokeOf(view.theme, series.style).colour;
  disc(context, x, y, 3);
}
