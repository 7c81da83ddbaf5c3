// The timeline: a lane a class, truth above and predictions below, drawn from sorted arrays; only what is in view is
// read, and where spots crowd, a column of pixels shows the highest of each kind.

import { makeSprites, readColours, SIZE } from "./glyphs.js";
import { lowerBound, upperBound } from "./matching.js";
import { BELOW, IS_FALSE, IS_HIT } from "./model.js";
import { clamp, clockText } from "./state.js";

const AXIS = 20;
const TRUTH = 11; // height of the row of truths
const COLUMN = 2; // px of a column where spots crowd
const LANE = { low: 23, more: 13, high: 46 };
const TICKS = [0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800];
const MIN_SPAN = 1;

export class Timeline {
  constructor(base, overlay, overview) {
    Object.assign(this, { base, overlay, overview, from: 0, span: 60, duration: 60, lane: LANE.low, model: null });
    this.curves = [new Map(), new Map()];
    this.selected = this.hovered = this.ghost = null;
    this.marks = [];
    this.restyle();
  }

  restyle() {
    this.colours = readColours();
    this.ratio = Math.min(window.devicePixelRatio || 1, 2);
    this.sprites = makeSprites(this.colours, this.ratio);
  }

  /** The height of a lane, where `room` px are there for all. */
  setLanes(room) {
    const more = LANE.more * (Math.max(this.model.shown.length, 1) - 1);
    const nLanes = Math.max(this.model.lanes.length, 1);
    this.lane = clamp(Math.floor((room - AXIS) / nLanes), LANE.low + more, LANE.high + 1.5 * more);
    this.width = this.base.parentElement.clientWidth;
    this.height = AXIS + this.lane * nLanes;
    fit(this.base, this.width, this.height, this.ratio);
    this.base.style.height = `${this.height}px`;
    fit(this.overlay, this.width, this.height, this.ratio);
    fit(this.overview, this.overview.clientWidth, 18, this.ratio);
  }

  setView(from, span) {
    this.span = clamp(span, Math.min(MIN_SPAN, this.duration), this.duration);
    this.from = clamp(from, 0, this.duration - this.span);
  }

  x(time) {
    return ((time - this.from) / this.span) * this.width;
  }

  time(x) {
    return this.from + (x / this.width) * this.span;
  }

  draw() {
    const { model, colours, width, lane } = this;
    const context = this.base.getContext("2d");
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.fillStyle = colours.paper;
    context.fillRect(0, 0, width, this.height);
    this.#axis(context);
    const rowHeight = (lane - TRUTH - 2) / Math.max(model.shown.length, 1);
    model.lanes.forEach((label, place) => {
      const top = AXIS + place * lane;
      if (place % 2) {
        context.fillStyle = colours.stripe;
        context.fillRect(0, top, width, lane);
      }
      this.#bands(context, label, top + TRUTH, lane - TRUTH);
      model.shown.forEach((run, row) => {
        const y = top + TRUTH + row * rowHeight;
        this.#curve(context, this.curves[run.place].get(label), y, rowHeight);
        this.#predictions(context, run, label, y, rowHeight);
        if (row) line(context, colours.line, y, width, 0.5);
      });
      this.#truths(context, label, top + TRUTH / 2 + 0.5);
      line(context, colours.line, top + lane, width, 1);
    });
  }

  /** What moves all the time, on a canvas of its own: playhead, chosen spot, marks. */
  drawOverlay(now) {
    const context = this.overlay.getContext("2d");
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    context.fillStyle = this.colours.accent;
    for (const mark of this.marks) {
      const x = this.x(mark.time);
      context.fillRect(x, 2, 1.5, AXIS - 2);
      context.fillRect(x, 2, 8, 6);
    }
    for (const [item, thickness] of [[this.hovered, 1], [this.selected, 2]]) {
      const place = item && this.placeOf(item);
      if (!place) continue;
      context.strokeStyle = this.colours.ink;
      context.lineWidth = thickness;
      context.beginPath();
      context.arc(place.x, place.y, SIZE * 0.85, 0, 7);
      context.stroke();
    }
    if (this.ghost) this.#ghost(context);
    context.fillStyle = this.colours.playhead;
    const x = this.x(now);
    context.fillRect(x - 0.75, 0, 1.5, this.height);
    context.beginPath();
    context.moveTo(x - 5, 0);
    context.lineTo(x + 5, 0);
    context.lineTo(x, 7);
    context.fill();
  }

