/** The sliders of action units: their usual range, and in litegraph their two sides. */

import { AU_CODES } from "./face.mjs?v=0.3.0";

const USUAL = 5; // beyond it edits look unnatural
const MARGIN = 15; // litegraph's own beside every widget
const LESS = "#5c91d6";
const MORE = "#e48e48";
const ZERO = "#f0f0f0";

/** Sets up every slider of an action unit that a node has. */
export function prepareSliders(node) {
  for (const widget of node.widgets ?? []) {
    if (widget.type !== "gradientslider" || !AU_CODES.includes(widget.name)) continue;
    narrow(widget);
    widget.drawWidget = drawSides; // Nodes 2.0 draws the schema's gradient by itself
  }
}

/** Show -5..5, unless the value lies beyond: then all that is allowed, and from then on. */
function narrow(widget) {
  const { min, max } = widget.options;
  let whole = false;
  const isWhole = () => (whole ||= Math.abs(widget.value) > USUAL);
  Object.defineProperties(widget.options, {
    min: { get: () => (isWhole() ? min : -USUAL), enumerable: true, configurable: true },
    max: { get: () => (isWhole() ? max : USUAL), enumerable: true, configurable: true },
  });
}

/** As litegraph draws a slider, but from zero to the value instead of from the left. */
function drawSides(context, { width, showText = true }) {
  const { min, max, precision = 1 } = this.options;
  const { y, height, value } = this;
  const length = width - 2 * MARGIN;
  const place = (number) => MARGIN + (length * (number - min)) / (max - min);
  const [zero, end] = [place(0), place(Math.max(min, Math.min(max, value)))];
  context.save();
  context.fillStyle = this.background_color;
  context.fillRect(MARGIN, y, length, height);
  context.fillStyle = value < 0 ? LESS : MORE;
  context.fillRect(Math.min(zero, end), y, Math.abs(end - zero), height);
  context.fillStyle = ZERO;
  context.fillRect(zero - 1, y, 2, height);
  if (showText) {
    context.strokeStyle = this.outline_color;
    context.strokeRect(MARGIN, y, length, height);
    context.fillStyle = this.text_color;
    context.textAlign = "left";
    context.fillText(this.label || this.name, 2 * MARGIN, y + height * 0.7);
    context.textAlign = "right";
    context.fillText(Number(value).toFixed(precision), width - 2 * MARGIN, y + height * 0.7);
  }
  context.restore();
}
