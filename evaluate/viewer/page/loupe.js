// A magnifying glass over the video: the ball is three pixels. It follows mouse or finger; the wheel changes it.

import { $, clock } from "./page.js";
import { clamp } from "./state.js";

const SIZE = 240; // less where the picture is small: what is around it is to be seen, too
let [isOn, power, at] = [false, 4, null];

export function toggleLoupe() {
  isOn = !isOn;
  $("screen").classList.toggle("loupe-on", isOn);
  $("loupe-button").setAttribute("aria-pressed", String(isOn));
  at = null;
  draw();
}

/** Draws what lies under the pointer; again with every new picture. */
export function draw() {
  const loupe = $("loupe");
  const { video } = clock;
  loupe.hidden = !isOn || !at || !video.videoWidth;
  if (loupe.hidden) return;
  const box = video.getBoundingClientRect();
  const scale = Math.min(box.width / video.videoWidth, box.height / video.videoHeight); // the picture is fitted in
  const [left, top] = [(box.width - scale * video.videoWidth) / 2, (box.height - scale * video.videoHeight) / 2];
  const size = Math.round(Math.min(SIZE, 0.6 * box.height));
  if (loupe.width !== size) Object.assign(loupe, { width: size, height: size });
  loupe.style.width = loupe.style.height = `${size}px`;
  const wide = size / (scale * power);
  const [x, y] = [(at.x - left) / scale, (at.y - top) / scale];
  const context = loupe.getContext("2d");
  context.fillStyle = "#000";
  context.fillRect(0, 0, size, size);
  context.drawImage(video, x - wide / 2, y - wide / 2, wide, wide, 0, 0, size, size);
  context.strokeStyle = "#fff9";
  context.strokeRect(size / 2 - 8, size / 2 - 8, 16, 16);
  const above = at.isTouch ? size / 2 + 40 : 0; // a finger would cover it
  loupe.style.left = `${clamp(at.x - size / 2, 0, Math.max(box.width - size, 0))}px`;
  loupe.style.top = `${clamp(at.y - size / 2 - above, 0, Math.max(box.height - size, 0))}px`;
}

export function bindLoupe() {
  const screen = $("screen");
  const follow = (event) => {
    if (!isOn) return;
    const box = screen.getBoundingClientRect();
    at = { x: event.clientX - box.left, y: event.clientY - box.top, isTouch: event.pointerType === "touch" };
    draw();
  };
  screen.addEventListener("pointermove", follow);
  screen.addEventListener("pointerdown", follow);
  screen.addEventListener("pointerleave", () => {
    at = null;
    draw();
  });
  screen.addEventListener("wheel", (event) => {
    if (!isOn) return;
    event.preventDefault();
    power = clamp(power * Math.exp(-event.deltaY * 0.002), 1.5, 16);
    draw();
  }, { passive: false });
  clock.video.addEventListener("seeked", draw);
  clock.video.addEventListener("timeupdate", draw);
}
