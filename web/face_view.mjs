/** The drawn face as one element: drawing, regions with handles, and the bar below them. */

import { AU_CODES, LIMIT, MIDDLE } from "./face.mjs?v=0.3.0";
import { FaceBar, signed, signOf } from "./face_bar.mjs?v=0.3.0";
import { FaceControls } from "./face_controls.mjs?v=0.3.0";
import { faceCanvas, FaceParts, svg } from "./face_parts.mjs?v=0.3.0";
import { STYLE } from "./face_style.mjs?v=0.3.0";
import { REGIONS, sidesOf } from "./regions.mjs?v=0.3.0";

let faces = 0;

export class FaceView {
  /** `values`: a NodeValues or anything with its methods; `texts`: the words of texts.mjs. */
  constructor(values, texts) {
    this.values = values;
    this.texts = texts;
    this.hovered = null;
    this.selected = null;
    this.painted = null;
    this.parts = new FaceParts(`magicface-${++faces}`);
    const anchors = this.parts.paint({});
    this.grips = new Map(AU_CODES.map((code) => [code, new Grip(code, anchors[code])]));
    const grips = [...this.grips.values()];
    this.canvas = faceCanvas([
      this.parts.element,
      ...grips.flatMap((grip) => grip.regions),
      ...grips.map((grip) => grip.handle),
    ]);
    this.bar = new FaceBar(texts);
    this.root = document.createElement("div");
    this.root.className = "magicface-face";
    this.root.setAttribute("role", "group");
    this.root.setAttribute("aria-label", texts.title);
    const style = document.createElement("style");
    style.textContent = STYLE;
    this.root.append(style, this.canvas, this.bar.element);
    this.controls = new FaceControls(this);
    this.paint();
  }

  get active() {
    return this.hovered ?? this.selected;
  }

  /** Look at one AU (or none): `kind` is "hovered" or "selected". */
  look(kind, code) {
    if (this[kind] === code) return;
    this[kind] = code;
    this.paint();
  }

  /** Bring the picture up to date; cheap when nothing changed. */
  paint() {
    const state = `${this.values.signature()} ${this.hovered} ${this.selected}`;
    if (state === this.painted) return;
    this.painted = state;
    const anchors = this.parts.paint(this.values.totals());
    for (const [code, grip] of this.grips) {
      grip.paint(anchors[code], this.values, this.texts, code === this.active);
    }
    this.bar.paint(this.values, this.active);
  }
}

/** What one AU offers to take hold of: regions on the face and a handle with role slider. */
class Grip {
  constructor(code, anchor) {
    this.code = code;
    this.sides = sidesOf(anchor);
    const { rx, ry } = REGIONS[code];
    const mark = (side) => ({ "data-au": code, "data-side": side });
    this.regions = this.sides.map((side) =>
      svg("ellipse", { class: "magicface-region", rx, ry, ...mark(side) }),
    );
    this.dots = this.sides.map((side) => svg("g", mark(side), dotShapes(code, side)));
    this.handle = svg(
      "g",
      {
        class: "magicface-handle",
        role: "slider",
        tabindex: 0,
        "data-au": code,
        "aria-orientation": code === "AU20" ? "horizontal" : "vertical",
        "aria-valuemin": -LIMIT,
        "aria-valuemax": LIMIT,
      },
      this.dots,
    );
  }

  paint(anchor, values, texts, active) {
    const value = values.slider(this.code);
    const fixed = values.isFixed(this.code);
    this.sides.forEach((side, index) => {
      const place = `translate(${MIDDLE + side * anchor.dx} ${anchor.y})`;
      this.dots[index].setAttribute("transform", place);
      this.regions[index].setAttribute("transform", place);
      this.regions[index].classList.toggle("is-active", active);
      this.regions[index].setAttribute("data-fixed", fixed);
    });
    const state = {
      "data-sign": signOf(value),
      "aria-label": values.label(this.code),
      "aria-valuenow": value,
      "aria-valuetext": fixed ? texts.fixed : signed(value),
      "aria-disabled": fixed,
    };
    for (const [name, text] of Object.entries(state)) this.handle.setAttribute(name, text);
    this.handle.classList.toggle("is-active", active);
  }
}

/** A dot, the wider circle that catches the pointer, and an arrow towards more. */
function dotShapes(code, side) {
  const [outwards, down] = REGIONS[code].pull;
  const angle = (Math.atan2(down, outwards * (side || 1)) * 180) / Math.PI;
  return [
    svg("circle", { class: "magicface-catch", r: 8 }),
    svg("path", {
      class: "magicface-arrow",
      d: "M6.5,-3.2 L14,0 L6.5,3.2 Z",
      transform: `rotate(${angle})`,
    }),
    svg("circle", { class: "magicface-dot", r: 3.6 }),
  ];
}
