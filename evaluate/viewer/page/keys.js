// The keys and the page that lists them.

const KEYS = [
  ["space, k", "play or pause"],
  ["← →", "a frame back or on"],
  ["shift ← →", "a second back or on"],
  ["j l", "two seconds back or on"],
  ["[ ]", "slower or faster"],
  ["n p", "next or previous error"],
  ["d shift d", "next or previous difference of A and B"],
  ["m", "mark this moment, with a note"],
  ["+ − 0", "zoom in, out, whole match"],
  ["a e", "pan left or right"],
  ["b", "predictions below the threshold"],
  ["c", "scores of every frame"],
  ["x", "runs: A and B, only A, only B"],
  ["s", "sound on or off"],
  ["t", "copy the link to this view"],
  ["?", "this page; Esc closes it"],
];
const TEXT = [
  "A lane a class: truth in its upper row, predictions below, each as high as the square root of its score. Drag or wheel to pan and zoom, click a spot to go there, a class in the table to hide its lane; shift-click shows it alone.",
  "Hits are counted as “ballspot evaluate” counts them: a truth takes the best-scored free prediction of its class within half the tolerance either side. Filters hide spots and leave the counts alone.",
];

export function fillHelp(dialog) {
  const title = document.createElement("h2");
  title.textContent = "Keys";
  const list = document.createElement("dl");
  for (const [keys, does] of KEYS) {
    const row = document.createElement("div");
    const [term, what] = [document.createElement("dt"), document.createElement("dd")];
    for (const key of keys.split(/,? /)) {
      const box = document.createElement("kbd");
      box.textContent = key;
      term.append(box, " ");
    }
    what.textContent = does;
    row.append(term, what);
    list.append(row);
  }
  const paragraphs = TEXT.map((text) => Object.assign(document.createElement("p"), { textContent: text }));
  const close = Object.assign(document.createElement("button"), { textContent: "close", type: "button" });
  close.addEventListener("click", () => dialog.close());
  dialog.replaceChildren(title, list, ...paragraphs, close);
}

/** Calls `actions[name]` for keys that nothing else on the page wants. */
export function listenToKeys(actions) {
  document.addEventListener("keydown", (event) => {
    const { target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const field = target.closest?.("select, textarea, input:not([type=checkbox], [type=range])");
    if (field?.offsetParent && (event.key === "Enter" || event.key === "Escape")) field.blur();
    if (field?.offsetParent) return; // one in a dialog that was just closed keeps the focus for a moment
    if (event.key === " " && target.closest?.("button, summary, input")) return;
    if (target.type === "range" && event.key.startsWith("Arrow")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const action = actions[event.shiftKey && (key === "d" || key.startsWith("Arrow")) ? `shift ${key}` : key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
