// The time that everything on the page goes by: the video's, or that of a still clock where there is no video.

import { clamp } from "./state.js";

const MIN_SAMPLES = 8;
const ENOUGH_SAMPLES = 96; // time stamps of whole ms tell 29.97 from 30 after some two seconds
const BROADCAST = [24, 30, 48, 60, 120]; // also shown at 1000/1001 of the rate
const RATES = [10, 12, 12.5, 15, 20, 25, 50, 100, ...BROADCAST, ...BROADCAST.map((rate) => (rate * 1000) / 1001)];

/** Frames per second from the times between frames that were shown, some of them with others left out in between. */
export function measuredRate(samples) {
  const total = samples.reduce((sum, apart) => sum + apart, 0);
  const framesOf = (length) => samples.reduce((sum, apart) => sum + Math.round(apart / length), 0);
  const length = total / framesOf(total / framesOf(Math.min(...samples)));
  const off = (rate) => Math.abs(rate * length - 1);
  const nearest = RATES.reduce((best, rate) => (off(rate) < off(best) ? rate : best));
  return off(nearest) < 0.01 ? nearest : 1 / length;
}

export class Clock {
  constructor(video, { onChange, onTrouble, onLength }) {
    this.video = video;
    this.hooks = { onChange, onTrouble, onLength };
    this.fps = 25;
    this.still = 0; // the time without a video, and while it loads
    this.pending = null; // where to go once the running seek is over: held keys would queue hundreds
    this.isReady = false;
    for (const event of ["play", "pause", "seeking", "timeupdate", "ratechange"]) video.addEventListener(event, onChange);
    video.addEventListener("seeked", () => {
      const next = this.pending;
      this.pending = null;
      if (next !== null && Math.abs(next - video.currentTime) > 1e-6) this.#go(next);
      onChange();
    });
    video.addEventListener("loadedmetadata", () => {
      if (!video.videoWidth) return onTrouble("it holds no picture that this browser can decode");
      this.isReady = true;
      onLength(video.duration);
      this.#go(this.still);
    });
    video.addEventListener("error", () => video.getAttribute("src") && onTrouble(video.error?.message || "unknown format"));
    this.#measure();
  }

  /** Shows a video, or none; `fps` where it is known, else it is measured while the video plays. */
  load(url, fps) {
    this.isReady = false;
    this.pending = null;
    this.knownFps = fps !== null;
    this.fps = fps ?? 25;
    this.samples = [];
    this.video.pause();
    if (url) this.video.src = url;
    else {
      this.video.removeAttribute("src");
      this.video.load();
    }
  }

  get time() {
    return this.pending ?? (this.isReady ? this.video.currentTime : this.still);
  }

  get frame() {
    return Math.floor(this.time * this.fps + 1e-3);
  }

  get isPlaying() {
    return this.isReady && !this.video.paused && !this.video.ended;
  }

  seek(time) {
    const end = this.isReady && Number.isFinite(this.video.duration) ? this.video.duration : Infinity;
    this.still = clamp(time, 0, end);
    if (this.isReady) this.#go(this.still);
    this.hooks.onChange();
  }

  /** The frame that a spot of so many whole ms lies in. */
  frameOfSpot(ms) {
    return Math.max(Math.ceil(((Math.round(ms) + 1) * this.fps) / 1000) - 1, 0);
  }

  /** Goes to the middle of the frame that a spot lies in: its start would show the one before. */
  seekSpot(seconds) {
    this.seek((this.frameOfSpot(1000 * seconds) + 0.5) / this.fps);
  }

  step(frames) {
    this.video.pause();
    this.seek((Math.max(this.frame + frames, 0) + 0.5) / this.fps);
  }

  toggle() {
    if (!this.isReady) return;
    if (this.video.paused) this.video.play().catch(() => {});
    else this.video.pause();
  }

  /** Seeks, or notes where to go next. A seek may be over before `seeked` is told: what was noted is then out of date. */
  #go(time) {
    const isBusy = this.video.seeking;
    this.pending = isBusy ? time : null;
    if (!isBusy) this.video.currentTime = time;
  }

  /** Takes the mean time between frames that were shown for the length of a frame, surer the more there were. */
  #measure() {
    if (!("requestVideoFrameCallback" in HTMLVideoElement.prototype)) return;
    let last = null;
    const look = (_, { mediaTime }) => {
      const apart = last === null ? 0 : mediaTime - last;
      last = mediaTime;
      if (!this.knownFps && this.isPlaying && apart > 0.004 && apart < 0.2) {
        this.samples.push(apart);
        if (this.samples.length >= MIN_SAMPLES) this.fps = measuredRate(this.samples);
        this.knownFps = this.samples.length === ENOUGH_SAMPLES;
      }
      this.video.requestVideoFrameCallback(look);
    };
    this.video.requestVideoFrameCallback(look);
  }
}
