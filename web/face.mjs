/**
 * The geometry of the drawn face: twelve action unit values in, path data out.
 *
 * Pure functions without a document, so that they can be tested anywhere. Lengths are in the units
 * of the drawing (VIEW_BOX), y down; values are AU changes, -10..10, as in the sliders. `dx` is a
 * distance from the middle line of the face; `side` is -1 for the viewer's left, +1 for the right.
 */

export const VIEW_BOX = { x: 22, y: 0, width: 196, height: 244 };
export const MIDDLE = 120;
export const LIMIT = 10;
export const AU_CODES = [1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26].map((unit) => `AU${unit}`);

const SIDES = [-1, 1];

/** Odd, rising, steep near zero: half of the movement is done at 3, more follows up to 10. */
export function amount(value) {
  const bounded = Math.max(-LIMIT, Math.min(LIMIT, Number(value) || 0));
  return Math.sign(bounded) * 1.5 * (1 - Math.exp(-Math.abs(bounded) / 4.5));
}

/** The drawing of an expression: `paths` and `opacities` by part, `anchors` by AU, `iris`. */
export function drawFace(values) {
  const units = measure(values);
  const brows = browPoints(units);
  const eyes = eyePoints(units);
  const mouth = mouthPoints(units);
  const chin = chinPoints(units);
  return {
    paths: {
      ...headPaths(units, chin),
      ...browPaths(brows),
      ...eyePaths(eyes, units),
      ...nosePaths(units, mouth),
      ...mouthPaths(mouth),
      ...chinPaths(chin, mouth),
    },
    opacities: opacities(units, mouth),
    iris: { dx: EYE.dx, y: eyes.iris },
    blush: { dx: 45, y: 147 - 7 * units.AU6 - 3 * units.AU12, rx: 15, ry: 9.5 },
    anchors: anchors(units, brows, eyes, mouth, chin),
  };
}

function measure(values) {
  return Object.fromEntries(AU_CODES.map((code) => [code, amount(values[code] ?? 0)]));
}

const more = (value) => Math.max(0, value);
const less = (value) => Math.max(0, -value);
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

const number = (value) => String(Math.round(value * 100) / 100);
const at = (side, dx, y) => `${number(MIDDLE + side * dx)},${number(y)}`;
const both = (draw) => SIDES.map(draw).join(" ");

/** Control height with which a cubic curve between ends at `end` passes `peak` half way. */
const control = (end, peak) => (peak - 0.25 * end) / 0.75;

/* Head, ears and hair */

function chinPoints({ AU17, AU26 }) {
  const drop = 17 * more(AU26) - 4 * less(AU26);
  return { drop, bottom: 214 + drop - 3 * AU17, boss: 201 + drop - 6 * AU17 };
}

function headPaths({ AU12 }, { drop, bottom }) {
  const cheek = 77 + 2 * more(AU12);
  const jaw = 187 + 0.55 * drop;
  const head =
    `M${at(-1, 76, 100)} C${at(-1, 79, 124)} ${at(-1, cheek, 144)} ${at(-1, 71, 162)}` +
    ` C${at(-1, 63, jaw)} ${at(-1, 36, bottom)} ${at(0, 0, bottom)}` +
    ` C${at(1, 36, bottom)} ${at(1, 63, jaw)} ${at(1, 71, 162)}` +
    ` C${at(1, cheek, 144)} ${at(1, 79, 124)} ${at(1, 76, 100)}` +
    ` C${at(1, 80, 44)} ${at(1, 48, 20)} ${at(0, 0, 20)}` +
    ` C${at(-1, 48, 20)} ${at(-1, 80, 44)} ${at(-1, 76, 100)} Z`;
  return { head, ears: both(ear), hair: HAIR_BACK, fringe: FRINGE };
}

const ear = (side) =>
  `M${at(side, 72, 104)} C${at(side, 84, 92)} ${at(side, 95, 104)} ${at(side, 89, 122)}` +
  ` C${at(side, 86, 136)} ${at(side, 78, 140)} ${at(side, 72, 134)} Z`;

