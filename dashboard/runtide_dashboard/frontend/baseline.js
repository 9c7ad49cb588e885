// What earlier runs usually reach, in grey under the curves, and a mark where a run left it.

import { covers, nearest, slice } from "./places.js";
import { strokeOf } from "./theme.js";

const UNDER_ALPHA = 0.14, MEDIAN_ALPHA = 0.5;

// The lowest and highest of the band that is in sight.
export function reachUnder({ under }, window, take) {
  if (!under || under.x[0] > window[1] || under.x[under.x.length - 1] < window[0]) return;
  const [from, to] = slice(under.x, window);
  for (const values of [under.lo, under.hi]) values.subarray(from, to).forEach(take);
}

export function paintUnder(context, panel, view) {
  const { under } = panel;
  if (!under) return;
  const floor = panel.domain[0];
  const y = (value) => panel.y.pixel(panel.log && value <= 0 ? floor : value);
  context.fillStyle = context.strokeStyle = view.theme.text;
  for (let i = 0; i < under.x.length; i++) {
    const start = i;
    while (i < under.x.length && Number.isFinite(under.lo[i])) i++;
    context.beginPath();
    for (let j = start; j < i; j++) context.lineTo(panel.x.pixel(under.x[j]), y(under.hi[j]));
    for (let j = i - 1; j >= start; j--) context.lineTo(panel.x.pixel(under.x[j]), y(under.lo[j]));
    context.globalAlpha = UNDER_ALPHA;
    context.fill();
    context.beginPath();
    for (let j = start; j < i; j++) context.lineTo(panel.x.pixel(under.x[j]), y(under.mean[j]));
    context.globalAlpha = MEDIAN_ALPHA;
    context.lineWidth = 1;
    context.stroke();
  }
  context.globalAlpha = 1;
}

export function paintDepartures(context, panel, several, view, bottom) {
  for (const series of several) {
    if (series.left !== null && covers(series.x, series.left)) departure(context, panel, series, view, bottom);
  }
}

// A ring on the curve and a tick down to the axis, in the run's colour.
function departure(context, panel, series, view, bottom) {
  const i = nearest(series.x, series.left);
  const x = panel.x.pixel(series.x[i]), y = panel.y.pixel((series.smooth ?? series.mean)[i]);
  if (!Number.isFinite(x) || !Number.isFinite(y)) return;
  context.strokeStyle = strokeOf(view.theme, series.style).colour;
  context.fillStyle = view.theme.background;
  context.lineWidth = 2;
  context.beginPath();
  context.arc(x, y, 5, 0, 2 * Math.PI);
  context.fill();
  context.stroke();
  context.setLineDash([2, 3]);
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(x, y + 6);
  context.lineTo(x, bottom);
  context.stroke();
  context.setLineDash([]);
}
