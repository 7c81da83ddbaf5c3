// Starts the page: loads what there is to see and opens the match that the address names.

import { bind } from "./controls.js";
import { fillHelp } from "./keys.js";
import { open, SPEEDS } from "./opening.js";
import { $, fillNotes, page } from "./page.js";
import { element } from "./panel.js";
import { loadKeys } from "./palette.js";
import { shortNames } from "./spots.js";
import { DEFAULTS } from "./state.js";

async function start() {
  const answer = await fetch("view.json");
  const view = page.view = await answer.json();
  const { state } = page;
  const names = shortNames(view.matches.map((one) => one.name));
  $("match").replaceChildren(...view.matches.map((one, place) => Object.assign(new Option(names[place], place), { title: one.name })));
  document.title = view.edits ? "ballspot edit" : "ballspot view";
  $("sides").replaceChildren(...view.sides.map((name, place) => {
    const item = element("li");
    item.title = name;
    if (view.sides.length > 1) item.append(element("b", "AB"[place]));
    item.append(name);
    return item;
  }));
  $("speed").replaceChildren(...SPEEDS.map((speed) => new Option(`${speed}×`, speed)));
  $("speed").value = "1";
  fillHelp($("help"), view.edits);
  loadKeys();
  bind();
  const isKnown = view.matches.some((one) => one.name === state.match);
  const missing = state.match && !isKnown ? state.match : "";
  if (missing) Object.assign(state, { match: "", t: DEFAULTS.t, from: 0, span: 0 });
  await open(isKnown ? state.match : view.matches[0].name, state.half);
  if (missing) $("notes").append(element("li", `the link names a match that is not shown here: ${missing}`));
}

start().catch((error) => fillNotes([`the page could not start: ${error.message}`]));
