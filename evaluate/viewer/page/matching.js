// Which predictions hit which truths, and what kind each mistake is: evaluate/scoring/matching.py, mistakes.py and metrics.py
// restated for one half of one match. Every number must equal Python's; tests/evaluate/viewer/test_browser.py holds them
// together. The threshold plays no part in the matching: a truth takes the best free prediction, so leaving out those
// below a threshold changes no hit above it.

export const HALF_S = 120 * 60;
export const NEAR_S = 2;
export const [HIT, DUPLICATE, CONFUSION, NEAR_MISS, BACKGROUND] = [0, 1, 2, 3, 4];
export const KINDS = ["hit", "duplicate", "confusion", "near miss", "background"];
export const MISSED = "missed";
const N_THRESHOLDS = 200;

/** Places [0, n) of the spots of one half, by class and frame; of one class and frame the last written counts. */
export function poolSpots(columns, { half, nLabels, fps, scored }) {
  const nFrames = Math.trunc(HALF_S * fps);
  const members = [];
  const keys = new Float64Array(columns.ms.length);
  for (let i = 0; i < columns.ms.length; i++) {
    if (columns.half[i] !== half) continue;
    const frame = Math.min(Math.trunc(fps * (columns.ms[i] / 1000)), nFrames - 1); // as SoccerNet truncates
    keys[i] = columns.label[i] * nFrames + frame;
    members.push(i);
  }
  members.sort((a, b) => keys[a] - keys[b] || a - b);
  const kept = members.filter((member, place) => {
    const isLast = place + 1 === members.length || keys[members[place + 1]] !== keys[member];
    return isLast && (!scored || columns.score[member] >= 0);
  });
  const n = kept.length;
  const pool = {
    n, nLabels, nFrames, fps, columns,
    index: Uint32Array.from(kept),
    key: Float64Array.from(kept, (i) => keys[i]),
    label: Int32Array.from(kept, (i) => columns.label[i]),
    score: Float64Array.from(kept, (i) => (scored ? columns.score[i] : 1)),
    time: Float64Array.from(kept, (i) => Math.min(columns.ms[i] / 1000, HALF_S)),
    start: new Uint32Array(nLabels + 1), // the spots of class c are start[c] .. start[c + 1]
  };
  for (let label = 0; label <= nLabels; label++) pool.start[label] = lowerBound(pool.key, label * nFrames);
  return pool;
}

