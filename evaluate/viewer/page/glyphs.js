// The marks of the timeline and its legend: a colour and a shape for each, so that either is enough.

export const SIZE = 9; // px across
const COLOURS = ["paper", "panel", "ink", "faint", "line", "accent", "hit", "false", "missed", "below", "curve", "band", "playhead", "stripe"];

/** The colours of the style sheet, by name. */
export function readColours() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

const SHAPES = {
  found(context, r) { // a triangle that points at the prediction
    context.moveTo(-r, -r * 0.8);
    context.lineTo(r, -r * 0.8);
    context.lineTo(0, r);
    context.closePath();
    context.fill();
  },
  missed(context, r) { // an open diamond
    context.moveTo(0, -r);
    context.lineTo(r, 0);
    context.lineTo(0, r);
    context.lineTo(-r, 0);
    context.closePath();
    context.stroke();
  },
  hit(context, r) {
    context.arc(0, 0, r * 0.75, 0, 7);
    context.fill();
  },
  false(context, r) { // a cross
    context.moveTo(-r * 0.75, -r * 0.75);
    context.lineTo(r * 0.75, r * 0.75);
    context.moveTo(r * 0.75, -r * 0.75);
    context.lineTo(-r * 0.75, r * 0.75);
    context.stroke();
  },
  below(context, r) {
    context.rect(-1, -r * 0.2, 2, r * 1.2);
    context.fill();
  },
};
const COLOUR_OF = { found: "hit", missed: "missed", hit: "hit", false: "false", below: "below" };

/** Each mark once as a small picture: drawing those is several times as fast as drawing paths. */
export function makeSprites(colours, ratio) {
  const sprites = {};
  const add = (name, draw) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = Math.ceil((SIZE + 4) * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    context.translate((SIZE + 4) / 2, (SIZE + 4) / 2);
    context.lineWidth = 2;
    draw(context);
    sprites[name] = canvas;
  };
  const shape = (context, name) => {
    context.fillStyle = context.strokeStyle = colours[COLOUR_OF[name]];
    context.beginPath();
    SHAPES[name](context, SIZE / 2);
  };
  for (const name of Object.keys(SHAPES)) add(name, (context) => shape(context, name));
  for (const [name, sign] of [["onlyA", -1], ["onlyB", 1]]) { // found by one of two: its half is filled
    add(name, (context) => {
      shape(context, "missed");
      context.beginPath();
      context.rect(sign < 0 ? -SIZE : 0, -SIZE, SIZE, 2 * SIZE);
      context.clip();
      shape(context, "missed");
      context.fillStyle = colours.hit;
      context.fill();
    });
  }
  return sprites;
}

/** A mark as an element, for legends and chips. */
export function glyphElement(name, sprites, ratio) {
  const canvas = document.createElement("canvas");
  canvas.className = "glyph";
  canvas.width = canvas.height = Math.ceil(14 * ratio);
  const sprite = sprites[name];
  canvas.getContext("2d").drawImage(sprite, (canvas.width - sprite.width) / 2, (canvas.height - sprite.height) / 2);
  return canvas;
}
