// Scores of every frame of one class, with maxima over 2, 4, 8, ... frames, so that any zoom reads few of them.

export class Curve {
  /** `values` Uint16Array, value i of the frame at `start + i * step` seconds. */
  constructor(values, start, step) {
    Object.assign(this, { start, step, levels: [values] });
    while (this.levels.at(-1).length > 64) {
      const below = this.levels.at(-1);
      const above = new Uint16Array(Math.ceil(below.length / 2));
      for (let i = 0; i < above.length; i++) above[i] = Math.max(below[2 * i], below[2 * i + 1] ?? 0);
      this.levels.push(above);
    }
  }

  /** The highest score (0..1) from `from` until `until` seconds; 0 outside. */
  maximum(from, until) {
    const level = Math.max(Math.min(Math.floor(Math.log2((until - from) / this.step)), this.levels.length - 1), 0);
    const values = this.levels[level];
    const step = this.step * 2 ** level;
    const first = Math.max(Math.floor((from - this.start) / step), 0);
    const end = Math.min(Math.max(Math.ceil((until - this.start) / step), first + 1), values.length);
    let best = 0;
    for (let i = first; i < end; i++) if (values[i] > best) best = values[i];
    return best / 65535;
  }
}

/** Fetches the curves of a match as they come; `onCurve` after each. */
export async function loadCurves(match, record, { isWanted, onCurve }) {
  for (const [place, run] of record.runs.entries()) {
    if (!run.curves) continue;
    for (const [label, isThere] of run.curves.labels.entries()) {
      if (!isThere) continue;
      const answer = await fetch(match.scores[place][label]);
      if (!isWanted()) return;
      if (!answer.ok) continue;
      const bytes = new DataView(await answer.arrayBuffer());
      const values = Uint16Array.from({ length: bytes.byteLength >> 1 }, (_, i) => bytes.getUint16(2 * i, true));
      const { first_frame: first, step } = run.curves;
      if (values.length) onCurve(place, label, new Curve(values, first / run.curves.fps, step / run.curves.fps));
    }
  }
}