/** The first place in sorted `values[low, high)` whose value is at least `wanted`. */
export function lowerBound(values, wanted, low = 0, high = values.length) {
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The first place in sorted `values[low, high)` whose value is above `wanted`. */
export function upperBound(values, wanted, low = 0, high = values.length) {
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle] <= wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** How many frames either side a hit may lie; `toleranceS` is the full width. */
export function reachFrames(pool, toleranceS) {
  return Math.floor(Math.min((toleranceS * pool.fps) / 2, pool.nFrames));
}

/** For each truth the prediction that hits it, or -1: Int32Array. */
export function matchTruths(truths, predictions, toleranceS) {
  const reach = reachFrames(truths, toleranceS);
  const hit = new Int32Array(truths.n).fill(-1);
  const taken = new Uint8Array(predictions.n);
  for (let truth = 0; truth < truths.n; truth++) {
    const low = predictions.start[truths.label[truth]];
    const high = predictions.start[truths.label[truth] + 1];
    const end = upperBound(predictions.key, truths.key[truth] + reach, low, high);
    let best = -1;
    for (let i = lowerBound(predictions.key, truths.key[truth] - reach, low, high); i < end; i++) {
      if (!taken[i] && (best < 0 || predictions.score[i] > predictions.score[best])) best = i;
    }
    if (best >= 0) {
      hit[truth] = best;
      taken[best] = 1;
    }
  }
  return hit;
}

/** The nearest of sorted `targets[low, high)` to `value` and how far it is; of equal distances the earlier. */
function nearest(targets, value, low, high) {
  if (low >= high) return [-1, Infinity];
  const after = Math.min(lowerBound(targets, value, low, high), high - 1);
  const before = Math.max(after - 1, low);
  const place = Math.abs(targets[before] - value) <= Math.abs(targets[after] - value) ? before : after;
  return [place, Math.abs(targets[place] - value)];
}

/** What became of every prediction and truth: `kind` and `truth` of predictions, `hit` of truths. */
export function judge(truths, predictions, toleranceS) {
  const hit = matchTruths(truths, predictions, toleranceS);
  const kind = new Uint8Array(predictions.n).fill(BACKGROUND);
  const about = new Int32Array(predictions.n).fill(-1);
  hit.forEach((prediction, truth) => {
    if (prediction >= 0) [kind[prediction], about[prediction]] = [HIT, truth];
  });
  const reach = reachFrames(truths, toleranceS);
  const near = reachFrames(truths, 2 * NEAR_S);
  // Truths of any class by frame; of one frame a missed one first, then the first class.
  const frameOf = (truth) => truths.key[truth] - truths.label[truth] * truths.nFrames;
  const order = Array.from({ length: truths.n }, (_, truth) => truth);
  order.sort((a, b) => frameOf(a) - frameOf(b) || (hit[a] >= 0) - (hit[b] >= 0) || a - b);
  const first = order.filter((truth, place) => place === 0 || frameOf(order[place - 1]) !== frameOf(truth));
  const frames = Float64Array.from(first, frameOf);
  for (let i = 0; i < predictions.n; i++) {
    if (kind[i] === HIT) continue;
    const label = predictions.label[i];
    const [own, distance] = nearest(truths.key, predictions.key[i], truths.start[label], truths.start[label + 1]);
    const frame = predictions.key[i] - label * predictions.nFrames;
    const [other, otherDistance] = nearest(frames, frame, 0, frames.length);
    if (distance <= reach) [kind[i], about[i]] = [DUPLICATE, own];
    else if (otherDistance <= reach) [kind[i], about[i]] = [CONFUSION, first[other]];
    else if (distance <= near) [kind[i], about[i]] = [NEAR_MISS, own];
  }
  return { toleranceS, kind, truth: about, hit };
}

/** Counts of every class, and of all together in the last place, at one threshold. */
export function countAt(truths, predictions, verdicts, threshold) {
  const rows = Array.from({ length: truths.nLabels + 1 }, () => ({
    nTruth: 0, nPredicted: 0, hits: 0, kinds: [0, 0, 0, 0, 0],
  }));
  const total = rows[truths.nLabels];
  for (let truth = 0; truth < truths.n; truth++) rows[truths.label[truth]].nTruth++;
  for (let i = 0; i < predictions.n; i++) {
    if (predictions.score[i] >= threshold) rows[predictions.label[i]].kinds[verdicts.kind[i]]++;
  }
  for (const row of rows.slice(0, -1)) {
    total.nTruth += row.nTruth;
    row.kinds.forEach((count, kind) => (total.kinds[kind] += count));
  }
  for (const row of rows) {
    row.hits = row.kinds[HIT];
    row.nPredicted = row.kinds.reduce((a, b) => a + b, 0);
    row.falses = row.nPredicted - row.hits;
    row.missed = row.nTruth - row.hits;
    row.precision = row.nPredicted ? row.hits / row.nPredicted : null;
    row.recall = row.nTruth ? row.hits / row.nTruth : null;
    row.f1 = row.nPredicted + row.nTruth ? (2 * row.hits) / (row.nPredicted + row.nTruth) : null;
  }
  return rows;
}

/** The threshold at which F1 over all classes is best, the highest of equals; null where nothing hits. */
export function bestThreshold(truths, predictions, verdicts) {
  const order = Array.from({ length: predictions.n }, (_, i) => i);
  order.sort((a, b) => predictions.score[b] - predictions.score[a]);
  let [hits, best, threshold] = [0, 0, null];
  order.forEach((i, place) => {
    hits += verdicts.kind[i] === HIT ? 1 : 0;
    const next = order[place + 1];
    if (next !== undefined && predictions.score[next] === predictions.score[i]) return; // equal scores go together
    const f1 = (2 * hits) / (place + 1 + truths.n);
    if (f1 > best) [best, threshold] = [f1, predictions.score[i]];
  });
  return threshold;
}

/** SoccerNet's average precision of every class at the tolerance of `verdicts`: 200 thresholds, 11 recalls. */
export function averagePrecision(truths, predictions, verdicts) {
  const step = 1 / (N_THRESHOLDS - 1);
  const thresholds = Float64Array.from({ length: N_THRESHOLDS }, (_, i) => (i < N_THRESHOLDS - 1 ? i * step : 1));
  return Array.from({ length: truths.nLabels }, (_, label) => {
    const [detected, hits] = [new Float64Array(N_THRESHOLDS + 1), new Float64Array(N_THRESHOLDS + 1)];
    for (let i = predictions.start[label]; i < predictions.start[label + 1]; i++) {
      const reached = upperBound(thresholds, predictions.score[i]);
      detected[reached]++;
      if (verdicts.kind[i] === HIT) hits[reached]++;
    }
    for (let i = N_THRESHOLDS - 1; i >= 0; i--) {
      detected[i] += detected[i + 1];
      hits[i] += hits[i + 1];
    }
    const nTruth = truths.start[label + 1] - truths.start[label];
    let total = 0;
    for (let level = 0; level <= 10; level++) {
      let best = 0;
      for (let i = 1; i <= N_THRESHOLDS; i++) {
        if ((nTruth ? hits[i] / nTruth : 0) < level / 10) break; // recall falls from threshold to threshold
        if (detected[i]) best = Math.max(best, hits[i] / detected[i]);
      }
      total += best;
    }
    return total / 11;
  });
}
