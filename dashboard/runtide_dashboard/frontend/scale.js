// Numbers to pixels, and numbers to words.

const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR; // milliseconds
const TIME_STEPS = [
  SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 15 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE,
  15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 28 * DAY,
];

const identity = (value) => value;
const log = (value) => (value > 0 ? Math.log10(value) : NaN);
const logStep = (value) => Math.log10(1 + Math.max(0, value)); // step 0 must keep a place of its own
const unlogStep = (value) => 10 ** value - 1;

export function xScale(window, left, right, isLog) {
  const to = isLog ? logStep : identity;
  const back = isLog ? unlogStep : identity;
  const lo = to(window[0]), span = to(window[1]) - lo || 1;
  return {
    pixel: (value) => left + ((to(value) - lo) / span) * (right - left),
    value: (pixel) => back(lo + ((pixel - left) / (right - left)) * span),
  };
}

export function yScale(domain, top, bottom, isLog) {
  const to = isLog ? log : identity;
  const lo = to(domain[0]), span = to(domain[1]) - lo || 1;
  return { pixel: (value) => bottom - ((to(value) - lo) / span) * (bottom - top) };
}

export function ticks(lo, hi, count) {
  const rough = (hi - lo) / Math.max(1, count);
  if (!(rough > 0) || !Number.isFinite(rough)) return [lo];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10);
  return range(lo, hi, step);
}

export function logTicks(lo, hi, count) {
  if (hi / lo < 15) return ticks(lo, hi, count).filter((value) => value > 0);
  const first = Math.floor(Math.log10(lo)), last = Math.ceil(Math.log10(hi));
  const factors = hi / lo < 300 ? [1, 2, 5] : [1];
  const every = Math.max(1, Math.ceil((last - first) / Math.max(1, count)));
  const found = [];
  for (let power = first; power <= last; power += every) {
    for (const factor of factors) {
      const value = factor * 10 ** power;
      if (value >= lo && value <= hi) found.push(value);
    }
  }
  return found.length > 1 ? found : ticks(lo, hi, count);
}

export function xTicks(window, kind, isLog, count) {
  const [lo, hi] = window;
  if (isLog) return [0, ...logTicks(1, Math.max(10, hi), count)].filter((value) => value >= lo && value <= hi);
  if (kind === "step") return ticks(lo, hi, count).filter(Number.isInteger);
  if (kind !== "time" && kind !== "relative") return ticks(lo, hi, count);
  const step = TIME_STEPS.find((candidate) => (hi - lo) / candidate <= count);
  if (hi - lo < 4 * SECOND || step === undefined) return ticks(lo, hi, count);
  const offset = kind === "time" ? new Date(lo).getTimezoneOffset() * MINUTE : 0; // days begin at local midnight
  return range(lo - offset, hi - offset, step).map((value) => value + offset);
}

function range(lo, hi, step) {
  const values = [];
  for (let i = Math.ceil(lo / step - 1e-9); i * step <= hi + step * 1e-9 && values.length < 100; i++) {
    values.push(Number((i * step).toPrecision(12)));
  }
  return values;
}

export function number(value) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "−Inf";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e7)) return value.toExponential(3).replace("-", "−").replace("+", "");
  if (Number.isInteger(value)) return value.toLocaleString("en-US").replace("-", "−");
  const digits = Math.min(6, Math.max(0, 4 - Math.floor(Math.log10(size || 1)) - 1));
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "−");
}

export function tickLabel(value, step) {
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size >= 1e15 || size < 1e-4) return value.toExponential(1).replace(".0e", "e").replace("e+", "e").replace("-", "−");
  for (const [unit, word] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (size >= unit) return trim(value / unit, Math.abs(step) / unit) + word;
  }
  return trim(value, Math.abs(step));
}

function trim(value, step) {
  const digits = step > 0 ? Math.min(8, Math.max(0, Math.ceil(-Math.log10(step) - 1e-9))) : 3;
  return value.toFixed(digits).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "").replace("-", "−");
}

export function xTickLabel(value, kind, window, step) {
  if (kind === "time") return clock(value, window[1] - window[0]);
  if (kind === "relative") return duration(value);
  return tickLabel(value, step);
}

export function rangeWords([lo, hi], kind, name) {
  if (kind === "step") return `Steps ${number(Math.round(lo))}–${number(Math.round(hi))}`;
  if (kind === "relative") return `${duration(lo)} to ${duration(hi)} after the start`;
  if (kind !== "time") return `${name} ${number(lo)} to ${number(hi)}`;
  const [from, to] = [new Date(lo), new Date(hi)];
  const sameDay = from.toDateString() === to.toDateString();
  return `${from.toLocaleString()} to ${sameDay ? to.toLocaleTimeString() : to.toLocaleString()}`;
}

export function xWords(value, kind, name) {
  if (kind === "time") return new Date(value).toLocaleString();
  if (kind === "relative") return `${duration(value)} after the start`;
  if (kind === "step") return `step ${Math.round(value).toLocaleString("en-US")}`;
  return `${name} ${number(value)}`;
}

function clock(value, span) {
  const when = new Date(value), pad = (part) => String(part).padStart(2, "0");
  const midnight = when.getHours() === 0 && when.getMinutes() === 0 && when.getSeconds() === 0;
  if (span > 2 * DAY || (midnight && span > 4 * HOUR)) {
    return when.toLocaleDateString(undefined, { day: "numeric", month: "short" });
  }
  const minutes = `${pad(when.getHours())}:${pad(when.getMinutes())}`;
  return span < 10 * MINUTE ? `${minutes}:${pad(when.getSeconds())}` : minutes;
}

export function duration(milliseconds) {
  const sign = milliseconds < 0 ? "−" : "", left = Math.abs(milliseconds);
  if (left < MINUTE) return `${sign}${trim(left / SECOND, 0.01)} s`;
  if (left < HOUR) return sign + two(left, MINUTE, "min", SECOND, "s");
  if (left < DAY) return sign + two(left, HOUR, "h", MINUTE, "min");
  return sign + two(left, DAY, "d", HOUR, "h");
}

function two(left, unit, word, small, smallWord) {
  const rounded = Math.round(left / small) * small, whole = Math.floor(rounded / unit);
  const rest = Math.round((rounded - whole * unit) / small);
  return rest ? `${whole} ${word} ${rest} ${smallWord}` : `${whole} ${word}`;
}
