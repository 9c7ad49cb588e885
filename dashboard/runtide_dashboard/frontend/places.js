// Where along a curve's x something lies.

// Indices [from, to) whose x lie in the window, with one neighbour on each side so that lines reach the edges.
export function slice(x, window) {
  return [Math.max(0, lowerBound(x, window[0]) - 1), Math.min(x.length, lowerBound(x, window[1]) + 2)];
}

export function lowerBound(x, value) {
  let lo = 0, hi = x.length;
  while (lo < hi) {
    const middle = (lo + hi) >> 1;
    if (x[middle] < value) lo = middle + 1;
    else hi = middle;
  }
  return lo;
}

export function nearest(x, value) {
  if (!x.length) return null;
  const i = Math.min(x.length - 1, lowerBound(x, value));
  return i > 0 && value - x[i - 1] <= x[i] - value ? i - 1 : i;
}

// Beyond its ends a curve has no value: a run that stopped early must not seem to go on.
export function covers(x, value) {
  if (!x.length) return false;
  const slack = x.length > 1 ? (x[x.length - 1] - x[0]) / (x.length - 1) : 0.5;
  return value >= x[0] - slack && value <= x[x.length - 1] + slack;
}
