// Learning from the page: asks for a turn, shows how far it is, and opens what came of it.

import { post, showState } from "./desk.js";
import { $, page } from "./page.js";

const LOOK_MS = 1000;
let isAtWork = false;

export async function learn() {
  const address = page.view.learns;
  if (!address) return showState("open one run with --data and --edit to learn from here: ballspot view RUN --data DATA --edit");
  if (isAtWork) return null;
  isAtWork = true;
  let what = "start";
  for (;;) {
    const answer = await post(address, { do: what });
    if (!answer?.ok) {
      showState(answer ? (await answer.text()).trim() : "the server is gone", true);
      break;
    }
    const { state, lines, seconds } = await answer.json();
    if (state === "done") return location.reload();
    if (state === "failed") {
      showState(lines.at(-1) ?? "learning failed", true);
      break;
    }
    showState(`learning, ${seconds.toFixed(0)} s: ${lines.at(-1) ?? "reading features"}`);
    what = "look";
    await new Promise((after) => setTimeout(after, LOOK_MS));
  }
  isAtWork = false;
  return null;
}

/** Ties the button that adds a class to the label set's file. */
export function bindNewClass() {
  $("add-class").hidden = !page.view.adds;
  $("add-class").addEventListener("click", () => {
    $("new-class-name").value = "";
    $("new-class").querySelector("form").onsubmit = ({ submitter }) => {
      if (submitter?.value !== "cancel") add($("new-class-name").value);
    };
    $("new-class").showModal();
  });
}

async function add(label) {
  const answer = await post(page.view.adds, { label });
  if (answer?.ok) location.reload();
  else showState(answer ? (await answer.text()).trim() : "the server is gone", true);
}
