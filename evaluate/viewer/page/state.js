// What a link keeps: every setting of the page as text after the #, read back with care, since anybody can write a link.

export const DEFAULTS = {
  match: "", half: 1, t: 0, score: 0.5, tolerance: 1, classes: [], kinds: [], team: "", low: 0, high: 1, run: "",
  below: true, curves: true, from: 0, span: 0, // span 0 is the whole match; classes and kinds are those hidden
};
const LIMITS = { half: [1, 2], t: [0, 7200], score: [0, 1], tolerance: [0, 60], low: [0, 1], high: [0, 1], from: [0, 7200], span: [0, 7200] };
const DECIMALS = { t: 3, from: 3, span: 3 };

/** Whether a hash names the threshold; else the page opens each match at one that shows something. */
export function namesThreshold(hash) {
  return new URLSearchParams(hash.replace(/^#/, "")).has("score");
}

/** The settings in a hash; what is missing or makes no sense is as by default. */
export function readHash(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const state = structuredClone(DEFAULTS);
  for (const [name, usual] of Object.entries(DEFAULTS)) {
    const text = given.get(name);
    if (text === null) continue;
    if (Array.isArray(usual)) {
      state[name] = [...new Set(text.split(".").filter((part) => /^\d{1,4}$/.test(part)).map(Number))];
    } else if (typeof usual === "number") {
      const value = Number(text);
      if (text.trim() !== "" && Number.isFinite(value)) state[name] = clamp(value, ...LIMITS[name]);
    } else if (typeof usual === "boolean") state[name] = text !== "0";
    else state[name] = text;
  }
  state.half = state.half === 2 ? 2 : 1;
  return state;
}

/** The hash of the settings; those that are as by default are left out, but for the match. */
export function writeHash(state, isThresholdChosen = true) {
  const parts = new URLSearchParams();
  for (const [name, usual] of Object.entries(DEFAULTS)) {
    const value = state[name];
    if (Array.isArray(usual)) {
      if (value.length) parts.set(name, value.join("."));
    } else if (name === "score" ? isThresholdChosen : value !== usual || name === "match") {
      if (typeof value === "number" && name in DECIMALS) parts.set(name, String(Number(value.toFixed(DECIMALS[name]))));
      else parts.set(name, typeof value === "boolean" ? (value ? "1" : "0") : String(value));
    }
  }
  return `#${parts}`;
}

export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

/** 83.456 is "1:23.46". */
export function clockText(seconds, decimals = 2) {
  const unit = 10 ** decimals;
  const whole = Math.round(Math.max(seconds, 0) * unit);
  const rest = (whole % (60 * unit)) / unit;
  return `${Math.floor(whole / (60 * unit))}:${rest.toFixed(decimals).padStart(decimals ? 3 + decimals : 2, "0")}`;
}
