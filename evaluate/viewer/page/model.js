// One half of one match under the settings of the page: what hits, what is wrong, what is shown, what comes next.

import {
  averagePrecision, bestThreshold, countAt, HIT, judge, KINDS, lowerBound, MISSED, poolSpots, reachFrames, upperBound,
} from "./matching.js";

export const [HIDDEN, BELOW, IS_HIT, IS_FALSE] = [0, 1, 2, 3];
export const CHIPS = ["hit", MISSED, "duplicate", "confusion", "near miss", "background"];
export const NO_TEAM = "none";
const EMPTY = { label: [], ms: [], half: [], team: [], teams: [], visible: [], score: [] };

/** The halves that have a spot or a video, at least the first. */
export function halvesOf(match, record) {
  const spots = [record.truth, ...record.runs.map((run) => run.spots)].filter(Boolean);
  return [1, 2].filter((half) => half === 1 || match.videos[half] || spots.some((one) => one.half.includes(half)));
}

/** The value by which the team filter knows a spot's team. */
export function teamOf(columns, place) {
  const team = columns.team[place];
  return team < 0 ? NO_TEAM : `=${columns.teams[team]}`;
}

export class Model {
  /** `desk` is what editing knows of the labels, null where they are only read. */
  constructor(view, record, half, desk = null) {
    this.labels = view.labels;
    this.half = half;
    const settings = { half, nLabels: view.labels.length, fps: view.fps };
    this.truths = poolSpots(record.truth ?? EMPTY, { ...settings, scored: false });
    this.hasTruth = record.truth !== null && (!desk || this.truths.n > 0);
    this.desk = desk;
    this.runs = record.runs.map((run, place) => ({
      place,
      letter: "AB"[place],
      isThere: run.spots !== null,
      pool: poolSpots(run.spots ?? EMPTY, { ...settings, scored: true }),
    }));
    for (const run of this.runs) run.isRejected = rejectedOf(run.pool, half, view, desk);
    this.shown = this.runs;
    this.tolerance = null;
    const ends = [this.truths, ...this.runs.map((run) => run.pool)].map((pool) => pool.time.reduce((a, b) => Math.max(a, b), 0));
    this.end = Math.max(...ends);
    const spots = [record.truth, ...record.runs.map((run) => run.spots)].filter(Boolean);
    this.teams = [...new Set(spots.flatMap((one) => one.teams))].sort();
    this.hasTeamless = spots.some((one) => one.team.includes(-1));
  }

  /** Matches anew where the tolerance changed, then counts and sorts out what is shown. */
  apply(state) {
    if (state.tolerance !== this.tolerance) {
      this.tolerance = state.tolerance;
      for (const run of this.runs) {
        run.verdicts = judge(this.truths, run.pool, state.tolerance);
        run.ap = averagePrecision(this.truths, run.pool, run.verdicts);
      }
    }
    this.threshold = state.score;
    for (const run of this.runs) run.counts = countAt(this.truths, run.pool, run.verdicts, state.score);
    this.shown = this.runs.filter((run) => run.isThere && (state.run === "" || state.run === run.letter));
    const hiddenClasses = new Set(state.classes);
    const hiddenKinds = new Set(state.kinds.map((chip) => CHIPS[chip]));
    this.lanes = this.labels.map((_, label) => label).filter((label) => !hiddenClasses.has(label));
    const isShown = (pool, i) => {
      if (hiddenClasses.has(pool.label[i])) return false;
      return state.team === "" || teamOf(pool.columns, pool.index[i]) === state.team;
    };
    for (const run of this.runs) {
      const { pool, verdicts } = run;
      run.category = new Uint8Array(pool.n);
      for (let i = 0; i < pool.n; i++) {
        if (run.isRejected[i] && verdicts.kind[i] !== HIT) continue;
        if (!isShown(pool, i) || pool.score[i] < state.low || (state.high < 1 && pool.score[i] > state.high)) continue;
        if (pool.score[i] < state.score) run.category[i] = state.below ? BELOW : HIDDEN;
        else if (hiddenKinds.has(KINDS[verdicts.kind[i]]) || !this.hasTruth) run.category[i] = this.hasTruth ? HIDDEN : IS_HIT;
        else run.category[i] = verdicts.kind[i] === HIT ? IS_HIT : IS_FALSE;
      }
      run.found = Uint8Array.from(verdicts.hit, (hit) => (hit >= 0 && pool.score[hit] >= state.score ? 1 : 0));
    }
    this.truthShown = new Uint8Array(this.truths.n);
    for (let truth = 0; truth < this.truths.n; truth++) {
      const kinds = this.shown.map((run) => (run.found[truth] ? "hit" : MISSED));
      const allHidden = kinds.length > 0 && kinds.every((kind) => hiddenKinds.has(kind));
      this.truthShown[truth] = isShown(this.truths, truth) && !allHidden ? 1 : 0;
    }
    this.errors = this.#errors(hiddenKinds);
    this.differences = this.#differences();
    [this.spots, this.doubts] = this.#toDecide();
  }

