// Mouse, pen and fingers on the timeline: drag or swipe to pan, wheel or pinch to zoom, click to choose, axis to scrub.

const AXIS = 20;
const SLACK = 4; // px that a click may move

/** `canDrag(item)`, `onDrag(item, time)` and `onDrop(item, time)` (null: let go elsewhere) are for spots that can be moved. */
export function listen(timeline, { onView, onSeek, onPick, onHover, canDrag, onDrag, onDrop }) {
  const { overlay, overview } = timeline;
  const pointers = new Map();
  let gesture = null;
  let dragged = null;
  const letGo = (time) => {
    const item = dragged;
    dragged = null;
    onDrop(item, time);
  };
  const at = (event) => {
    const box = overlay.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const begin = () => {
    const points = [...pointers.values()];
    gesture = { from: timeline.from, span: timeline.span, points: points.map((point) => ({ ...point })), moved: points.length > 1 };
  };

  overlay.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    overlay.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    begin();
    gesture.scrubs = pointers.size === 1 && at(event).y < AXIS;
    if (gesture.scrubs) onSeek(timeline.time(at(event).x));
    else if (pointers.size === 1) {
      const { x, y } = at(event);
      const item = timeline.spotAt(x, y, event.pointerType === "touch" ? 18 : 9);
      gesture.item = canDrag(item) ? item : null;
    } else if (dragged) letGo(null);
  });
  overlay.addEventListener("pointermove", (event) => {
    const point = at(event);
    if (!pointers.has(event.pointerId)) {
      onHover(timeline.spotAt(point.x, point.y));
      return;
    }
    pointers.set(event.pointerId, point);
    if (gesture.scrubs) {
      onSeek(timeline.time(point.x));
    } else if (gesture.item) {
      gesture.moved ||= Math.abs(point.x - gesture.points[0].x) > SLACK;
      if (!gesture.moved) return;
      dragged = gesture.item;
      onDrag(dragged, timeline.time(point.x));
    } else if (pointers.size === 2) {
      const [a, b] = pointers.values();
      const [p, q] = gesture.points;
      const span = (gesture.span * Math.max(Math.abs(p.x - q.x), 20)) / Math.max(Math.abs(a.x - b.x), 20);
      const middle = gesture.from + ((p.x + q.x) / 2 / timeline.width) * gesture.span;
      timeline.setView(middle - ((a.x + b.x) / 2 / timeline.width) * span, span);
      onView();
    } else {
      const off = point.x - gesture.points[0].x;
      gesture.moved ||= Math.abs(off) > SLACK;
      if (!gesture.moved) return;
      overlay.classList.add("dragging");
      timeline.setView(gesture.from - (off / timeline.width) * gesture.span, gesture.span);
      onView();
    }
  });
  const end = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    overlay.classList.remove("dragging");
    if (dragged) letGo(event.type === "pointerup" ? timeline.time(at(event).x) : null);
    else if (event.type === "pointerup" && !gesture.moved && !gesture.scrubs) {
      const { x, y } = at(event);
      const item = timeline.spotAt(x, y, event.pointerType === "touch" ? 18 : 9);
      if (item) onPick(item);
      else onSeek(timeline.time(x));
    }
    if (pointers.size) begin();
  };
  overlay.addEventListener("pointerup", end);
  overlay.addEventListener("pointercancel", end);
  overlay.addEventListener("pointerleave", () => onHover(null));

  overlay.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    const [dx, dy] = event.shiftKey && !event.deltaX ? [event.deltaY * lines, 0] : [event.deltaX * lines, event.deltaY * lines];
    if (Math.abs(dx) > Math.abs(dy)) timeline.setView(timeline.from + (dx / timeline.width) * timeline.span, timeline.span);
    else zoom(timeline, Math.exp(dy * 0.0016), timeline.time(at(event).x));
    onView();
  }, { passive: false });

  let isHeld = false;
  const goto = (event) => {
    const box = overview.getBoundingClientRect();
    timeline.setView(((event.clientX - box.left) / box.width) * timeline.duration - timeline.span / 2, timeline.span);
    onView();
  };
  overview.addEventListener("pointerdown", (event) => {
    isHeld = true;
    overview.setPointerCapture(event.pointerId);
    goto(event);
  });
  overview.addEventListener("pointermove", (event) => isHeld && goto(event));
  for (const name of ["pointerup", "pointercancel"]) overview.addEventListener(name, () => (isHeld = false));
}

/** Shows `factor` times as much, with the moment `around` where it is on the screen. */
export function zoom(timeline, factor, around) {
  const before = timeline.span;
  const share = (around - timeline.from) / before;
  timeline.setView(timeline.from, before * factor);
  timeline.setView(around - share * timeline.span, timeline.span);
}