const HAIR_BACK =
  "M39,116 C26,56 54,7 114,6 C182,3 216,48 201,116 C198,104 196,98 194,92 L46,92 C44,98 41,106 39,116 Z";
const FRINGE =
  "M43,106 C36,70 46,34 80,20 C124,4 178,16 192,50 C202,70 200,92 196,106 C193,86 186,70 174,59" +
  " C148,61 112,57 93,41 C84,54 61,60 52,72 C46,82 45,94 43,106 Z";

/* Brows */

function browPoints({ AU1, AU2, AU4, AU9 }) {
  return {
    inner: { dx: 16 - 4 * AU4, y: 86 - 12 * AU1 + 8 * AU4 + 3 * more(AU9) },
    middle: { dx: 38 - AU4, y: 77 - 4 * AU1 - 9 * AU2 + 7 * AU4 + more(AU9) },
    outer: { dx: 61, y: 86 - 9 * AU2 + 2 * AU4 },
  };
}

function browPaths({ inner, middle, outer }) {
  const bend = {
    dx: 2 * middle.dx - (inner.dx + outer.dx) / 2,
    y: 2 * middle.y - (inner.y + outer.y) / 2,
  };
  const brow = (side) =>
    `M${at(side, inner.dx, inner.y + 3)} Q${at(side, bend.dx, bend.y + 3)}` +
    ` ${at(side, outer.dx, outer.y)} Q${at(side, bend.dx, bend.y - 4)}` +
    ` ${at(side, inner.dx, inner.y - 4)} Z`;
  const frown = (side) =>
    `M${at(side, 5, inner.y - 10)} Q${at(side, 3, inner.y - 2)} ${at(side, 5, inner.y + 9)}`;
  const line = (y, width, bow) =>
    `M${at(-1, width, y + bow)} Q${at(0, 0, y - bow)} ${at(1, width, y + bow)}`;
  const top = Math.min(inner.y, middle.y);
  return {
    brows: both(brow),
    frownLines: both(frown),
    foreheadLines: `${line(top - 9, 30, 2)} ${line(top - 16, 24, 2)}`,
  };
}

/* Eyes */

const EYE = { dx: 37, y: 112, inner: 16.5, outer: 57.5 };

function eyePoints({ AU5, AU6, AU9 }) {
  const squeeze = 0.95 * more(AU6) + 0.5 * more(AU9);
  const opening = 10.6 + 6.5 * more(AU5) - 8 * less(AU5) - 1.8 * squeeze + 0.8 * less(AU6);
  const lower = 8.6 + 1.4 * more(AU5) - 4.4 * squeeze + 1.6 * less(AU6);
  return {
    top: EYE.y - clamp(opening, 1, 20),
    bottom: EYE.y + clamp(lower, 2, 12),
    iris: EYE.y - 0.6 - 0.8 * more(AU5) - 0.6 * more(AU6),
  };
}

function eyePaths({ top, bottom }, { AU6 }) {
  const inner = EYE.y + 2.5;
  const outer = EYE.y - 1.5;
  const high = control((inner + outer) / 2, top);
  const low = control((inner + outer) / 2, bottom);
  const upper = (side, lift) =>
    `M${at(side, EYE.inner, inner - lift / 2)} C${at(side, 24, high - lift)}` +
    ` ${at(side, 48, high - lift)} ${at(side, EYE.outer, outer - lift / 2)}`;
  const back = (side) => `C${at(side, 50, low)} ${at(side, 25, low)} ${at(side, EYE.inner, inner)}`;
  const lowerLid = (side) => `M${at(side, EYE.outer, outer)} ${back(side)}`;
  const cheek = 134 - 7 * AU6;
  const bag = (side) =>
    `M${at(side, 19, cheek - 5)} Q${at(side, 38, cheek + 8)} ${at(side, 58, cheek - 6)}`;
  const crow = (side, y, rise) => `M${at(side, 62, y)} L${at(side, 69, y + rise)}`;
  return {
    leftEye: `${upper(-1, 0)} ${back(-1)} Z`,
    rightEye: `${upper(1, 0)} ${back(1)} Z`,
    upperLids: both((side) => upper(side, 0)),
    lowerLids: both(lowerLid),
    creases: both((side) => upper(side, 5.5)),
    cheekLines: both(bag),
    crowsFeet: both((side) => `${crow(side, 107, -4)} ${crow(side, 111, 0)} ${crow(side, 115, 4)}`),
  };
}

