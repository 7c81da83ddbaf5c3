// What the keys and buttons of `--edit` do to the spot that is chosen, or at the moment that is shown.

import { entryOf, msOf, noteOf, send, showState } from "./desk.js";
import { $, clock, page, request, tell, timeline } from "./page.js";
import { learn } from "./learning.js";
import { ask, question } from "./queue.js";
import { choose, go, seek } from "./walking.js";

const chosen = () => timeline.selected;
const poolOf = (item) => (item.isTruth ? page.model.truths : item.run.pool);

/** The frame that is shown at a time of so many ms, and the middle of a frame in whole ms. */
const frameOf = (ms) => Math.floor((ms * clock.fps) / 1000 + 1e-3);
const msOfFrame = (frame) => Math.round(((Math.max(frame, 0) + 0.5) * 1000) / clock.fps);
const shownMs = () => msOfFrame(clock.frame);

export const EDITS = {
  y: accept, Delete: remove, Backspace: remove, u: () => moveBy(-1), i: () => moveBy(1), o: moveHere, v: nextTeam, q: note,
  z: () => step("undo"), "shift z": () => step("redo"), "ctrl z": () => step("undo"), "ctrl shift z": () => step("redo"),
  "ctrl y": () => step("redo"), ".": () => go(page.model.spots, 1, "spot"), ",": () => go(page.model.spots, -1, "spot"),
  r: learn, f: () => nextDoubt(1), "shift f": () => nextDoubt(-1),
};

page.asksOf = question;

export function nextDoubt(direction) {
  if (page.view.queue) return ask(direction);
  page.walks = true;
  return go(page.model.doubts, direction, "doubt");
}

/** Goes on to the next doubt where it was doubts that were walked. */
async function decided(work) {
  const { asked } = page;
  const isWalking = page.walks && page.model.doubts.some((item) => item.id === chosen()?.id);
  const at = chosen()?.time;
  await work;
  if (asked) return page.asked === asked && asked.label !== null ? ask(1) : null;
  if (!isWalking) return;
  const next = page.model.doubts.find((item) => item.time > at);
  if (next) choose(next);
}

function spotOf(item) {
  const pool = poolOf(item);
  const team = pool.columns.team[pool.index[item.index]];
  return {
    label: page.model.labels[item.label], position_ms: msOf(pool, item.index), half: page.state.half,
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

/** Makes labels of all predictions of A (or of the run that is shown) that nobody has decided on. */
export function acceptAll() {
  const run = page.model.shown[0];
  const items = page.model.doubts.filter((item) => item.run === run && run.pool.score[item.index] >= page.state.score);
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
  if (item.isTruth) return send({ do: "delete", entry: entryOf(item) });
  const { label, position_ms, half } = spotOf(item);
  decided(send({ do: "reject", label, position_ms, half }));
}

/** A class key: the class of the spot that is chosen and shown; else a new label at the moment that is shown. */
export function useClass(label) {
  const item = chosen();
  const name = page.model.labels[label];
  const isHere = item && frameOf(msOf(poolOf(item), item.index)) === clock.frame;
  if (isHere && item.isTruth) {
    if (item.label === label) return say(`it is ${name} already`);
    return send({ do: "class", entry: entryOf(item), label: name }, { label, ms: msOf(poolOf(item), item.index) });
  }
  if (isHere && item.label === label) return accept();
  const at = isHere ? msOf(poolOf(item), item.index) : shownMs();
  const added = send({ do: "add", label: name, position_ms: at, half: page.state.half }, { label, ms: at });
  if (!isHere) return added;
  const { label: wrong, position_ms, half } = spotOf(item);
  return decided(send({ do: "reject", label: wrong, position_ms, half }, { label, ms: at }));
}

function moveTo(item, ms) {
  if (ms === msOf(poolOf(item), item.index)) return null;
  return send({ do: "move", entry: entryOf(item), position_ms: ms }, { label: item.label, ms });
}

async function moveBy(frames) {
  const item = chosen();
  if (!item?.isTruth) return say("choose a label first");
  const frame = frameOf(msOf(poolOf(item), item.index)) + frames;
  clock.seek((Math.max(frame, 0) + 0.5) / clock.fps);
  await moveTo(item, msOfFrame(frame));
}

function moveHere() {
  const item = chosen();
  if (!item?.isTruth) return say("choose a label first; then go to the frame where it belongs");
  return moveTo(item, shownMs());
}

function nextTeam() {
  const item = chosen();
  if (!item?.isTruth) return say("choose a label first");
  const teams = [null, ...new Set(["left", "right", ...page.model.teams])];
  const now = spotOf(item).team ?? null;
  return send({ do: "team", entry: entryOf(item), team: teams[(teams.indexOf(now) + 1) % teams.length] });
}

function note() {
  const item = chosen();
  if (!item?.isTruth) return say("choose a label first; m marks a moment");
  clock.video.pause();
  $("label-note-text").value = noteOf(item);
  $("label-note").querySelector("form").onsubmit = ({ submitter }) => {
    const text = $("label-note-text").value.trim();
    if (submitter?.value !== "cancel" && text !== noteOf(item)) send({ do: "note", entry: entryOf(item), text });
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

/** What dragging a label on the timeline does; labels alone can be dragged. */
export const drag = {
  canDrag: (item) => Boolean(page.desk && item?.isTruth),
  onDrag: (item, time) => {
    const ms = msOfFrame(frameOf(Math.max(1000 * time, 0)));
    timeline.ghost = { time: ms / 1000, label: item.label };
    clock.seek(ms / 1000);
    request();
  },
  onDrop: (item, time) => {
    timeline.ghost = null;
    timeline.selected = item;
    if (time === null) request();
    else {
      seek(time);
      timeline.selected = item;
      moveTo(item, msOfFrame(frameOf(Math.max(1000 * time, 0))));
    }
    tell();
  },
};
