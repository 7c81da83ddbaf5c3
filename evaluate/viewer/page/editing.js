// What the keys and buttons of `--edit` do to the spot that is chosen, or at the moment that is shown.

import { GONE, latest, msOf, noteOf, send, sendOf, showState } from "./desk.js";
import { CONFUSION, DUPLICATE } from "./matching.js";
import { $, clock, page, request, tell, timeline } from "./page.js";
import { learn } from "./learning.js";
import { ask, question } from "./queue.js";
import { clamp } from "./state.js";
import { choose, go, seek } from "./walking.js";

const chosen = () => timeline.selected;
const poolOf = (item) => (item.isTruth ? page.model.truths : item.run.pool);

/** The frame that is shown at a moment, that of a spot, and the middle of a frame in whole ms. */
const frameAt = (seconds) => Math.floor(Math.max(seconds, 0) * clock.fps + 1e-3);
const frameOf = (item) => clock.frameOfSpot(timeOf(item));
const timeOf = (item) => msOf(poolOf(item), item.index);
const msOfFrame = (frame) => Math.round(((Math.max(frame, 0) + 0.5) * 1000) / clock.fps);
const shownMs = () => msOfFrame(clock.frame);

export const EDITS = {
  y: accept, Delete: remove, Backspace: remove, u: () => moveBy(-1), i: () => moveBy(1), o: moveHere, v: nextTeam, q: note,
  z: () => step("undo"), "shift z": () => step("redo"), "ctrl z": () => step("undo"), "ctrl shift z": () => step("redo"),
  "ctrl y": () => step("redo"), ".": () => go(page.model.spots, 1, "spot"), ",": () => go(page.model.spots, -1, "spot"),
  "shift y": watched, r: learn, f: () => nextDoubt(1), "shift f": () => nextDoubt(-1),
};

page.asksOf = question;

export function nextDoubt(direction) {
  if (page.view.queue) return ask(direction);
  page.walks = true;
  return go(page.model.doubts, direction, "doubt");
}

/** Goes on to the next doubt where it was doubts that were walked, and the decision is saved. */
async function decided(work) {
  const { asked, match } = page;
  const item = chosen();
  const place = page.walks ? page.model.doubts.findIndex((one) => one.id === item?.id) : -1;
  const later = place < 0 ? [] : page.model.doubts.slice(place + 1).map((one) => one.id);
  if (!(await work)) return;
  if (asked) return page.asked === asked && asked.label !== null ? ask(1) : null;
  if (page.match !== match || latest(item) !== chosen()) return; // somebody went on meanwhile
  const next = page.model.doubts.find((one) => later.includes(one.id));
  if (next) choose(next);
}

function spotOf(item) {
  const pool = poolOf(item);
  const team = pool.columns.team[pool.index[item.index]];
  return {
    label: page.model.labels[item.label], position_ms: timeOf(item), half: page.state.half,
    ...(team >= 0 ? { team: pool.columns.teams[team] } : {}),
  };
}

function accept() {
  const item = chosen();
  const { asked } = page;
  if (!item && asked && asked.label !== null) {
    const spot = { label: page.model.labels[asked.label], position_ms: asked.ms, half: asked.half };
    return decided(send({ do: "accept", ...spot }, { label: asked.label, ms: asked.ms }));
  }
  if (!item) return say("choose a prediction first: click it, or press f");
  if (item.isTruth) return say("this is a label already");
  if (page.model.isHit(item)) return say("there is a label of this class here already; drag it where it should be");
  const spot = spotOf(item);
  decided(send({ do: "accept", ...spot }, { label: item.label, ms: spot.position_ms }));
}

/**
 * Makes labels of all predictions of A (or of the run that is shown) that nobody has decided on. Those near a label stay
 * out: it is the corrected one.
 */
export function acceptAll() {
  const run = page.model.shown[0];
  const isNew = ({ index }) => run.pool.score[index] >= page.state.score && ![DUPLICATE, CONFUSION].includes(run.verdicts.kind[index]);
  const items = page.model.doubts.filter((item) => item.run === run && isNew(item));
  if (!items.length) return say("no prediction from the threshold up is undecided");
  send({ do: "accept all", spots: items.map(spotOf) });
}

function remove() {
  const item = chosen();
  const { asked } = page;
  if (!item && asked && asked.label !== null) {
    return decided(send({ do: "reject", label: page.model.labels[asked.label], position_ms: asked.ms, half: asked.half }));
  }
  if (!item) return say("choose a spot first");
  if (item.isTruth) return sendOf(item, (now) => [{ do: "delete", entry: now.entry }, GONE]);
  const { label, position_ms, half } = spotOf(item);
  decided(send({ do: "reject", label, position_ms, half }));
}

