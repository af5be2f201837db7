/** The bar below the face: less, what is looked at, more, reset. */

import { AU_CODES } from "./face.mjs?v=0.3.0";

/** "+3.0", "0.0" or "−1.5" with a plain minus, as in expression labels. */
export function signed(value) {
  return `${value > 0 ? "+" : ""}${value.toFixed(1)}`;
}

export function signOf(value) {
  return value > 0 ? "more" : value < 0 ? "less" : "none";
}

export class FaceBar {
  constructor(texts) {
    this.texts = texts;
    this.less = button("less", "−");
    this.more = button("more", "+");
    this.reset = button("reset", "↺", texts.reset);
    this.readout = document.createElement("div");
    this.readout.className = "magicface-readout";
    this.element = document.createElement("div");
    this.element.className = "magicface-bar";
    this.element.append(this.less, this.readout, this.more, this.reset);
  }

  /** Show the AU that is looked at, or without one the whole change. */
  paint(values, active) {
    this.reset.disabled = !AU_CODES.some((code) => values.slider(code) && !values.isFixed(code));
    for (const [side, element] of [["less", this.less], ["more", this.more]]) {
      element.disabled = !active || values.isFixed(active);
      name(element, active ? `${values.label(active)}: ${this.texts[side]}` : this.texts[side]);
    }
    this.readout.replaceChildren(...(active ? this.#unit(values, active) : this.#whole(values)));
  }

  #unit(values, code) {
    const value = values.slider(code);
    const total = values.total(code);
    const parts = [words("label", values.label(code))];
    if (values.isFixed(code)) return [...parts, words("note", this.texts.fixed)];
    parts.push(words("value", signed(value), signOf(value)));
    if (total !== value) parts.push(words("note", `${this.texts.total} ${signed(total)}`));
    return parts;
  }

  #whole(values) {
    const changes = AU_CODES.map((code) => [code, values.total(code)])
      .filter(([, value]) => value)
      .map(([code, value]) => `${code}${value > 0 ? "+" : ""}${Number(value.toFixed(2))}`);
    const parts = changes.length ? [words("label", changes.join(" "))] : [];
    if (values.preset === "neutralise") parts.push(words("note", this.texts.neutralise));
    if (values.hasConnections) parts.push(words("note", this.texts.connected));
    return parts.length ? parts : [words("note", this.texts.hint)];
  }
}

function words(kind, text, sign = "") {
  const element = document.createElement("span");
  element.className = `magicface-${kind}`;
  element.textContent = text;
  if (sign) element.dataset.sign = sign;
  return element;
}

function button(kind, symbol, label = "") {
  const element = document.createElement("button");
  element.type = "button";
  element.dataset.action = kind;
  element.textContent = symbol;
  name(element, label);
  return element;
}

function name(element, label) {
  element.setAttribute("aria-label", label);
  element.title = label;
}
