// What the page shows: one record of all that changes, and the functions that bring it to the screen.

import { Clock } from "./clock.js";
import { Marks } from "./marks.js";
import { element, fillCounts, fillGutter, fillKinds, fillLegend } from "./panel.js";
import { fillSpots } from "./spots.js";
import { clockText, namesThreshold, readHash, writeHash } from "./state.js";
import { Timeline } from "./timeline.js";

export const $ = (id) => document.getElementById(id);

/** `current` is the spot that n and p go on from, `atEnd` what they say where there is no further one, `written` the
 * hash that the page itself put into the address. */
export const page = {
  view: null, match: null, record: null, desk: null, model: null, current: null, walks: false, asked: null, atEnd: "", written: "",
  state: readHash(location.hash), isThresholdChosen: namesThreshold(location.hash),
};
export const marks = new Marks();
export const timeline = new Timeline($("base"), $("overlay"), $("overview"));
export const clock = new Clock($("video"), {
  onChange: () => request(),
  onTrouble: (reason) => tellOfVideo(`This browser cannot show ${page.match.videos[page.state.half]?.name}: ${reason}. ` +
    "A copy in H.264 can be shown: ffmpeg -i VIDEO -c:v libx264 -pix_fmt yuv420p COPY.mp4"),
  onLength: (seconds) => Number.isFinite(seconds) && setDuration(Math.max(page.model.end, seconds)),
});

let [isAsked, isDirty, hashTimer] = [false, false, null];

/** Draws at the next frame: everything where `all`, else what moves with time. */
export function request(all = false) {
  isDirty ||= all;
  if (isAsked || !page.model) return;
  isAsked = true;
  requestAnimationFrame(() => {
    isAsked = false;
    const now = clock.time;
    if (clock.isPlaying && (now < timeline.from || now > timeline.from + timeline.span)) reveal(now, 0.1);
    if (isDirty) {
      timeline.draw();
      timeline.drawOverview();
    }
    isDirty = false;
    timeline.drawOverlay(now);
    $("clock").replaceChildren(clockText(now), " ", element("small", `frame ${clock.frame}`));
    $("play").textContent = clock.isPlaying ? "❚❚" : "▶";
    if (clock.isPlaying) request();
    else keep();
  });
}

/** Puts the settings into the address, not more often than browsers allow. */
function keep() {
  clearTimeout(hashTimer);
  hashTimer = setTimeout(() => {
    const whole = timeline.span >= timeline.duration - 1e-6;
    Object.assign(page.state, { t: clock.time, from: whole ? 0 : timeline.from, span: whole ? 0 : timeline.span });
    page.written = writeHash(page.state, page.isThresholdChosen);
    history.replaceState(null, "", page.written);
  }, 250);
}

/** Changes settings, reckons anew and shows it. */
export function set(changes) {
  Object.assign(page.state, changes);
  if ("score" in changes) page.isThresholdChosen = true;
  refresh();
}

/** Reckons anew and shows it. */
export function refresh() {
  const { model, state } = page;
  model.apply(state);
  page.atEnd = "";
  const isShown = (spot) => model.errors.concat(model.differences, model.spots ?? [], model.doubts ?? []).some((item) => item.id === spot.id);
  if (page.current && !isShown(page.current)) page.current = timeline.selected = null;
  if (model.desk) $("n-doubts").textContent = model.doubts.length;
  fillControls();
  fillCounts($("counts"), model, state, toggleClass);
  fillKinds($("kinds"), model, state, timeline, (place) => set({ kinds: toggled(page.state.kinds, place) }));
  fillLegend($("legend"), model, timeline);
  fillMarks();
  listSpots();
  layout();
  tell();
}

export function listSpots() {
  if (page.model) fillSpots({ box: $("spots-box"), summary: $("n-spots"), list: $("spots") }, page.model, page.current);
}

export function layout() {
  const main = document.querySelector("main").getBoundingClientRect();
  const stage = $("stage").getBoundingClientRect();
  const above = Math.max(main.bottom, stage.bottom) + window.scrollY;
  timeline.setLanes(window.innerHeight - above - 18 - $("zooms").offsetHeight - 16);
  timeline.showsCurves = page.state.curves;
  fillGutter($("gutter"), page.model, timeline.lane);
  request(true);
}