/** A class key: the class of the spot that is chosen and shown; else a new label at the moment that is shown. */
export function useClass(label) {
  const item = chosen();
  const name = page.model.labels[label];
  const isHere = item && frameOf(item) === clock.frame;
  if (isHere && item.isTruth) {
    if (item.label === label) return say(`it is ${name} already`);
    return sendOf(item, (now) => [{ do: "class", entry: now.entry, label: name }, { label, ms: timeOf(now) }]);
  }
  if (isHere && item.label === label) return accept();
  const at = isHere ? timeOf(item) : shownMs();
  const added = send({ do: "add", label: name, position_ms: at, half: page.state.half }, { label, ms: at });
  if (!isHere) return added;
  const { label: wrong, position_ms, half } = spotOf(item);
  const { match } = page;
  const reject = () => page.match === match && send({ do: "reject", label: wrong, position_ms, half }, { label, ms: at });
  return decided(added.then((isAdded) => isAdded && reject()));
}

/** Moves a label to the ms that `msFor` gives of it. */
function moveTo(item, msFor) {
  return sendOf(item, (now) => {
    const ms = msFor(now);
    return ms === timeOf(now) ? [null] : [{ do: "move", entry: now.entry, position_ms: ms }, { label: now.label, ms }];
  });
}

function moveBy(frames) {
  const item = chosen();
  if (!item?.isTruth) return say("choose a label first");
  return moveTo(item, (now) => {
    const frame = frameOf(now) + frames;
    clock.seek((Math.max(frame, 0) + 0.5) / clock.fps);
    return msOfFrame(frame);
  });
}

/** Says that what was watched has all its labels: the stretch that is asked about, else all up to the moment shown. */
function watched() {
  const { asked } = page;
  const isAsked = asked && asked.label === null;
  const upTo = Math.ceil(((clock.frame + 1) * 1000) / clock.fps);
  const stretch = isAsked ? { from_ms: asked.ms, to_ms: asked.end_ms } : { from_ms: 0, to_ms: upTo };
  const sent = send({ do: "watch", ...stretch, half: isAsked ? asked.half : page.state.half });
  return isAsked ? sent.then((isDone) => isDone && page.asked === asked && ask(1)) : sent;
}

function moveHere() {
  const item = chosen();
  if (!item?.isTruth) return say("choose a label first; then go to the frame where it belongs");
  const ms = shownMs();
  return moveTo(item, () => ms);
}

function nextTeam() {
  const item = chosen();
  if (!item?.isTruth) return say("choose a label first");
  const teams = [null, ...new Set(["left", "right", ...page.model.teams])];
  return sendOf(item, (now) => {
    const team = teams[(teams.indexOf(spotOf(now).team ?? null) + 1) % teams.length];
    return [{ do: "team", entry: now.entry, team }, { label: now.label, ms: timeOf(now) }];
  });
}

function note() {
  const item = chosen();
  if (!item?.isTruth) return say("choose a label first; m marks a moment");
  clock.video.pause();
  const before = noteOf(item);
  $("label-note-text").value = before;
  $("label-note").querySelector("form").onsubmit = ({ submitter }) => {
    const text = $("label-note-text").value.trim();
    if (submitter?.value === "cancel" || text === before) return;
    sendOf(item, (now) => [{ do: "note", entry: now.entry, text }, { label: now.label, ms: timeOf(now) }]);
  };
  $("label-note").showModal();
}

function step(name) {
  if (page.desk[name]) send({ do: name });
  else say(`nothing to ${name}`);
}

function say(text) {
  showState(text);
}

/** A moment of the timeline, from one that may lie beside it. */
function within(time) {
  return clamp(time, 0, timeline.duration);
}

/** What dragging a label on the timeline does; labels alone can be dragged. */
export const drag = {
  canDrag: (item) => Boolean(page.desk && item?.isTruth),
  onDrag: (item, time) => {
    const ms = msOfFrame(frameAt(within(time)));
    timeline.ghost = { time: ms / 1000, label: item.label };
    clock.seek(ms / 1000);
    request();
  },
  onDrop: (item, time) => {
    timeline.ghost = null;
    const now = latest(item);
    const held = now?.revision === page.desk?.revision ? now : null; // none where the labels have changed meanwhile
    if (time !== null) seek(within(time));
    timeline.selected = held;
    if (time !== null) {
      const ms = msOfFrame(frameAt(within(time)));
      moveTo(item, () => ms);
    }
    request();
    tell();
  },
};