  /** Where a label that is dragged would lie. */
  #ghost(context) {
    const place = this.model.lanes.indexOf(this.ghost.label);
    const [x, y] = [this.x(this.ghost.time), AXIS + place * this.lane + TRUTH / 2 + 0.5];
    context.fillStyle = this.colours.accent;
    context.fillRect(x - 0.75, AXIS, 1.5, this.height);
    context.beginPath();
    context.arc(x, y, SIZE * 0.6, 0, 7);
    context.fill();
  }

  /** The whole match: wrong predictions upwards, missed truths downwards, and the part that is in view. */
  drawOverview() {
    const context = this.overview.getContext("2d");
    const width = this.overview.clientWidth;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.fillStyle = this.colours.panel;
    context.fillRect(0, 0, width, 18);
    context.fillStyle = this.colours.curve;
    const from = (this.from / this.duration) * width;
    const span = Math.max((this.span / this.duration) * width, 3);
    context.fillRect(from, 0, span, 18);
    const [up, down] = this.#density(width);
    const most = Math.max(up.reduce((a, b) => Math.max(a, b), 1), down.reduce((a, b) => Math.max(a, b), 1));
    for (let i = 0; i < up.length; i++) {
      context.fillStyle = this.colours.false;
      if (up[i]) context.fillRect(i * COLUMN, 9 - Math.max((up[i] / most) * 8, 1.5), COLUMN, Math.max((up[i] / most) * 8, 1.5));
      context.fillStyle = this.colours.missed;
      if (down[i]) context.fillRect(i * COLUMN, 9, COLUMN, Math.max((down[i] / most) * 8, 1.5));
    }
    context.strokeStyle = this.colours.accent;
    context.lineWidth = 1.5;
    context.strokeRect(from + 0.75, 0.75, span - 1.5, 16.5);
  }

  #density(width) {
    if (this.density?.errors !== this.model.errors || this.density.width !== width || this.density.duration !== this.duration) {
      const n = Math.ceil(width / COLUMN);
      const counts = [new Float64Array(n), new Float64Array(n)];
      for (const item of this.model.errors) {
        counts[item.isTruth ? 1 : 0][clamp(Math.floor(((item.time / this.duration) * width) / COLUMN), 0, n - 1)]++;
      }
      this.density = { errors: this.model.errors, width, duration: this.duration, counts };
    }
    return this.density.counts;
  }

  /** Where a spot is drawn, null where its lane is hidden. */
  placeOf({ run, index, isTruth, label }) {
    const { model, lane } = this;
    const place = model.lanes.indexOf(label);
    if (place < 0) return null;
    const top = AXIS + place * lane;
    if (isTruth) return { x: this.x(model.truths.time[index]), y: top + TRUTH / 2 + 0.5 };
    const row = model.shown.indexOf(run);
    if (row < 0) return null;
    const rowHeight = (lane - TRUTH - 2) / model.shown.length;
    const y = top + TRUTH + (row + 1) * rowHeight - stem(run.pool.score[index], rowHeight);
    return { x: this.x(run.pool.time[index]), y };
  }

  /** The spot that is drawn nearest to a point, within a few px; null where there is none. */
  spotAt(x, y, reach = 9) {
    const { model } = this;
    const label = model.lanes[Math.floor((y - AXIS) / this.lane)];
    if (y < AXIS || label === undefined) return null;
    let [best, distance] = [null, reach];
    const consider = (item) => {
      const place = this.placeOf(item);
      const off = place ? Math.hypot(place.x - x, (place.y - y) * 0.7) : Infinity;
      if (off < distance) [best, distance] = [item, off];
    };
    const near = (pool) => this.#inView(pool, label, this.time(x - reach), this.time(x + reach));
    const [first, end] = near(model.truths);
    for (let i = first; i < end; i++) if (model.truthShown[i]) consider(model.item(model.shown[0], i, true));
    for (const run of model.shown) {
      const [low, high] = near(run.pool);
      for (let i = low; i < high; i++) if (run.category[i]) consider(model.item(run, i));
    }
    return best;
  }

  #inView(pool, label, from, until) {
    const [low, high] = [pool.start[label], pool.start[label + 1]];
    const first = lowerBound(pool.time, from, low, high);
    return [first, upperBound(pool.time, until, first, high)];
  }

  #axis(context) {
    const { colours, width } = this;
    context.fillStyle = colours.curve;
    for (const [half, from, to] of this.model.desk?.watched ?? []) {
      const [left, right] = [Math.max(this.x(from / 1000), 0), Math.min(this.x(to / 1000), width)];
      if (half === this.model.half && right > left) context.fillRect(left, AXIS - 3, right - left, 3);
    }
    const step = TICKS.find((seconds) => (seconds / this.span) * width >= 64) ?? 3600;
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    for (let tick = Math.ceil(this.from / step); tick * step <= this.from + this.span; tick++) {
      const x = this.x(tick * step);
      context.fillStyle = colours.line;
      context.fillRect(x, 6, 1, this.height);
      context.fillStyle = colours.faint;
      context.fillText(clockText(tick * step, step < 1 ? 1 : 0), x + 4, 11);
    }
    line(context, colours.line, AXIS, width, 1);
  }

  /** How far a hit may lie from each truth, where there is room to see it. */
  #bands(context, label, y, height) {
    const { truths, tolerance, truthShown } = this.model;
    const wide = (tolerance / this.span) * this.width;
    if (wide < 4) return;
    const [first, end] = this.#inView(truths, label, this.from - tolerance, this.from + this.span + tolerance);
    context.fillStyle = this.colours.band;
    for (let i = first; i < end; i++) {
      if (truthShown[i]) context.fillRect(this.x(truths.time[i] - tolerance / 2), y, wide, height);
    }
  }

  #curve(context, curve, y, height) {
    if (!curve || !this.showsCurves) return;
    const [width, bottom] = [this.width, y + height];
    const per = (this.span / width) * COLUMN;
    context.fillStyle = this.colours.curve;
    context.beginPath();
    context.moveTo(0, bottom);
    for (let x = 0; x <= width; x += COLUMN) {
      const from = this.time(x);
      context.lineTo(x, bottom - stem(curve.maximum(from, from + per), height));
    }
    context.lineTo(width, bottom);
    context.fill();
  }

  #predictions(context, run, label, y, height) {
    const { pool, category } = run;
    const { colours, width } = this;
    const bottom = y + height;
    const [first, end] = this.#inView(pool, label, this.from - this.span * 0.01, this.from + this.span * 1.01);
    const few = width / 5;
    const counts = [0, 0, 0, 0];
    for (let i = first; i < end; i++) counts[category[i]]++;
    const crowded = [false, counts[BELOW] > few, counts[IS_HIT] + counts[IS_FALSE] > few, counts[IS_HIT] + counts[IS_FALSE] > few];
    if (crowded.includes(true)) this.#columns(context, run, first, end, bottom, height, crowded);
    const half = (SIZE + 4) / 2;
    for (const [kind, sprite] of [[BELOW, null], [IS_FALSE, "false"], [IS_HIT, "hit"]]) {
      if (crowded[kind] || !counts[kind]) continue;
      context.fillStyle = colours[sprite ?? "below"];
      for (let i = first; i < end; i++) {
        if (category[i] !== kind) continue;
        const x = this.x(pool.time[i]);
        const top = bottom - stem(pool.score[i], height);
        context.fillRect(x - 0.75, top, 1.5, bottom - top);
        if (sprite) context.drawImage(this.sprites[sprite], x - half, top - half, SIZE + 4, SIZE + 4);
      }
    }
  }

  /** One bar a column and crowded kind, as high as the best score in it. */
  #columns(context, run, first, end, bottom, height, crowded) {
    const { pool, category } = run;
    const n = Math.ceil(this.width / COLUMN);
    if (this.best?.length !== 4 * n) this.best = new Float32Array(4 * n);
    const best = this.best.fill(-1);
    const scale = this.width / this.span / COLUMN;
    for (let i = first; i < end; i++) {
      const column = Math.floor((pool.time[i] - this.from) * scale);
      if (category[i] && column >= 0 && column < n && pool.score[i] > best[4 * column + category[i]]) {
        best[4 * column + category[i]] = pool.score[i];
      }
    }
    for (const [kind, name] of [[BELOW, "below"], [IS_FALSE, "false"], [IS_HIT, "hit"]]) {
      if (!crowded[kind]) continue;
      context.fillStyle = this.colours[name];
      for (let column = 0; column < n; column++) {
        const score = best[4 * column + kind];
        if (score < 0 || (kind === BELOW && score < best[4 * column + IS_FALSE])) continue;
        const tall = stem(score, height);
        context.fillRect(column * COLUMN, bottom - tall, COLUMN, tall);
      }
    }
  }

  #truths(context, label, y) {
    const { truths, truthShown, shown, hasTruth } = this.model;
    if (!hasTruth) return;
    const half = (SIZE + 4) / 2;
    const [first, end] = this.#inView(truths, label, this.from - this.span * 0.01, this.from + this.span * 1.01);
    const names = ["missed", "found"];
    let last = [-99, ""];
    for (let i = first; i < end; i++) {
      if (!truthShown[i]) continue;
      const found = shown.map((run) => run.found[i]);
      const same = found.every((one) => one === found[0]);
      const name = same ? names[found[0] ?? 1] : found[0] ? "onlyA" : "onlyB";
      const x = this.x(truths.time[i]);
      if (x - last[0] < 1 && name === last[1]) continue; // it would be drawn over its like
      last = [x, name];
      context.drawImage(this.sprites[name], x - half, y - half, SIZE + 4, SIZE + 4);
    }
  }
}

/** How high a score stands in a row: its square root, so that low ones can be told apart in a low lane. */
function stem(score, height) {
  return Math.max(Math.sqrt(clamp(score, 0, 1)) * (height - 4), 1);
}

function line(context, colour, y, width, thickness) {
  context.fillStyle = colour;
  context.fillRect(0, Math.round(y) - thickness, width, thickness);
}

function fit(canvas, width, height, ratio) {
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide) canvas.width = wide;
  if (canvas.height !== high) canvas.height = high;
}
