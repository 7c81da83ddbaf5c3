// Opens a match: its spots, its video, its curves.

import { loadCurves } from "./curves.js";
import { askLabels, openDesk, settled, showState } from "./desk.js";
import { halvesOf, Model, NO_TEAM } from "./model.js";
import { $, clock, fillNotes, page, refresh, request, tellOfVideo, timeline } from "./page.js";
import { walked } from "./spots.js";
import { clamp, DEFAULTS } from "./state.js";

export const SPEEDS = [0.1, 0.25, 0.5, 1, 1.5, 2, 4];

/** Shows a match; what the settings say of time and zoom holds, unless `time` is given. */
export async function open(name, half, time = null) {
  await settled(); // edits of the match that is open
  const { view, state } = page;
  if (page.match && (page.match.name !== name || state.half !== half)) Object.assign(state, { from: 0, span: 0, t: 0 });
  if (time !== null) state.t = time;
  const isSame = page.match?.name === name && page.record;
  const match = view.matches.find((one) => one.name === name);
  if (!match) return;
  page.match = match;
  page.asked = null;
  if (!isSame) {
    page.desk = page.record = null; // nothing is edited until this match is there
    $("edit").hidden = true;
  }
  state.match = name;
  const { t, from, span } = state;
  $("match").value = String(view.matches.indexOf(match));
  if (!isSame) {
    const labels = askLabels(match); // beside the spots, not after them
    const answer = await fetch(match.spots).catch(() => null);
    if (page.match !== match) return; // another was asked for meanwhile
    if (!answer?.ok) return fillNotes([answer ? await answer.text() : "the server is gone: start it again, and open the page anew"]);
    const record = await answer.json();
    await openDesk(match, record, labels);
    if (page.match !== match) return;
    page.record = record;
    Object.assign(state, { t, from, span }); // while it came, the address may have been written from the match before
  }
  showHalf(half);
}

/** Shows a half of the open match; the first where it has no such half. */
function showHalf(half) {
  const { view, match, record, state } = page;
  const halves = halvesOf(match, record);
  state.half = halves.includes(half) ? half : 1;
  $("half-pick").hidden = halves.length < 2;
  $("half").replaceChildren(...halves.map((one) => new Option(`half ${one}`, one)));
  $("half").value = state.half;
  const model = page.model = new Model(view, record, state.half, page.desk);
  page.current = timeline.selected = timeline.hovered = null;
  if (!page.isThresholdChosen) {
    model.apply(state);
    state.score = view.threshold === null ? model.openingThreshold(DEFAULTS.score) : clamp(view.threshold, 0, 1);
  }
  timeline.model = model;
  timeline.curves = [new Map(), new Map()];
  $("team").replaceChildren(new Option("all", ""), ...model.teams.map((team) => new Option(team, `=${team}`)));
  if (model.hasTeamless) $("team").append(new Option("none", NO_TEAM));
  if (![...$("team").options].some((option) => option.value === state.team)) state.team = "";
  fillNotes([
    ...(view.learned ?? []),
    ...record.notes, ...(record.truth || !record.runs.some((run) => run.spots) ? [] : record.notes.length ? [] : ["This match has no labels: predictions only."]),
    ...record.runs.flatMap((run, place) => run.notes.map((note) => `${view.sides[place]}: ${note}`)),
  ]);
  $("edit").hidden = !page.desk;
  if (!model.hasTruth && !page.desk) $("spots-box").open = true; // who edits needs the lanes in sight
  for (const [id, text] of [["previous-error", "‹ %"], ["next-error", "% ›"]]) $(id).textContent = text.replace("%", walked(model)[1]);
  $("learn").hidden = !view.learns;
  if (page.desk) showState("saved");
  timeline.duration = Math.max(model.end, 1);
  timeline.setView(state.span ? state.from : 0, state.span || timeline.duration);
  const video = match.videos[state.half];
  const known = record.runs.find((run) => run.curves)?.curves.fps ?? null;
  tellOfVideo(video ? "" : "No video of this match in the data root: times and spots only.");
  $("screen").classList.toggle("none", !video);
  clock.still = state.t;
  clock.load(video?.url, known);
  $("video").playbackRate = SPEEDS[$("speed").selectedIndex];
  refresh();
  if (state.half !== 1) return; // curves are of the first half's video
  loadCurves(match, record, {
    isWanted: () => page.match === match && page.state.half === model.half,
    onCurve: (place, label, curve) => {
      timeline.curves[place].set(label, curve);
      request(true);
    },
  });
}
