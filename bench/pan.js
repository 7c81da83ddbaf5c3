// Pans the timeline of `ballspot view` by its wheel, a step a frame, to and fro; gives the times between frames, ms, sorted.
([frames, step]) => new Promise((resolve) => {
  const overlay = document.getElementById("overlay");
  const times = [];
  let last = null;
  const frame = (now) => {
    if (last !== null) times.push(now - last);
    last = now;
    if (times.length === frames) return resolve(times.sort((a, b) => a - b));
    const deltaX = times.length % 60 < 30 ? step : -step;
    overlay.dispatchEvent(new WheelEvent("wheel", { deltaX, deltaY: 0, cancelable: true, bubbles: true }));
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
})
