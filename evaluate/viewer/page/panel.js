// The table of counts and the chips of the kinds. Names from files become text, never markup.

import { KINDS, MISSED } from "./matching.js";
import { CHIPS } from "./model.js";
import { glyphElement } from "./glyphs.js";

const GLYPHS = { hit: "hit", [MISSED]: "missed" };
const COLUMNS = [
  ["hits", "hit", "truths that a prediction from the threshold up hits", (row) => row.hits],
  ["false", "false", "predictions from the threshold up that hit nothing", (row) => row.falses],
  ["missed", "missed", "truths without a hit from the threshold up", (row) => row.missed],
  ["P", "", "precision in %", (row) => percent(row.precision)],
  ["R", "", "recall in %", (row) => percent(row.recall)],
  ["F1", "", "F1 in %", (row) => percent(row.f1)],
  ["AP", "", "SoccerNet's average precision of this half in %, at this tolerance, over all thresholds", (_, ap) => percent(ap)],
];

const UNJUDGED = ["spots", "predictions from the threshold up; there are no labels to judge them by"]; // in place of "false"

export function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  if (text !== "") made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** Rewrites the table; `onClass(label, alone)` is called for a class that is clicked. */
export function fillCounts(table, model, state, onClass) {
  const runs = model.runs.filter((run) => run.isThere);
  table.className = runs.length > 1 ? "two" : "";
  const head = element("thead");
  if (runs.length > 1) {
    const row = element("tr", "", "sides");
    row.append(element("th"), element("th"));
    for (const run of runs) row.append(Object.assign(element("th", run.letter, "first"), { colSpan: COLUMNS.length }));
    head.append(row);
  }
  const names = element("tr");
  names.append(element("th", "class", "class"), element("th", "truths"));
  for (const _ of runs) {
    for (const [name, , title] of COLUMNS) {
      const [shown, says] = name === "false" && !model.hasTruth ? UNJUDGED : [name, title];
      names.append(Object.assign(element("th", shown, name === "hits" ? "first" : ""), { title: says, scope: "col" }));
    }
  }
  head.append(names);
  const body = element("tbody");
  for (let label = 0; label <= model.labels.length; label++) {
    const isTotal = label === model.labels.length;
    const row = element("tr", "", isTotal ? "total" : state.classes.includes(label) ? "off" : "");
    const name = element("th", isTotal ? "all" : "", "class");
    name.scope = "row";
    if (!isTotal) {
      const button = element("button", model.labels[label]);
      button.type = "button";
      button.title = `${model.labels[label]}: hide or show; shift-click: alone`;
      button.setAttribute("aria-pressed", String(!state.classes.includes(label)));
      button.addEventListener("click", (event) => onClass(label, event.shiftKey));
      name.append(button);
    }
    row.append(name, element("td", model.hasTruth ? String(runs[0]?.counts[label].nTruth ?? 0) : "–"));
    for (const run of runs) {
      const counts = run.counts[label];
      const ap = isTotal ? run.ap.reduce((a, b) => a + b, 0) / run.ap.length : counts.nTruth ? run.ap[label] : null;
      COLUMNS.forEach(([column, className, , value], place) => {
        const cell = element("td", model.hasTruth ? String(value(counts, ap)) : column === "false" ? `${counts.nPredicted}` : "–");
        cell.className = `${model.hasTruth ? className : ""}${place ? "" : " first"}`;
        cell.dataset.column = column;
        row.append(cell);
      });
    }
    body.append(row);
  }
  table.replaceChildren(head, body);
}

/** Rewrites the chips; `onKind(place)` is called for one that is clicked. */
export function fillKinds(box, model, state, { sprites, ratio }, onKind) {
  const runs = model.shown;
  const total = model.labels.length;
  const focused = [...box.children].indexOf(document.activeElement);
  const chips = CHIPS.map((kind, place) => {
    const chip = element("button");
    chip.type = "button";
    chip.dataset.kind = kind;
    chip.setAttribute("aria-pressed", String(!state.kinds.includes(place)));
    chip.title = `${kind}: show or hide`;
    const counts = runs.map(({ counts: rows }) => (kind === MISSED ? rows[total].missed : rows[total].kinds[KINDS.indexOf(kind)]));
    chip.append(glyphElement(GLYPHS[kind] ?? "false", sprites, ratio), kind, " ", element("b", model.hasTruth ? counts.join(" / ") : "–"));
    chip.addEventListener("click", () => onKind(place));
    return chip;
  });
  box.replaceChildren(...chips);
  if (focused >= 0) chips[focused].focus();
}

/** Rewrites the legend of the timeline. */
export function fillLegend(list, model, { sprites, ratio }) {
  const two = model.shown.length > 1;
  const entries = [["found", "truth, found"], ["missed", "truth, missed"], ...(two ? [["onlyA", "found by A"], ["onlyB", "by B"]] : [])];
  entries.push(["hit", model.hasTruth ? "hit" : "prediction"], ["false", "false"], ["below", "below the threshold"]);
  list.replaceChildren(...entries.map(([name, text]) => {
    const item = element("li");
    item.append(glyphElement(name, sprites, ratio), text);
    return item;
  }));
}

/** Rewrites the names of the lanes; shows how many truths, and A and B where there are two. */
export function fillGutter(gutter, model, lane) {
  gutter.replaceChildren(...model.lanes.map((label) => {
    const row = element("div");
    row.style.height = `${lane}px`;
    row.title = model.labels[label];
    row.append(element("span", model.labels[label]));
    if (model.shown.length > 1) {
      const letters = element("small");
      letters.style.paddingTop = "12px";
      letters.append(...model.shown.map((run) => element("span", run.letter)));
      row.append(letters);
    }
    return row;
  }));
}

function percent(value) {
  return value === null ? "–" : (100 * value).toFixed(1);
}
