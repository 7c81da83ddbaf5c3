// Ties buttons, fields, keys and gestures to what they do.

import { acceptAll, drag, EDITS } from "./editing.js";
import { settled } from "./desk.js";
import { listen } from "./gestures.js";
import { listenToKeys } from "./keys.js";
import { bindNewClass } from "./learning.js";
import { bindLoupe, toggleLoupe } from "./loupe.js";
import { open, SPEEDS } from "./opening.js";
import { $, clock, fillMarks, layout, listSpots, marks, page, refresh, request, set, tell, timeline } from "./page.js";
import { bindPalette, classKeys, fillPalette } from "./palette.js";
import { spotOf, walked } from "./spots.js";
import { clamp, clockText, namesThreshold, readHash } from "./state.js";
import { choose, closer, go, jump, pan, play, seek, step } from "./walking.js";

const ACTIONS = {
  " ": play, k: play, ArrowLeft: () => step(-1), ArrowRight: () => step(1),
  "shift ArrowLeft": () => jump(-1), "shift ArrowRight": () => jump(1), j: () => jump(-2), l: () => jump(2),
  "[": () => changeSpeed(-1), "]": () => changeSpeed(1),
  n: () => walk(1), p: () => walk(-1),
  ".": () => go(page.model.spots, 1, "spot"), ",": () => go(page.model.spots, -1, "spot"),
  d: () => go(page.model.differences, 1, "difference"), "shift d": () => go(page.model.differences, -1, "difference"),
  m: mark, "+": () => closer(1 / 1.6), "=": () => closer(1 / 1.6), "-": () => closer(1.6),
  0: () => closer(Infinity), a: () => pan(-0.25), e: () => pan(0.25),
  b: () => set({ below: !page.state.below }), c: () => set({ curves: !page.state.curves }),
  x: () => page.model.runs.length > 1 && set({ run: { "": "A", A: "B", B: "" }[page.state.run] ?? "" }),
  s: () => ($("video").muted = !$("video").muted), t: () => navigator.clipboard?.writeText(location.origin + location.pathname + location.hash), // without the token
  w: wide, g: toggleLoupe,
  "?": () => $("help").showModal(),
};
const BUTTONS = {
  play: " ", "frame-back": "ArrowLeft", "frame-on": "ArrowRight", "previous-error": "p", "next-error": "n",
  "next-difference": "d", mark: "m", "zoom-in": "+", "zoom-out": "-", "zoom-all": "0", "help-button": "?", video: " ",
  wide: "w", "loupe-button": "g",
};
const EDIT_BUTTONS = {
  accept: "y", remove: "Delete", "previous-spot": ",", "next-spot": ".", "previous-doubt": "shift f", "next-doubt": "f",
  "move-back": "u", "move-on": "i", "move-here": "o", "next-team": "v", "note-label": "q", undo: "z", redo: "shift z", learn: "r", watch: "shift y",
};

export function bind() {
  bindFields();
  bindMarks();
  bindSpots();
  bindLoupe();
  const takesKey = bindPalette((name) => name in ACTIONS || name in EDITS);
  listenToKeys((name) => {
    if (!page.model) return null;
    return (page.desk && (classKeys()[name] ?? EDITS[name])) || ACTIONS[name];
  }, takesKey);
  for (const [id, key] of Object.entries(EDIT_BUTTONS)) $(id).addEventListener("click", () => page.desk && EDITS[key]());
  $("accept-all").addEventListener("click", () => page.desk && acceptAll());
  fillPalette();
  bindNewClass();
  for (const [id, key] of Object.entries(BUTTONS)) $(id).addEventListener("click", () => page.model && ACTIONS[key]());
  listen(timeline, {
    onView: () => request(true),
    onSeek: seek,
    onPick: choose,
    ...drag,
    onHover: (item) => {
      if (item?.id === timeline.hovered?.id) return;
      timeline.hovered = item;
      tell();
      request();
    },
  });
  window.addEventListener("resize", () => page.model && layout());
  new ResizeObserver(() => page.model && layout()).observe($("panel"));
  window.addEventListener("hashchange", async () => {
    if (location.hash === page.written) return;
    const { hash } = location;
    await settled(); // edits of what is open yet
    page.state = readHash(hash);
    page.isThresholdChosen = namesThreshold(hash);
    page.match = null;
    const { view, state } = page;
    open(view.matches.some((one) => one.name === state.match) ? state.match : view.matches[0].name, state.half);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    timeline.restyle();
    if (page.model) refresh();
  });
}

function bindFields() {
  const change = (id, event, action) => $(id).addEventListener(event, action);
  const number = (id, name, low, high) => change(id, "input", () => {
    const value = $(id).valueAsNumber;
    if (Number.isFinite(value)) set({ [name]: clamp(value, low, high) });
  });
  for (const id of ["threshold", "threshold-number"]) number(id, "score", 0, 1);
  for (const id of ["tolerance", "tolerance-number"]) number(id, "tolerance", 0, 60);
  number("score-low", "low", 0, 1);
  number("score-high", "high", 0, 1);
  change("best", "click", () => set({ score: clamp(page.model.bestThreshold() ?? page.state.score, 0, 1) }));
  change("team", "change", () => set({ team: $("team").value }));
  change("side", "change", () => set({ run: $("side").value }));
  change("below", "change", () => set({ below: $("below").checked }));
  change("curves", "change", () => set({ curves: $("curves").checked }));
  change("match", "change", () => open(page.view.matches[$("match").value].name, 1));
  change("half", "change", () => open(page.match.name, Number($("half").value)));
  change("speed", "change", () => changeSpeed(0));
}

/** Goes to the next (1) or previous (-1) error, or spot where nothing says what an error is. */
function walk(direction) {
  const [items, name] = walked(page.model);
  go(items, direction, name);
}

function bindSpots() {
  $("spots-box").addEventListener("toggle", () => {
    listSpots();
    if (page.model) layout();
  });
  $("spots").addEventListener("click", ({ target }) => {
    const item = page.model && spotOf(target, page.model);
    if (item) choose(item);
  });
}

function bindMarks() {
  $("export-marks").addEventListener("click", () => marks.save());
  $("clear-marks").addEventListener("click", () => removeMarks());
  $("marks").addEventListener("click", ({ target }) => {
    const one = marks.all[[...$("marks").children].indexOf(target.closest("li"))];
    if (target.matches("button.away")) removeMarks(one);
    else if (target.matches("button")) open(one.match, one.half, one.time_s);
  });
}

/** Removes a mark, or all of them. */
function removeMarks(one) {
  marks.remove(one);
  fillMarks();
  request();
}

/** Asks for a note and keeps the moment shown with it. */
function mark() {
  clock.video.pause();
  const facts = timeline.selected ? page.model.describe(timeline.selected) : {};
  const made = {
    match: page.match.name, half: page.state.half, time_s: Number(clock.time.toFixed(3)), frame: clock.frame,
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

/** A large picture, with the table and its filters out of the way. */
function wide() {
  const isWide = document.body.classList.toggle("wide");
  $("wide").setAttribute("aria-pressed", String(isWide));
  layout();
}

function changeSpeed(by) {
  $("speed").selectedIndex = clamp($("speed").selectedIndex + by, 0, SPEEDS.length - 1);
  $("video").playbackRate = SPEEDS[$("speed").selectedIndex];
}
