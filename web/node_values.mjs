/** The sliders of one AU Delta Builder node, read and written through the node's own widgets. */

import { AU_CODES, LIMIT } from "./face.mjs?v=0.3.0";

const SOCKETS = ["delta", "source_aus", "target_aus"];

const bounded = (value) => Math.max(-LIMIT, Math.min(LIMIT, value));

export class NodeValues {
  /** `app` is ComfyUI's application, `presets` what presets.json holds under "presets". */
  constructor(app, node, presets = {}) {
    this.app = app;
    this.node = node;
    this.presets = presets;
  }

  find(name) {
    return this.node.widgets?.find((widget) => widget.name === name);
  }

  /** Whether a link, not the widget, gives this value (or it cannot be set at all). */
  isLinked(name) {
    const input = this.node.inputs?.find((slot) => (slot.widget?.name ?? slot.name) === name);
    return input?.link != null; // null or undefined: none
  }

  isFixed(code) {
    const widget = this.find(code);
    return !widget || Boolean(widget.disabled) || this.isLinked(code);
  }

  /** What the slider adds; 0 where a link will give the value only when the graph runs. */
  slider(code) {
    return this.isLinked(code) ? 0 : Number(this.find(code)?.value) || 0;
  }

  /** The name people read beside the slider, in their language. */
  label(code) {
    return this.find(code)?.label || code;
  }

  get preset() {
    return this.isLinked("preset") ? "none" : (this.find("preset")?.value ?? "none");
  }

  /** The change as far as the node itself says it: sliders and preset, saturated at +-10. */
  total(code) {
    const strength = this.isLinked("strength") ? 1 : Number(this.find("strength")?.value ?? 1) || 0;
    const units = this.presets[this.preset]?.aus ?? {};
    return bounded(this.slider(code) + bounded(strength * (units[code] ?? 0)));
  }

  totals() {
    return Object.fromEntries(AU_CODES.map((code) => [code, this.total(code)]));
  }

  /** Whether connected sockets will change the expression when the graph runs. */
  get hasConnections() {
    const names = [...SOCKETS, "preset", "strength", ...AU_CODES];
    return names.some((name) => this.isLinked(name));
  }

  /** Everything the drawing depends on, as text to compare. */
  signature() {
    const state = AU_CODES.map((code) => [this.total(code), this.slider(code), this.isFixed(code)]);
    return JSON.stringify([this.preset, this.hasConnections, state, this.label(AU_CODES[0])]);
  }

  /** Move a slider the way a hand would; false if it stays where it is. */
  set(code, value) {
    const widget = this.find(code);
    if (this.isFixed(code) || !Number.isFinite(value)) return false;
    const next = Math.round(bounded(value) * 10) / 10 + 0;
    const previous = widget.value;
    if (next === previous) return false;
    widget.value = next;
    widget.callback?.(next, this.app.canvas, this.node);
    this.node.onWidgetChanged?.(code, next, previous, widget);
    this.node.graph?.incrementVersion?.();
    this.node.setDirtyCanvas?.(true, true);
    return true;
  }

  /** Make one undo step of what was set since the last one. */
  commit() {
    this.app.canvas?.emitBeforeChange?.();
    this.app.canvas?.emitAfterChange?.();
  }
}
