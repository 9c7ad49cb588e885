// What Python sends: 4 bytes header length, a JSON header padded to 8 bytes, then the arrays (see curves.py).

export function decode(bytes) {
  const copy = bytes.byteOffset % 8 === 0 ? bytes : bytes.slice();
  const length = new DataView(copy.buffer, copy.byteOffset, 4).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(copy.subarray(4, 4 + length)));
  const body = copy.byteOffset + Math.ceil((4 + length) / 8) * 8;
  const xs = header.xs.map(({ at, n }) => new Float64Array(copy.buffer, body + at, n));
  for (const panel of header.panels) {
    if (panel.under) {
      panel.under.x = xs[panel.under.x];
      for (const name of ["lo", "mean", "hi"]) panel.under[name] = new Float32Array(copy.buffer, body + panel.under[name], panel.under.x.length);
    }
    for (const series of panel.series) {
      series.x = xs[series.x];
      const floats = (at) => (at === null ? null : new Float32Array(copy.buffer, body + at, series.x.length));
      for (const name of ["mean", "lo", "hi", "smooth"]) series[name] = floats(series[name]);
    }
  }
  return header;
}
