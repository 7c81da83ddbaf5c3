// The page: loads what there is to see, ties the controls to the settings, and draws when something changed.

import { Clock } from "./clock.js";
import { loadCurves } from "./curves.js";
import { listen, zoom } from "./gestures.js";
import { fillHelp, listenToKeys } from "./keys.js";
import { Marks } from "./marks.js";
import { halvesOf, Model, NO_TEAM } from "./model.js";
import { element, fillCounts, fillGutter, fillKinds, fillLegend } from "./panel.js";
import { clamp, clockText, DEFAULTS, readHash, writeHash } from "./state.js";
import { Timeline } from "./timeline.js";

const SPEEDS = [0.1, 0.25, 0.5, 1, 1.5, 2, 4];
const $ = (id) => document.getElementById(id);
let [view, match, record, model, state] = [null, null, null, null, readHash(location.hash)];
let [current, atEnd, isDirty, hashTimer, written] = [null, "", false, null, ""]; // current: the spot that n and p go on from
const marks = new Marks();
const timeline = new Timeline($("base"), $("overlay"), $("overview"));
const clock = new Clock($("video"), {
  onChange: () => request(),
  onTrouble: (reason) => tellOfVideo(`This browser cannot show ${match.videos[state.half]?.name}: ${reason}. ` +
    "A copy in H.264 can be shown: ffmpeg -i VIDEO -c:v libx264 -pix_fmt yuv420p COPY.mp4"),
  onLength: (seconds) => Number.isFinite(seconds) && setDuration(Math.max(model.end, seconds)),
});

/** Draws at the next frame: everything where `all`, else what moves with time. */
let isAsked = false;
function request(all = false) {
  isDirty ||= all;
  if (isAsked || !model) return;
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
    Object.assign(state, { t: clock.time, from: whole ? 0 : timeline.from, span: whole ? 0 : timeline.span });
    written = writeHash(state);
    history.replaceState(null, "", written);
  }, 250);
}

/** Reckons anew after a change of settings and shows it. */
function refresh() {
  model.apply(state);
  atEnd = "";
  if (current && !model.errors.concat(model.differences).some((item) => item.id === current.id)) current = timeline.selected = null;
  fillControls();
  fillCounts($("counts"), model, state, toggleClass);
  fillKinds($("kinds"), model, state, timeline, (place) => set({ kinds: toggled(state.kinds, place) }));
  fillLegend($("legend"), model, timeline);
  fillMarks();
  layout();
  tell();
}

function layout() {
  const main = document.querySelector("main").getBoundingClientRect();
  const stage = $("stage").getBoundingClientRect();
  const above = Math.max(main.bottom, stage.bottom) + window.scrollY;
  timeline.setLanes(window.innerHeight - above - 18 - $("zooms").offsetHeight - 16);
  timeline.showsCurves = state.curves;
  fillGutter($("gutter"), model, timeline.lane);
  request(true);
}

function set(changes) {
  Object.assign(state, changes);
  refresh();
}

function toggled(list, value) {
  return list.includes(value) ? list.filter((one) => one !== value) : [...list, value].sort((a, b) => a - b);
}

function toggleClass(label, alone) {
  const others = model.labels.map((_, place) => place).filter((place) => place !== label);
  const isAlone = others.length === state.classes.length && !state.classes.includes(label);
  set({ classes: alone ? (isAlone ? [] : others) : toggled(state.classes, label) });
}

function setDuration(seconds) {
  const whole = timeline.span >= timeline.duration - 1e-6;
  timeline.duration = Math.max(seconds, 1);
  if (state.span) timeline.setView(state.from, state.span);
  else timeline.setView(whole ? 0 : timeline.from, whole ? timeline.duration : timeline.span);
  request(true);
}

/** Pans so that a moment is in view, at `share` of the width. */
function reveal(time, share = 0.5) {
  const margin = share === 0.5 ? 0.08 * timeline.span : 0;
  if (time >= timeline.from + margin && time <= timeline.from + timeline.span - margin) return;
  timeline.setView(time - share * timeline.span, timeline.span);
  isDirty = true;
}