/* Nose and the folds beside it */

function nosePaths({ AU9 }, { corner }) {
  const lift = 6 * AU9;
  const wing = 14 + 2.5 * more(AU9);
  const base = 152 - lift;
  const nostril = (side) =>
    `M${at(side, wing - 1, base - 10)} C${at(side, wing + 3, base - 1)}` +
    ` ${at(side, wing - 4, base + 3)} ${at(side, 6, base)}`;
  const tip = `M${at(-1, 6, base)} Q${at(0, 0, base + 5)} ${at(1, 6, base)}`;
  const wrinkle = (y, width) =>
    `M${at(-1, width, y + 2)} Q${at(0, 0, y - 3)} ${at(1, width, y + 2)}`;
  const bunny = (side) =>
    `M${at(side, 12, 122)} L${at(side, 19, 116)} M${at(side, 13, 128)} L${at(side, 21, 124)}`;
  const fold = (side) =>
    `M${at(side, wing + 5, base - 8)} Q${at(side, corner.dx + 5, base + 2)}` +
    ` ${at(side, corner.dx + 9, corner.y - 1)}`;
  return {
    nose: `${both(nostril)} ${tip}`,
    bridge: `M${at(-1, 9, 104)} Q${at(-1, 5, 124)} ${at(-1, 11, base - 14)}`,
    noseWrinkles: `${wrinkle(107, 8)} ${wrinkle(114, 9)} ${wrinkle(121, 8)} ${both(bunny)}`,
    folds: both(fold),
  };
}

/* Mouth */

function mouthPoints({ AU9, AU12, AU15, AU17, AU20, AU25, AU26 }) {
  const press = 0.5 * less(AU25) + 0.2 * less(AU26);
  const thin = 0.1 * Math.abs(AU20) + 0.12 * more(AU12) + 0.14 * more(AU15);
  const up = 3.5 * more(AU25) + 3 * more(AU26);
  const down = 7 * more(AU25) + 19 * more(AU26);
  const centre = 178 + 1.5 * more(AU12) - 1.5 * AU15 - 4 * AU17 - more(AU9);
  const smile = more(AU12) - 0.4 * less(AU12);
  return {
    corner: {
      dx: clamp(29 + 8 * smile + 10 * AU20 + AU15 - 5 * more(AU26), 14, 50),
      y: 175.5 - 13 * smile + 8.5 * AU15 + 0.25 * down - 2 * AU17,
    },
    upper: centre - up - 2 * more(AU9),
    lower: centre + down,
    thickUpper: clamp(5 * (1 - press - thin) + 2 * more(AU9), 1.6, 9),
    thickLower: clamp(7 * (1 - press - thin) + 1.5 * AU17, 2, 11),
    open: up + down,
  };
}

