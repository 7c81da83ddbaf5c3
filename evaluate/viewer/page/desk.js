// The labels under correction: what the server said last of them, and how an edit is sent. Nothing counts as done
// before the server has it on the disk.

import { Model } from "./model.js";
import { $, page, refresh, tell, timeline } from "./page.js";
import { element } from "./panel.js";

const POLL_MS = 4000;
const token = new URLSearchParams(location.search).get("token");
const client = kept("take") ?? Array.from(crypto.getRandomValues(new Uint32Array(3)), (one) => one.toString(36)).join("");
let line = Promise.resolve(); // edits go one after the other, each at the revision that the one before gave
let nWaiting = 0;
let ownFrom = 0; // the revision since which all edits are this page's own
let refusal = ""; // what was said of an edit that was not done, while later ones wait

export const GONE = { label: -1, ms: -1 }; // chosen after an edit: no label

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

/** Asks for the labels of a match that is about to be shown: the answer to come, null where they are not corrected. */
export function askLabels(match) {
  return page.view.edits && token ? fetch(match.edit).catch(() => null) : null;
}

/** Takes over the labels that `askLabels` asked for; the record of the match then has them as its truth. */
export async function openDesk(match, record, labels) {
  page.desk = null;
  if (!page.view.edits) return;
  if (!token) return record.notes.push("To correct labels, open the page by the address that the command printed.");
  const answer = await labels;
  if (page.match !== match) return; // another was asked for meanwhile
  if (!answer?.ok) return record.notes.push(`labels cannot be corrected: ${answer ? await answer.text() : "the server is gone"}`);
  const state = await answer.json();
  if (page.match !== match) return;
  if (hasOtherClasses(state)) return location.reload();
  record.notes = record.notes.filter((note) => !note.startsWith("labels not shown"));
  takeOver(state, record);
  ownFrom = state.revision;
  if (page.desk.remark) record.notes.push(page.desk.remark);
  const { n_unknown: unknown } = page.desk;
  if (unknown) record.notes.push(`${unknown} labels of classes that ${page.view.label_set} has not are left as they are`);
}

/** Waits until every edit that was begun is answered. */
export async function settled() {
  while (nWaiting) await line;
}

/**
 * Does an action; whether it was done. `after` names the label to choose then: {label, ms}. With an `item`, a label, the
 * action and `after` come from `make(item)`: of the label as the edits before left it, none where it is not there any more.
 */
export function send(action, after = null) {
  return queued(() => [action, after]);
}

export function sendOf(item, make) {
  return queued(() => {
    const now = latest(item);
    if (!now || now.revision === page.desk.revision) return now && make(now);
    const again = now.revision < ownFrom ? null : truthAt(page.model, now); // it is chosen since before an edit of another
    if (again) now.next = again;
    return again && make(again);
  }, item);
}

/** The spot that an item has become by the edits since; null where it is gone. */
export function latest(item) {
  let now = item;
  while (now && "next" in now) now = now.next;
  return now;
}

function queued(make, item = null) {
  const { match } = page;
  const chosen = timeline.selected;
  nWaiting++;
  showState("saving …");
  line = line
    .then(() => one(match, make, chosen, item))
    .catch((error) => refuse(`this page failed (${error.message}): open it again, it then shows what was saved`))
    .finally(() => {
      nWaiting--;
      if (!nWaiting) refusal = "";
    });
  return line;
}

function refuse(text) {
  refusal = text;
  showState(text, true);
  return false;
}

async function one(match, make, chosen, item) {
  if (page.match !== match || !page.desk) return refuse("NOT SAVED: another match is open");
  const made = make();
  if (!made) return refuse("not done: the labels have changed meanwhile; look at them and do it again");
  const [action, after] = made;
  if (!action) {
    showState(nWaiting > 1 ? "saving …" : "saved");
    return false;
  }
  const answer = await post(match.edit, { revision: page.desk.revision, digest: page.desk.digest, client, action });
  if (!answer) return refuse("NOT SAVED: the server is gone; start it again, what was saved is there");
  if (answer.status !== 200 && answer.status !== 409) return refuse(`not done: ${(await answer.text()).trim()}`);
  const state = await answer.json();
  const isDone = answer.status === 200;
  const acted = latest(item);
  show(state, latest(chosen) === timeline.selected ? after : null, isDone); // else another spot was chosen meanwhile
  if (isDone && acted && after && !("next" in acted)) acted.next = truthAt(page.model, after);
  if (!isDone) return refuse(`not done: ${state.said}`);
  if (nWaiting > 1) showState("saving …");
  else if (refusal) showState(`saved, but before that: ${refusal}`, true);
  else showState(state.redo && action.do === "undo" ? `took back: ${state.redo}` : "saved");
  return true;
}

/** Asks, now and then, whether somebody else has changed the labels. */
async function poll() {
  const { match, desk } = page;
  if (!desk || document.hidden || nWaiting) return;
  const answer = await post(match.edit, { revision: desk.revision, digest: desk.digest, client, action: null });
  if (page.match !== match || page.desk !== desk || nWaiting) return;
  if (!answer?.ok) return showState(answer ? (await answer.text()).trim() : "the server is gone; nothing can be saved", true);
  const state = await answer.json();
  if (page.desk !== desk || nWaiting) return;
  if (!state.truth) {
    if (desk.others !== state.others) {
      desk.others = state.others;
      showState("saved");
    }
    return;
  }
  show(state, null, false);
  showState(state.remark || "somebody else has changed these labels; this is how they are now", true);
}

/** Shows the labels as the server has them, with the same spot chosen where it is still there; `isOwn` after an own edit. */
function show(state, after, isOwn) {
  if (hasOtherClasses(state)) return location.reload();
  if (!isOwn) ownFrom = state.revision;
  const chosen = timeline.selected;
  const wish = after ?? (chosen?.isTruth ? { label: chosen.label, ms: msOf(page.model.truths, chosen.index) } : null);
  takeOver(state, page.record);
  const model = page.model = timeline.model = new Model(page.view, page.record, page.state.half, page.desk);
  model.apply(page.state);
  const again = wish ? truthAt(model, wish) : chosen && !chosen.isTruth ? model.item(model.runs[chosen.run.place], chosen.index) : null;
  if (chosen && isOwn) chosen.next = again;
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

export function noteOf(item) {
  return item?.isTruth && page.desk ? page.desk.notes[item.entry] ?? "" : "";
}

/** Whether another window has added classes, which this page does not know. */
function hasOtherClasses(state) {
  return state.n_labels !== page.view.labels.length;
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

/** The name of this window goes through a reload ("put" before, "take" after), else it would be told of itself. */
function kept(what) {
  try {
    const name = sessionStorage.getItem("client");
    if (what === "put") sessionStorage.setItem("client", client);
    else sessionStorage.removeItem("client"); // a copy of this tab has a name of its own
    return name;
  } catch {
    return null;
  }
}

window.addEventListener("pagehide", () => kept("put"));
window.addEventListener("pageshow", () => kept("take"));
setInterval(poll, POLL_MS);
document.addEventListener("visibilitychange", poll);