function toggled(list, value) {
  return list.includes(value) ? list.filter((one) => one !== value) : [...list, value].sort((a, b) => a - b);
}

function toggleClass(label, alone) {
  const { classes } = page.state;
  const others = page.model.labels.map((_, place) => place).filter((place) => place !== label);
  const isAlone = others.length === classes.length && !classes.includes(label);
  set({ classes: alone ? (isAlone ? [] : others) : toggled(classes, label) });
}

function setDuration(seconds) {
  const whole = timeline.span >= timeline.duration - 1e-6;
  timeline.duration = Math.max(seconds, 1);
  if (page.state.span) timeline.setView(page.state.from, page.state.span);
  else timeline.setView(whole ? 0 : timeline.from, whole ? timeline.duration : timeline.span);
  request(true);
}

/** Pans so that a moment is in view, at `share` of the width. */
export function reveal(time, share = 0.5) {
  const margin = share === 0.5 ? 0.08 * timeline.span : 0;
  if (time >= timeline.from + margin && time <= timeline.from + timeline.span - margin) return;
  timeline.setView(time - share * timeline.span, timeline.span);
  isDirty = true;
}

function fillControls() {
  const { model, state } = page;
  for (const [name, value] of [["threshold", state.score], ["tolerance", state.tolerance]]) {
    $(name).value = value;
    if (document.activeElement !== $(`${name}-number`)) $(`${name}-number`).value = Number(value.toFixed(3)); // what a field has room for
  }
  for (const [id, value] of [["score-low", state.low], ["score-high", state.high]]) {
    if (document.activeElement !== $(id)) $(id).value = value;
  }
  $("side").value = state.run;
  $("team").value = state.team;
  $("below").checked = state.below;
  $("curves").checked = state.curves;
  const two = model.runs.filter((run) => run.isThere).length > 1;
  $("shown-side").hidden = !two;
  $("next-difference").hidden = !two;
}

/** The list of marks; item i of it is mark i (its buttons go there and remove it, see controls.js). */
export function fillMarks() {
  timeline.marks = marks.of(page.match.name, page.state.half).map((mark) => ({ time: mark.time_s }));
  $("n-marks").textContent = marks.all.length;
  $("marks").replaceChildren(...marks.all.map((mark) => {
    const item = element("li");
    const [go, away] = [element("button", clockText(mark.time_s)), element("button", "×", "away")];
    go.title = mark.match;
    away.title = "remove this mark";
    item.append(go, element("span", [mark.note, mark.kind, mark.label].filter(Boolean).join(" · ")), away);
    return item;
  }));
}

/** Says below the video what the chosen spot, or the one under the mouse, is. */
export function tell() {
  const { model } = page;
  const item = timeline.hovered ?? timeline.selected;
  const { desk } = page;
  let text = desk ? `${model.truths.n} labels, ${model.doubts.length} predictions undecided; f goes to the next` : model.hasTruth ? `${model.errors.length} errors shown; n and p go from one to the next` : "no labels: predictions only";
  if (item) {
    const facts = model.describe(item);
    const run = model.runs.length > 1 && facts.run ? `${facts.run}: ` : "";
    const place = model.errors.findIndex((one) => one.id === item.id);
    text = [
      `${run}${facts.kind} ${facts.label}`,
      facts.score === null ? "" : `score ${facts.score.toFixed(3)}`,
      clockText(facts.time), facts.team, facts.about, item.remark,
      item.isTruth && desk ? desk.notes[desk.entry[model.truths.index[item.index]]] : "",
      place >= 0 ? `error ${place + 1} of ${model.errors.length}` : "",
    ].filter(Boolean).join(" · ");
  }
  $("told").textContent = page.atEnd || [page.asksOf?.() ?? "", text].filter(Boolean).join(" · ");
  $("told").title = $("told").textContent;
}

export function tellOfVideo(text) {
  $("video-message").textContent = text;
  $("video-message").hidden = text === "";
}

export function fillNotes(texts) {
  $("notes").replaceChildren(...texts.map((text) => element("li", text)));
}