  /** All that is shown from the threshold up, labels too; and the predictions on which nobody has decided. */
  #toDecide() {
    const [spots, doubts] = [[], []];
    for (let i = 0; i < this.truths.n; i++) if (this.truthShown[i]) spots.push(this.item(this.shown[0], i, true));
    for (const run of this.shown) {
      run.category.forEach((category, i) => {
        const isOpen = category !== HIDDEN && run.verdicts.kind[i] !== HIT;
        if (isOpen && category !== BELOW) spots.push(this.item(run, i));
        if (isOpen && run.pool.score[i] >= this.threshold / 2) doubts.push(this.item(run, i));
      });
    }
    return [inTime(spots), inTime(doubts)];
  }

  /** Whether a prediction hits a label. */
  isHit({ run, index, isTruth }) {
    return !isTruth && run.verdicts.kind[index] === HIT;
  }

  /**
   * The threshold to open a match at: the usual one, but where fewer than one spot a minute reaches it, that of the best
   * F1, or without labels the score of the 20th strongest spot.
   */
  openingThreshold(usual) {
    const { pool } = this.runs.find((run) => run.isThere) ?? this.runs[0];
    const scores = Array.from(pool.score).sort((a, b) => b - a);
    const enough = Math.max(this.end / 60, 1);
    if (!scores.length || scores.filter((score) => score >= usual).length >= enough) return usual;
    const best = this.hasTruth ? this.bestThreshold() : null;
    return Math.floor(100 * (best ?? scores[Math.min(19, scores.length - 1)])) / 100;
  }

  bestThreshold() {
    const run = this.shown[0] ?? this.runs[0];
    return bestThreshold(this.truths, run.pool, run.verdicts);
  }

  /** Predictions that are wrong and truths that are missed, in order of time. */
  #errors(hiddenKinds) {
    const items = [];
    for (const run of this.hasTruth ? this.shown : []) {
      run.category.forEach((category, i) => category === IS_FALSE && items.push(this.item(run, i)));
      if (hiddenKinds.has(MISSED)) continue;
      run.found.forEach((found, truth) => !found && this.truthShown[truth] && items.push(this.item(run, truth, true)));
    }
    return inTime(items);
  }

  /** Where A and B differ: truths that one of them finds, and wrong predictions that the other has not near. */
  #differences() {
    if (this.shown.length < 2 || !this.hasTruth) return [];
    const items = [];
    const [a, b] = this.shown;
    for (let truth = 0; truth < this.truths.n; truth++) {
      if (a.found[truth] !== b.found[truth] && this.truthShown[truth]) {
        items.push(this.item(a.found[truth] ? b : a, truth, true, `only ${a.found[truth] ? "A" : "B"} finds it`));
      }
    }
    for (const [run, other] of [[a, b], [b, a]]) {
      const reach = reachFrames(run.pool, this.tolerance);
      for (let i = 0; i < run.pool.n; i++) {
        if (run.category[i] !== IS_FALSE) continue;
        const label = run.pool.label[i];
        const high = other.pool.start[label + 1];
        let near = lowerBound(other.pool.key, run.pool.key[i] - reach, other.pool.start[label], high);
        const end = upperBound(other.pool.key, run.pool.key[i] + reach, near, high);
        while (near < end && other.category[near] !== IS_FALSE) near++;
        if (near === end) items.push(this.item(run, i, false, `only in ${run.letter}`));
      }
    }
    return inTime(items);
  }

  /** A spot; a label under correction also has its place in the file (`entry`), its time in `ms`, and the `revision` at which that holds. */
  item(run, index, isTruth = false, remark = "") {
    const pool = isTruth ? this.truths : run.pool;
    const item = { run, index, isTruth, remark, time: pool.time[index], label: pool.label[index], id: `${run?.letter}${isTruth ? "t" : "p"}${index}` };
    if (isTruth && this.desk) {
      const place = pool.index[index];
      Object.assign(item, { entry: this.desk.entry[place], ms: pool.columns.ms[place], revision: this.desk.revision });
    }
    return item;
  }

  /** What a mark or the line below the video says of a spot. */
  describe(item) {
    const { run, index, isTruth } = item;
    const pool = isTruth ? this.truths : run.pool;
    const place = pool.index[index];
    const team = pool.columns.team[place];
    const facts = {
      label: this.labels[pool.label[index]],
      time: pool.time[index],
      team: team < 0 ? "" : pool.columns.teams[team],
      run: run?.letter ?? "",
      score: isTruth ? null : pool.score[index],
      kind: "",
      about: "",
    };
    if (isTruth) {
      facts.kind = run ? (run.found[index] ? "hit" : MISSED) : "truth";
      const hit = run ? run.verdicts.hit[index] : -1;
      if (hit >= 0 && !run.found[index]) facts.about = `its prediction has ${run.pool.score[hit].toFixed(3)}, below the threshold`;
      if (!pool.columns.visible[place]) facts.about = [facts.about, "not shown in the picture"].filter(Boolean).join("; ");
    } else if (this.hasTruth) {
      facts.kind = KINDS[run.verdicts.kind[index]];
      const truth = run.verdicts.truth[index];
      if (truth >= 0) {
        const off = pool.time[index] - this.truths.time[truth];
        const size = `${Math.abs(off).toFixed(2)} s ${off < 0 ? "before" : "after"}`;
        facts.about = `${size} the true ${this.labels[this.truths.label[truth]]}`;
      }
    } else facts.kind = "prediction";
    return facts;
  }
}

/**
 * Which predictions somebody has rejected: those of the class near enough, as a new head finds it some frames away, and
 * those in stretches that were watched, where what is no label is nothing.
 */
function rejectedOf(pool, half, view, desk) {
  const rejected = new Uint8Array(pool.n);
  const within = view.rejected_within_ms / 1000;
  for (const [label, inHalf, ms] of desk?.rejected ?? []) {
    if (inHalf !== half) continue;
    const [low, high] = [pool.start[label], pool.start[label + 1]];
    for (let i = low; i < high; i++) if (Math.abs(pool.time[i] - ms / 1000) <= within) rejected[i] = 1;
  }
  for (const [inHalf, from, to] of desk?.watched ?? []) {
    if (inHalf !== half) continue;
    pool.time.forEach((time, i) => time >= from / 1000 && time < to / 1000 && (rejected[i] = 1));
  }
  return rejected;
}

function inTime(items) {
  return items.sort((a, b) => a.time - b.time || a.label - b.label || (a.id < b.id ? -1 : 1));
}
