// The labels under correction: what the server said last of them, and how an edit is sent. Nothing counts as done
// before the server has it on the disk.

import { Model } from "./model.js";
import { $, page, refresh, tell, timeline } from "./page.js";
import { element } from "./panel.js";

const POLL_MS = 4000;
const token = new URLSearchParams(location.search).get("token");
const client = Array.from(crypto.getRandomValues(new Uint32Array(3)), (one) => one.toString(36)).join("");
let line = Promise.resolve(); // edits go one after the other, each at the revision that the one before gave
let nWaiting = 0;

/** Sends a JSON value to an address that writes; the answer, or null where the server is gone. */
export async function post(address, value) {
  try {
    return await fetch(address, {
      method: "POST", body: JSON.stringify(value), cache: "no-store",
      headers: { "Content-Type": "application/json", "X-Ballspot-Token": token ?? "" },
    });
  } catch {
    return null;
  }
}

/** Reads the labels of a match that is about to be shown; its record then has them as its truth. */
export async function openDesk(match, record) {
  page.desk = null;
  if (!page.view.edits) return;
  if (!token) return record.notes.push("To correct labels, open the page by the address that the command printed.");
  const answer = await fetch(match.edit, { cache: "no-store" });
  if (!answer.ok) return record.notes.push(`labels cannot be corrected: ${await answer.text()}`);
  record.notes = record.notes.filter((note) => !note.startsWith("labels not shown"));
  takeOver(await answer.json(), record);
  if (page.desk.remark) record.notes.push(page.desk.remark);
  const { n_unknown: unknown } = page.desk;
  if (unknown) record.notes.push(`${unknown} labels of classes that ${page.view.label_set} has not are left as they are`);
}

/** Does an action; `after` names the label to choose then: {label, ms}. */
export function send(action, after = null) {
  const match = page.match;
  nWaiting++;
  showState("saving …");
  line = line.then(() => (page.match === match && page.desk ? one(match, action, after) : null)).finally(() => nWaiting--);
  return line;
}

async function one(match, action, after) {
  const answer = await post(match.edit, { revision: page.desk.revision, client, action });
  if (!answer) return showState("NOT SAVED: the server is gone; start it again, what was saved is there", true);
  if (answer.status !== 200 && answer.status !== 409) return showState(`not done: ${(await answer.text()).trim()}`, true);
  const state = await answer.json();
  if (page.match !== match) return;
  show(state, after);
  if (answer.status === 409) showState(`not done: ${state.said}`, true);
  else if (nWaiting > 1) showState("saving …");
  else showState(state.redo && action.do === "undo" ? `took back: ${state.redo}` : "saved");
}

/** Asks, now and then, whether somebody else has changed the labels. */
async function poll() {
  const { match, desk } = page;
  if (!desk || document.hidden || nWaiting) return;
  const answer = await post(match.edit, { revision: desk.revision, client, action: null });
  if (page.match !== match || page.desk !== desk || nWaiting) return;
  if (!answer?.ok) return showState(answer ? (await answer.text()).trim() : "the server is gone; nothing can be saved", true);
  const state = await answer.json();
  if (!state.truth) {
    if (desk.others !== state.others) {
      desk.others = state.others;
      showState("saved");
    }
    return;
  }
  show(state, null);
  showState(state.remark || "somebody else has changed these labels; this is how they are now", true);
}

/** Shows the labels as the server has them, with the same spot chosen where it is still there. */
function show(state, after) {
  const chosen = timeline.selected;
  const wish = after ?? (chosen?.isTruth ? { label: chosen.label, ms: msOf(page.model.truths, chosen.index) } : null);
  takeOver(state, page.record);
  const model = page.model = timeline.model = new Model(page.view, page.record, page.state.half, page.desk);
  model.apply(page.state);
  const again = wish ? truthAt(model, wish) : chosen && !chosen.isTruth ? model.item(model.runs[chosen.run.place], chosen.index) : null;
  page.current = timeline.selected = again;
  timeline.hovered = null;
  refresh();
  page.current = timeline.selected = again;
  tell();
}

function truthAt(model, { label, ms }) {
  const { truths } = model;
  for (let i = truths.start[label]; i < truths.start[label + 1]; i++) {
    if (msOf(truths, i) === ms) return model.item(model.shown[0], i, true);
  }
  return null;
}

export function msOf(pool, index) {
  return pool.columns.ms[pool.index[index]];
}

/** The place of a chosen label in its file. */
export function entryOf(item) {
  return page.desk.entry[page.model.truths.index[item.index]];
}

export function noteOf(item) {
  return item?.isTruth && page.desk ? page.desk.notes[entryOf(item)] ?? "" : "";
}

function takeOver(state, record) {
  page.desk = { others: 0, ...state };
  record.truth = state.truth;
}

/** Says beside the buttons whether all is saved, and who else is at work. */
export function showState(text, isTrouble = false) {
  const { desk } = page;
  const others = desk?.others ? ` · ${desk.others} other window${desk.others > 1 ? "s" : ""} at work on this file` : "";
  $("edit-state").replaceChildren(element(isTrouble ? "b" : "span", `${text}${others}`));
  if (!desk) return;
  for (const [id, what] of [["undo", desk.undo], ["redo", desk.redo]]) {
    $(id).disabled = !what;
    $(id).title = what ? `${id} ${what} (${id === "undo" ? "z" : "shift z"})` : `nothing to ${id}`;
  }
}

setInterval(poll, POLL_MS);
document.addEventListener("visibilitychange", poll);
