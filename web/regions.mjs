/**
 * Where a face can be taken hold of, by AU: the half axes of the region around its handle, and the
 * direction in which pulling makes the AU stronger ([outwards, down]; the left side is mirrored).
 */

export const REGIONS = {
  AU1: { rx: 13, ry: 11, pull: [0, -1] },
  AU2: { rx: 15, ry: 12, pull: [0, -1] },
  AU4: { rx: 8, ry: 13, pull: [0, 1] },
  AU5: { rx: 20, ry: 9, pull: [0, -1] },
  AU6: { rx: 22, ry: 13, pull: [0, -1] },
  AU9: { rx: 12, ry: 19, pull: [0, -1] },
  AU12: { rx: 15, ry: 11, pull: [0.6, -0.8] },
  AU15: { rx: 14, ry: 9, pull: [0, 1] },
  AU17: { rx: 17, ry: 8, pull: [0, -1] },
  AU20: { rx: 11, ry: 11, pull: [1, 0] },
  AU25: { rx: 18, ry: 9, pull: [0, 1] },
  AU26: { rx: 36, ry: 9, pull: [0, 1] },
};

/** The sides on which an AU has a handle: 0 stands for the middle line. */
export function sidesOf(anchor) {
  return anchor.dx === 0 ? [0] : [-1, 1];
}

/** How far a movement ([right, down]) on `side` goes in the direction of more. */
export function pulled(code, side, [right, down]) {
  const [outwards, downwards] = REGIONS[code].pull;
  return right * outwards * (side || 1) + down * downwards;
}