function mouthPaths({ corner, upper, lower, thickUpper, thickLower, open }) {
  const reach = 0.5 * corner.dx;
  const left = at(-1, corner.dx, corner.y);
  const right = at(1, corner.dx, corner.y);
  const top = control(corner.y, upper);
  const low = control(corner.y, open > 0.4 ? lower : upper);
  const over = (y) => `C${at(-1, reach, y)} ${at(1, reach, y)} ${right}`;
  const under = (y) => `C${at(1, reach, y)} ${at(-1, reach, y)} ${left}`;
  const bow = upper - thickUpper;
  const bowed =
    `C${at(-1, 0.6 * corner.dx, control(corner.y, bow - 1))} ${at(-1, 11, bow - 3)}` +
    ` ${at(0, 0, bow + 1)} C${at(1, 11, bow - 3)}` +
    ` ${at(1, 0.6 * corner.dx, control(corner.y, bow - 1))} ${right}`;
  const tongue = control(corner.y, lower - 0.35 * Math.max(0, open - 6));
  return {
    lips: `M${left} ${bowed} ${under(control(corner.y, lower + thickLower))} Z`,
    mouthInside: `M${left} ${over(top)} ${under(low)} Z`,
    teeth: `M${left} ${over(top)} ${under(control(corner.y, upper + Math.min(7, 0.6 * open)))} Z`,
    tongue: `M${left} ${over(tongue)} ${under(low)} Z`,
    lipLine: `M${left} ${over(top)} M${left} ${over(low)}`,
    cornerMarks: both(
      (side) =>
        `M${at(side, corner.dx - 1, corner.y - 2)} Q${at(side, corner.dx + 3, corner.y)}` +
        ` ${at(side, corner.dx - 1, corner.y + 2.5)}`,
    ),
  };
}

/* Chin */

function chinPaths({ boss, bottom }, { lower, thickLower }) {
  const crease = Math.min(lower + thickLower + 6, boss - 2);
  return {
    chinCrease: `M${at(-1, 13, crease + 2)} Q${at(0, 0, crease - 4)} ${at(1, 13, crease + 2)}`,
    chinBoss:
      `M${at(-1, 12, boss + 2)} Q${at(-1, 9, bottom - 4)} ${at(0, 0, bottom - 4)}` +
      ` Q${at(1, 9, bottom - 4)} ${at(1, 12, boss + 2)}`,
    chinDimples: [[-6, 4], [0, 1], [6, 4]]
      .map(([dx, y]) => `M${at(1, dx - 1, boss + y)} l2,0.6`)
      .join(" "),
  };
}

/* How strongly the lines show that only appear with an expression */

function opacities({ AU1, AU2, AU4, AU6, AU9, AU12, AU15, AU17 }, { open }) {
  const seen = (value) => clamp(value, 0, 1);
  return {
    frownLines: seen(0.9 * AU4),
    foreheadLines: seen(0.45 * AU1 + 0.45 * AU2 - 0.3 * more(AU4)),
    cheekLines: seen(0.1 + 0.7 * AU6),
    crowsFeet: seen(0.8 * AU6),
    noseWrinkles: seen(0.9 * AU9),
    folds: seen(0.12 + 0.45 * more(AU12) + 0.55 * more(AU9) + 0.35 * more(AU15)),
    blush: seen(0.32 + 0.22 * AU6 + 0.12 * AU12),
    chinCrease: seen(0.22 + 0.7 * AU17),
    chinBoss: seen(0.8 * AU17),
    chinDimples: seen(0.9 * AU17),
    mouthInside: open > 0.4 ? 1 : 0,
    teeth: seen((open - 2) / 3),
    tongue: seen((open - 10) / 6),
  };
}

/* Where the handles sit: { dx, y } on both sides, or on the middle line where dx is 0 */

function anchors(units, brows, eyes, mouth, chin) {
  const { corner, lower, thickLower } = mouth;
  return {
    AU1: { dx: brows.inner.dx + 4, y: brows.inner.y - 2 },
    AU2: { dx: brows.outer.dx - 6, y: brows.outer.y - 4 },
    AU4: { dx: 0, y: brows.inner.y + 1 },
    AU5: { dx: EYE.dx, y: eyes.top },
    AU6: { dx: 44, y: 140 - 7 * units.AU6 },
    AU9: { dx: 0, y: 131 - 5 * units.AU9 },
    AU12: { dx: corner.dx + 5, y: corner.y - 9 },
    AU15: { dx: corner.dx + 1, y: corner.y + 12 },
    AU17: { dx: 0, y: Math.max(chin.boss, lower + thickLower + 9) },
    AU20: { dx: corner.dx + 15, y: corner.y + 2 },
    AU25: { dx: 0, y: lower },
    AU26: { dx: 0, y: chin.bottom },
  };
}
