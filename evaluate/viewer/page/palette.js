// A button and a key for every class; which key is kept in the browser, a label set at a time.

import { useClass } from "./editing.js";
import { $, page } from "./page.js";
import { element } from "./panel.js";

const DIGITS = "123456789";
let keys = []; // the key of each class, "" for none
let asked = null; // the class that waits for its new key

const usual = (labels) => labels.map((_, place) => DIGITS[place] ?? (place < 18 ? `shift ${DIGITS[place - 9]}` : ""));
const store = () => `keys of ${page.view.label_set}`;

/** The actions of the class keys, by the names that keys.js gives them. */
export function classKeys() {
  return Object.fromEntries(keys.flatMap((key, label) => (key ? [[key, () => useClass(label)]] : [])));
}

export function loadKeys() {
  const { labels } = page.view;
  keys = usual(labels);
  try {
    const kept = JSON.parse(localStorage.getItem(store()) ?? "{}");
    labels.forEach((label, place) => typeof kept?.[label] === "string" && (keys[place] = kept[label]));
  } catch {
    // the usual ones, then
  }
}

/** Rewrites the buttons. */
export function fillPalette() {
  const isChanging = $("change-keys").getAttribute("aria-pressed") === "true";
  $("classes").replaceChildren(...page.view.labels.map((label, place) => {
    const button = element("button", "", asked === place ? "asked" : "");
    button.type = "button";
    button.title = isChanging ? `press a key for ${label}` : `${label}: here, or for the chosen spot`;
    if (keys[place] || isChanging) button.append(element("kbd", asked === place ? "…" : keys[place].replace("shift ", "⇧") || "–"));
    button.append(label);
    button.addEventListener("click", () => {
      if (!isChanging) return useClass(place);
      asked = place;
      return fillPalette();
    });
    return button;
  }));
}

/** Ties the button that lets keys be changed; `isTaken` says what else a key does. */
export function bindPalette(isTaken) {
  $("change-keys").addEventListener("click", () => {
    const isOn = $("change-keys").getAttribute("aria-pressed") !== "true";
    $("change-keys").setAttribute("aria-pressed", String(isOn));
    $("change-keys").textContent = isOn ? "done" : "keys …";
    asked = null;
    $("edit-state").textContent = isOn ? "click a class, then press its new key" : "";
    fillPalette();
  });
  return (name) => {
    if (asked === null) return false;
    if (name === "Escape") asked = null;
    else if (isTaken(name)) $("edit-state").textContent = `${name} has another use; press another key`;
    else {
      keys = keys.map((key, place) => (place === asked ? name : key === name ? "" : key));
      asked = null;
      try {
        localStorage.setItem(store(), JSON.stringify(Object.fromEntries(page.view.labels.map((label, place) => [label, keys[place]]))));
      } catch {
        // they last as long as the page
      }
      $("edit-state").textContent = "";
    }
    fillPalette();
    return true;
  };
}
