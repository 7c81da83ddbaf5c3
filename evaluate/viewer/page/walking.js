// From moment to moment: to a spot, to the next error or difference, to a time; along the timeline.

import { zoom } from "./gestures.js";
import { clock, listSpots, page, request, reveal, tell, timeline } from "./page.js";
import { clamp } from "./state.js";

/** Goes to the next (1) or previous (-1) of `items` after the current one, else after the moment shown. */
export function go(items, direction, name) {
  const { current } = page;
  let place = current ? items.findIndex((item) => item.id === current.id && item.remark === current.remark) : -1;
  if (place >= 0) place += direction;
  else if (direction > 0) place = items.findIndex((item) => item.time > clock.time);
  else place = items.findLastIndex((item) => item.time < clock.time - 1 / clock.fps);
  const item = items[place];
  if (item) return choose(item);
  page.atEnd = items.length ? `no ${direction > 0 ? "later" : "earlier"} ${name}` : `no ${name} is shown`;
  tell();
}

export function choose(item) {
  clock.video.pause();
  page.current = timeline.selected = item;
  timeline.hovered = null;
  page.atEnd = "";
  clock.seekSpot(item.time);
  reveal(item.time);
  listSpots();
  request(true);
  tell();
}

/** No spot is walked from any more; a question stays asked while one looks around. */
function leaveSpot() {
  page.current = null;
  if (!page.asked) page.walks = false;
  page.atEnd = "";
}

export function seek(time) {
  leaveSpot();
  timeline.selected = null;
  clock.seek(clamp(time, 0, timeline.duration));
  tell();
}

export function play() {
  leaveSpot();
  clock.toggle();
}

export function step(frames) {
  leaveSpot();
  clock.step(frames);
  reveal(clock.time);
}

export function jump(seconds) {
  seek(clock.time + seconds);
  reveal(clock.time);
  request();
}

export function pan(share) {
  timeline.setView(timeline.from + share * timeline.span, timeline.span);
  request(true);
}

/** Shows `factor` times as much, around the moment shown where it is in view, else around the middle. */
export function closer(factor) {
  const now = clock.time;
  const isIn = now >= timeline.from && now <= timeline.from + timeline.span;
  zoom(timeline, factor, isIn ? now : timeline.from + timeline.span / 2);
  request(true);
}
