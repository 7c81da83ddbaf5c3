// Walks the questions that `ballspot queue` chose, best first, from match to match.

import { open } from "./opening.js";
import { clock, page, request, reveal, tell, timeline } from "./page.js";
import { choose } from "./walking.js";

let at = -1;

/** Goes to the next (1) or previous (-1) question that is not decided, as far as the open match tells. */
export async function ask(direction) {
  const { queue } = page.view;
  let next = at + direction;
  while (queue[next] && isDecided(queue[next])) next += direction;
  if (!queue[next]) {
    page.asked = null;
    page.atEnd = direction > 0 ? "no question is left; all answers are saved" : "this is the first question";
    return tell();
  }
  at = next;
  const one = queue[at];
  const time = one.ms / 1000;
  if (page.match.name !== one.match || page.state.half !== one.half) await open(one.match, one.half, time);
  if (page.match.name !== one.match || !page.model) return null; // its labels or spots could not be read
  if (page.desk && isDecided(one)) return ask(direction);
  const item = itemOf(one);
  if (item) choose(item);
  else {
    clock.video.pause();
    page.current = timeline.selected = timeline.hovered = null;
    clock.seekSpot(time);
    if (one.end_ms !== null) timeline.setView(time - 1, (one.end_ms - one.ms) / 1000 + 2);
    reveal(time);
    request(true);
  }
  page.walks = true;
  page.asked = one;
  return tell();
}

/** What is asked, as a text; "" where nothing is. */
export function question() {
  const one = page.asked;
  if (!one) return "";
  const { queue, labels } = page.view;
  const what = one.label === null ? `what happens in the next ${Math.round((one.end_ms - one.ms) / 1000)} s?` : `${labels[one.label]}?`;
  return `question ${queue.indexOf(one) + 1} of ${queue.length}: ${what} (${[one.why, ...one.scores].join(", ")})`;
}

function isDecided(one) {
  const { desk, match, model, state } = page;
  if (!desk || match.name !== one.match || state.half !== one.half) return false;
  const end = one.end_ms ?? one.ms + 1;
  if (desk.watched.some(([half, from, to]) => half === one.half && from <= one.ms && end <= to)) return true;
  if (one.label === null) return false;
  const within = page.view.rejected_within_ms;
  const { truth } = page.record;
  const near = (label, half, ms) => label === one.label && half === one.half && Math.abs(ms - one.ms) <= within;
  return desk.rejected.some((entry) => near(...entry)) || (model && truth.ms.some((ms, i) => near(truth.label[i], truth.half[i], ms)));
}

function itemOf(one) {
  const { model } = page;
  let best = null;
  for (const run of one.label === null ? [] : model.shown) {
    for (let i = run.pool.start[one.label]; i < run.pool.start[one.label + 1]; i++) {
      const off = Math.abs(run.pool.time[i] - one.ms / 1000);
      if (run.category[i] && off <= page.view.rejected_within_ms / 1000 && (!best || off < best.off)) best = { off, item: model.item(run, i) };
    }
  }
  return best?.item ?? null;
}
