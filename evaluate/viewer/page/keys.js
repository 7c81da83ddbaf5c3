// The keys and the page that lists them.

const KEYS = [
  ["space, k", "play or pause"],
  ["← →", "one frame back or on"],
  ["shift ← →", "one second back or on"],
  ["j l", "two seconds back or on"],
  ["[ ]", "slower or faster"],
  ["n p", "next or previous error; without labels, next or previous spot"],
  [", .", "previous or next spot"],
  ["d shift d", "next or previous difference between A and B"],
  ["m", "mark this moment, with a note"],
  ["+ − 0", "zoom in, out, whole match"],
  ["a e", "move the view left or right"],
  ["b", "show predictions below the threshold"],
  ["c", "show the scores of every frame"],
  ["x", "show A and B, only A, or only B"],
  ["s", "sound on or off"],
  ["w g", "wide picture; magnifying glass"],
  ["t", "copy the link to this view"],
  ["?", "show these keys; Esc closes them"],
];
const TEXT = [
  "Each class has its own lane: truths in the upper row, predictions in the lower one, each as high as the square root of its score. Drag to move sideways and turn the wheel to zoom. Click a spot to go there. Click a class in the table to hide its lane; with shift, only that class stays.",
  "Hits are counted as “ballspot evaluate” counts them: each truth takes the free prediction of its class with the highest score within half the tolerance on either side. Filters hide spots but do not change the counts.",
];

const EDIT_KEYS = [
  ["1 … 9", "add a label of that class here, or give that class to the chosen spot"],
  ["y", "accept the chosen prediction"],
  ["⌫ Del", "delete the label, reject the prediction"],
  ["f shift f", "next or previous undecided prediction"],
  ["u i", "move the label one frame back or on"],
  ["o", "move the label to the moment shown"],
  ["v", "change its team: left, right, none"],
  ["q", "write a note for the label"],
  ["shift y", "watched: up to here (or in the stretch asked about) no label is missing"],
  ["z shift z", "undo, redo"],
  ["r", "learn from these labels"],
];
const EDIT_TEXT = "Every step is on the disk before the page says that it is saved. Drag a diamond to move a label. The keys of the classes are on their buttons; “keys …” changes them.";

export function fillHelp(dialog, edits = false) {
  const title = document.createElement("h2");
  title.textContent = "Keys";
  const list = document.createElement("dl");
  for (const [keys, does] of edits ? [...KEYS, ...EDIT_KEYS] : KEYS) {
    const row = document.createElement("div");
    const [term, what] = [document.createElement("dt"), document.createElement("dd")];
    for (const key of keys.split(/(?<=.), | /)) {
      const box = document.createElement("kbd");
      box.textContent = key;
      term.append(box, " ");
    }
    what.textContent = does;
    row.append(term, what);
    list.append(row);
  }
  const paragraphs = [...TEXT, ...(edits ? [EDIT_TEXT] : [])].map((text) => Object.assign(document.createElement("p"), { textContent: text }));
  const close = Object.assign(document.createElement("button"), { textContent: "close", type: "button" });
  close.addEventListener("click", () => dialog.close());
  title.tabIndex = -1;
  title.autofocus = true; // with the focus on the button at the end, a small window would open scrolled down to it
  dialog.replaceChildren(title, list, ...paragraphs, close);
}

/** Calls `actionOf(name)` for keys that nothing else on the page wants, and that `takesKey(name)` does not take first. */
export function listenToKeys(actionOf, takesKey) {
  document.addEventListener("keydown", (event) => {
    const { target } = event;
    if (event.repeat && ["Delete", "Backspace"].includes(event.key)) return; // a held key does not delete one after the other
    if (event.altKey || document.querySelector("dialog[open]")) return;
    const field = target.closest?.("select, textarea, input:not([type=checkbox], [type=range])");
    if (field?.offsetParent && (event.key === "Enter" || event.key === "Escape")) field.blur();
    if (field?.offsetParent) return; // one in a dialog that was just closed keeps the focus for a moment
    if (event.key === " " && target.closest?.("button, summary, input")) return;
    if (target.type === "range" && event.key.startsWith("Arrow")) return;
    const digit = /^Digit([1-9])$/.exec(event.code)?.[1]; // the same key on every keyboard
    const key = digit ?? (event.key.length === 1 ? event.key.toLowerCase() : event.key);
    const names = event.ctrlKey || event.metaKey ? [`ctrl ${event.shiftKey ? "shift " : ""}${key}`] : event.shiftKey ? [`shift ${key}`, event.key.length === 1 ? event.key.toLowerCase() : key] : [key];
    if (!["Shift", "Control", "Meta", "Alt"].includes(event.key) && takesKey(names[0])) return event.preventDefault();
    const action = names.map(actionOf).find(Boolean);
    if (!action) return;
    event.preventDefault();
    action();
  });
}
