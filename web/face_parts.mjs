/** The parts of the drawn face as SVG elements, from back to front, and how they are painted. */

import { drawFace, MIDDLE, VIEW_BOX } from "./face.mjs?v=0.3.0";

const NAMESPACE = "http://www.w3.org/2000/svg";
const SIDES = [-1, 1];

const BACK = [["hair", "hair"], ["ears", "ears"], ["head", "skin"]];
const FOREHEAD = [["foreheadLines", "line"], ["frownLines", "line"], ["fringe", "hair"]];
const LIDS = [
  ["creases", "line magicface-fine"], ["upperLids", "lids"], ["lowerLids", "line magicface-fine"],
  ["brows", "hair"], ["cheekLines", "line"], ["crowsFeet", "line"], ["bridge", "line magicface-fine"],
  ["nose", "line"], ["noseWrinkles", "line"], ["folds", "line"], ["lips", "lips"],
];
const MOUTH = [["mouthInside", "inside"], ["tongue", "tongue"], ["teeth", "white"]];
const FRONT = [
  ["lipLine", "seam"], ["cornerMarks", "seam"], ["chinCrease", "line"],
  ["chinBoss", "line magicface-fine"], ["chinDimples", "line"],
];

/** An SVG element with attributes and children. */
export function svg(tag, attributes = {}, children = []) {
  const element = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export class FaceParts {
  /** `id` keeps the clip paths of several faces on one page apart. */
  constructor(id) {
    this.id = id;
    this.paths = new Map();
    this.clips = new Map();
    this.irises = SIDES.map(() => iris());
    this.blushes = SIDES.map(() => svg("ellipse", { class: "magicface-blush" }));
    const clipped = (name, children) =>
      svg("g", { "clip-path": `url(#${id}-${name})` }, children);
    this.element = svg("g", { class: "magicface-drawing", "aria-hidden": "true" }, [
      svg("defs", {}, ["leftEye", "rightEye", "mouthInside"].map((name) => this.#clip(name))),
      ...this.#parts(BACK), ...this.blushes, ...this.#parts(FOREHEAD),
      ...this.#parts([["leftEye", "white"], ["rightEye", "white"]]),
      clipped("leftEye", [this.irises[0]]), clipped("rightEye", [this.irises[1]]),
      ...this.#parts(LIDS), clipped("mouthInside", this.#parts(MOUTH)), ...this.#parts(FRONT),
    ]);
  }

  #clip(name) {
    const path = svg("path");
    this.clips.set(name, path);
    return svg("clipPath", { id: `${this.id}-${name}` }, [path]);
  }

  #parts(list) {
    return list.map(([name, style]) => {
      const path = svg("path", { class: `magicface-${style}`, "data-part": name });
      this.paths.set(name, path);
      return path;
    });
  }

  /** Show an expression ({AU1: -10..10, ...}); gives back the anchors of the handles. */
  paint(values) {
    const face = drawFace(values);
    for (const [name, path] of this.paths) {
      path.setAttribute("d", face.paths[name]);
      if (name in face.opacities) path.setAttribute("opacity", face.opacities[name].toFixed(3));
    }
    for (const [name, path] of this.clips) path.setAttribute("d", face.paths[name]);
    SIDES.forEach((side, index) => {
      const { dx, y, rx, ry } = face.blush;
      const centre = { cx: MIDDLE + side * dx, cy: y, rx, ry, opacity: face.opacities.blush };
      for (const [name, value] of Object.entries(centre)) {
        this.blushes[index].setAttribute(name, value);
      }
      const place = `translate(${MIDDLE + side * face.iris.dx} ${face.iris.y})`;
      this.irises[index].setAttribute("transform", place);
    });
    return face.anchors;
  }
}

function iris() {
  return svg("g", {}, [
    svg("circle", { class: "magicface-iris", r: 10 }),
    svg("circle", { class: "magicface-pupil", r: 4.8 }),
    svg("circle", { class: "magicface-white", cx: 3, cy: -3.4, r: 2.2 }),
  ]);
}

/** An SVG canvas in the units of the drawing. */
export function faceCanvas(children) {
  const { x, y, width, height } = VIEW_BOX;
  return svg("svg", { viewBox: `${x} ${y} ${width} ${height}`, role: "presentation" }, children);
}
