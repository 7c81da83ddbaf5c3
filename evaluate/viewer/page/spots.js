// The list of what n and p walk over: errors where there are labels, else every spot from the threshold up.

import { element } from "./panel.js";
import { clockText } from "./state.js";

const MOST = 300; // lines; more are walked over and not listed

/** What n and p go through, and what one of it is called. */
export const walked = (model) => (model.hasTruth ? [model.errors, "error"] : [model.spots, "spot"]);

/** Rewrites the list; `current` is the spot that is shown. */
export function fillSpots({ box, summary, list }, model, current) {
  const [items, name] = walked(model);
  summary.textContent = `${items.length} ${name}${items.length === 1 ? "" : "s"}`;
  if (!box.open) return list.replaceChildren();
  list.replaceChildren(...items.slice(0, MOST).map((item, place) => {
    const facts = model.describe(item);
    const button = element("button", clockText(facts.time));
    button.type = "button";
    const score = facts.score === null ? "" : facts.score.toFixed(2);
    const kind = facts.kind === "prediction" ? "" : facts.kind;
    const line = element("li");
    line.dataset.place = place;
    if (item.id === current?.id) line.setAttribute("aria-current", "true");
    line.append(button, element("span", [facts.label, score, kind, model.shown.length > 1 ? facts.run : "", facts.team].filter(Boolean).join("  ")));
    return line;
  }));
  if (items.length > MOST) list.append(element("li", `and ${items.length - MOST} more: raise the threshold, or hide classes`));
}

/** The spot that a click in the list is for, undefined beside them. */
export const spotOf = (target, model) => walked(model)[0][target.closest("li")?.dataset.place];

/** What tells matches apart in the picker: the last folder's name where no other has it, else the whole name. */
export function shortNames(names) {
  const last = names.map((name) => name.split("/").pop());
  return names.map((name, place) => (last.filter((one) => one === last[place]).length > 1 ? name : last[place]));
}