function fillControls() {
  for (const [name, value] of [["threshold", state.score], ["tolerance", state.tolerance]]) {
    $(name).value = value;
    if (document.activeElement !== $(`${name}-number`)) $(`${name}-number`).value = value;
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

function fillMarks() {
  timeline.marks = marks.of(match.name, state.half).map((mark) => ({ time: mark.time_s }));
  $("n-marks").textContent = marks.all.length;
  $("marks").replaceChildren(...marks.all.map((mark) => {
    const item = element("li");
    const [go, away] = [element("button", clockText(mark.time_s)), element("button", "×")];
    go.title = mark.match;
    away.title = "remove this mark";
    go.addEventListener("click", () => open(mark.match, mark.half, mark.time_s));
    away.addEventListener("click", () => {
      marks.remove(mark);
      fillMarks();
      request();
    });
    item.append(go, element("span", [mark.note, mark.kind, mark.label].filter(Boolean).join(" · ")), away);
    return item;
  }));
}

/** Says below the video what the chosen spot, or the one under the mouse, is. */
function tell() {
  const item = timeline.hovered ?? timeline.selected;
  let text = model.hasTruth ? `${model.errors.length} errors shown; n and p go from one to the next` : "no labels: predictions only";
  if (item) {
    const facts = model.describe(item);
    const run = model.runs.length > 1 && facts.run ? `${facts.run}: ` : "";
    const place = model.errors.findIndex((one) => one.id === item.id);
    text = [
      `${run}${facts.kind} ${facts.label}`,
      facts.score === null ? "" : `score ${facts.score.toFixed(3)}`,
      clockText(facts.time), facts.team, facts.about, item.remark,
      place >= 0 ? `error ${place + 1} of ${model.errors.length}` : "",
    ].filter(Boolean).join(" · ");
  }
  $("told").textContent = atEnd || text;
  $("told").title = $("told").textContent;
}

function tellOfVideo(text) {
  $("video-message").textContent = text;
  $("video-message").hidden = text === "";
}

/** Goes to the next (1) or previous (-1) of `items` after the current one, else after the moment shown. */
function go(items, direction, name) {
  let place = current ? items.findIndex((item) => item.id === current.id && item.remark === current.remark) : -1;
  if (place >= 0) place += direction;
  else if (direction > 0) place = items.findIndex((item) => item.time > clock.time);
  else place = items.findLastIndex((item) => item.time < clock.time - 1 / clock.fps);
  const item = items[place];
  if (item) return choose(item);
  atEnd = items.length ? `no ${direction > 0 ? "later" : "earlier"} ${name}` : `no ${name} is shown`;
  tell();
}

function choose(item) {
  clock.video.pause();
  current = timeline.selected = item;
  timeline.hovered = null;
  atEnd = "";
  clock.seekSpot(item.time);
  reveal(item.time);
  request(true);
  tell();
}

function leaveSpot() {
  current = null;
  atEnd = "";
}

function seek(time) {
  leaveSpot();
  timeline.selected = null;
  clock.seek(clamp(time, 0, timeline.duration));
  tell();
}

function pan(share) {
  timeline.setView(timeline.from + share * timeline.span, timeline.span);
  request(true);
}

function mark() {
  clock.video.pause();
  const facts = timeline.selected ? model.describe(timeline.selected) : {};
  const made = {
    match: match.name, half: state.half, time_s: Number(clock.time.toFixed(3)), frame: clock.frame,
    label: facts.label, kind: facts.kind, run: facts.run, score: facts.score ?? "",
  };
  $("note-time").textContent = clockText(clock.time);
  $("note-text").value = "";
  $("note").querySelector("form").onsubmit = (event) => {
    if (event.submitter?.value === "cancel") return;
    marks.add({ ...made, note: $("note-text").value });
    $("marks-box").open = true;
    fillMarks();
    request();
  };
  $("note").showModal();
}

/** Shows a match; what the settings say of time and zoom holds, unless `time` is given. */
async function open(name, half, time = null) {
  if (match && (match.name !== name || state.half !== half)) Object.assign(state, { from: 0, span: 0, t: 0 });
  if (time !== null) state.t = time;
  const isSame = match?.name === name && record;
  const wanted = view.matches.find((one) => one.name === name);
  if (!wanted) return;
  match = wanted;
  state.match = name;
  $("match").value = String(view.matches.indexOf(match));
  if (!isSame) {
    const answer = await fetch(match.spots);
    if (match !== wanted) return; // another was asked for meanwhile
    if (!answer.ok) return fillNotes([await answer.text()]);
    record = await answer.json();
  }
  const halves = halvesOf(match, record);
  state.half = halves.includes(half) ? half : 1;
  $("half-pick").hidden = halves.length < 2;
  $("half").replaceChildren(...halves.map((one) => new Option(`half ${one}`, one)));
  $("half").value = state.half;
  model = new Model(view, record, state.half);
  current = timeline.selected = timeline.hovered = null;
  timeline.model = model;
  timeline.curves = [new Map(), new Map()];
  $("team").replaceChildren(new Option("all", ""), ...model.teams.map((team) => new Option(team, `=${team}`)));
  if (model.hasTeamless) $("team").append(new Option("none", NO_TEAM));
  if (![...$("team").options].some((option) => option.value === state.team)) state.team = "";
  fillNotes([
    ...record.notes, ...(record.truth ? [] : record.notes.length ? [] : ["This match has no labels: predictions only."]),
    ...record.runs.flatMap((run, place) => run.notes.map((note) => `${view.sides[place]}: ${note}`)),
  ]);
  timeline.duration = Math.max(model.end, 1);
  timeline.setView(state.span ? state.from : 0, state.span || timeline.duration);
  const video = match.videos[state.half];
  const known = record.runs.find((run) => run.curves)?.curves.fps ?? null;
  tellOfVideo(video ? "" : "No video of this match in the data root: times and spots only.");
  $("screen").classList.toggle("none", !video);
  clock.still = state.t;
  clock.load(video?.url, known);
  $("video").playbackRate = SPEEDS[$("speed").selectedIndex];
  refresh();
  const here = model;
  if (state.half === 1) {
    loadCurves(match, record, {
      isWanted: () => model === here,
      onCurve: (place, label, curve) => {
        timeline.curves[place].set(label, curve);
        request(true);
      },
    });
  }
}

function fillNotes(texts) {
  $("notes").replaceChildren(...texts.map((text) => element("li", text)));
}

function bind() {
  const change = (id, event, action) => $(id).addEventListener(event, action);
  const number = (id, name, low, high) => change(id, "input", () => {
    const value = $(id).valueAsNumber;
    if (Number.isFinite(value)) set({ [name]: clamp(value, low, high) });
  });
  for (const id of ["threshold", "threshold-number"]) number(id, "score", 0, 1);
  for (const id of ["tolerance", "tolerance-number"]) number(id, "tolerance", 0, 60);
  number("score-low", "low", 0, 1);
  number("score-high", "high", 0, 1);
  change("best", "click", () => set({ score: clamp(model.bestThreshold() ?? state.score, 0, 1) }));
  change("team", "change", () => set({ team: $("team").value }));
  change("side", "change", () => set({ run: $("side").value }));
  change("below", "change", () => set({ below: $("below").checked }));
  change("curves", "change", () => set({ curves: $("curves").checked }));
  change("match", "change", () => open(view.matches[$("match").value].name, 1));
  change("half", "change", () => open(match.name, Number($("half").value)));
  change("speed", "change", () => ($("video").playbackRate = SPEEDS[$("speed").selectedIndex]));
  change("export-marks", "click", () => marks.save());
  change("clear-marks", "click", () => {
    marks.remove();
    fillMarks();
    request();
  });
  const speed = (by) => {
    $("speed").selectedIndex = clamp($("speed").selectedIndex + by, 0, SPEEDS.length - 1);
    $("video").playbackRate = SPEEDS[$("speed").selectedIndex];
  };
  const play = () => {
    leaveSpot();
    clock.toggle();
  };
  const step = (frames) => {
    leaveSpot();
    clock.step(frames);
    reveal(clock.time);
  };
  const jump = (seconds) => {
    seek(clock.time + seconds);
    reveal(clock.time);
    request();
  };
  const closer = (factor) => {
    const now = clock.time;
    const isIn = now >= timeline.from && now <= timeline.from + timeline.span;
    zoom(timeline, factor, isIn ? now : timeline.from + timeline.span / 2);
    request(true);
  };
  const actions = {
    " ": play, k: play, ArrowLeft: () => step(-1), ArrowRight: () => step(1),
    "shift ArrowLeft": () => jump(-1), "shift ArrowRight": () => jump(1), j: () => jump(-2), l: () => jump(2),
    "[": () => speed(-1), "]": () => speed(1),
    n: () => go(model.errors, 1, "error"), p: () => go(model.errors, -1, "error"),
    d: () => go(model.differences, 1, "difference"), "shift d": () => go(model.differences, -1, "difference"),
    m: mark, "+": () => closer(1 / 1.6), "=": () => closer(1 / 1.6), "-": () => closer(1.6),
    0: () => closer(Infinity), a: () => pan(-0.25), e: () => pan(0.25),
    b: () => set({ below: !state.below }), c: () => set({ curves: !state.curves }),
    x: () => model.runs.length > 1 && set({ run: { "": "A", A: "B", B: "" }[state.run] ?? "" }),
    s: () => ($("video").muted = !$("video").muted), t: () => navigator.clipboard?.writeText(location.href), "?": () => $("help").showModal(),
  };
  const buttons = {
    play: " ", "frame-back": "ArrowLeft", "frame-on": "ArrowRight", "previous-error": "p", "next-error": "n",
    "next-difference": "d", mark: "m", "zoom-in": "+", "zoom-out": "-", "zoom-all": "0", "help-button": "?", video: " ",
  };
  for (const [id, key] of Object.entries(buttons)) change(id, "click", () => model && actions[key]());
  listenToKeys(Object.fromEntries(Object.entries(actions).map(([key, action]) => [key, () => model && action()])));
  listen(timeline, {
    onView: () => request(true),
    onSeek: seek,
    onPick: choose,
    onHover: (item) => {
      if (item?.id === timeline.hovered?.id) return;
      timeline.hovered = item;
      tell();
      request();
    },
  });
  window.addEventListener("resize", () => model && layout());
  new ResizeObserver(() => model && layout()).observe($("panel"));
  window.addEventListener("hashchange", () => {
    if (location.hash === written) return;
    state = readHash(location.hash);
    match = null;
    open(view.matches.some((one) => one.name === state.match) ? state.match : view.matches[0].name, state.half);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    timeline.restyle();
    if (model) refresh();
  });
}

async function start() {
  const answer = await fetch("view.json");
  view = await answer.json();
  $("match").replaceChildren(...view.matches.map((one, place) => new Option(one.name, place)));
  $("sides").replaceChildren(...view.sides.map((name, place) => {
    const item = element("li");
    item.title = name;
    if (view.sides.length > 1) item.append(element("b", "AB"[place]));
    item.append(name);
    return item;
  }));
  $("speed").replaceChildren(...SPEEDS.map((speed) => new Option(`${speed}×`, speed)));
  $("speed").value = "1";
  fillHelp($("help"));
  bind();
  const isKnown = view.matches.some((one) => one.name === state.match);
  const missing = state.match && !isKnown ? state.match : "";
  if (missing) Object.assign(state, { match: "", t: DEFAULTS.t, from: 0, span: 0 });
  await open(isKnown ? state.match : view.matches[0].name, state.half);
  if (missing) $("notes").append(element("li", `the link names a match that is not shown here: ${missing}`));
}

start().catch((error) => fillNotes([`the page could not start: ${error.message}`]));
