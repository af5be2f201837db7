/** Pointer and keyboard on the drawn face. */

import { AU_CODES, VIEW_BOX } from "./face.mjs?v=0.3.0";
import { pulled } from "./regions.mjs?v=0.3.0";

const LENGTH_PER_UNIT = 4; // lengths of the drawing to pull for a change of 1
const CLICK_SLACK = 3; // screen pixels
const FINE = 0.1;
const COARSE = 1;

const STEPS = {
  ArrowUp: 1,
  ArrowRight: 1,
  ArrowDown: -1,
  ArrowLeft: -1,
  PageUp: 10,
  PageDown: -10,
  "+": 10,
  "-": -10,
};

export class FaceControls {
  constructor(view) {
    this.view = view;
    this.values = view.values;
    this.drag = null;
    this.uncommitted = false;
    this.#listenToCanvas(view.canvas);
    this.#listenToBar(view.bar);
    this.#listenToRoot(view.root);
    passOnNavigation(view.root, () => this.values.app.canvas);
  }

  #listenToCanvas(canvas) {
    const listen = (type, react) => canvas.addEventListener(type, react);
    listen("pointerover", (event) => this.view.look("hovered", unitOf(event)));
    listen("pointerleave", () => this.view.look("hovered", null));
    listen("pointerdown", (event) => this.#press(event));
    listen("mousedown", (event) => event.preventDefault()); // the focus was set by #press
    listen("pointermove", (event) => this.#pull(event));
    listen("pointerup", () => this.#release());
    listen("pointercancel", () => this.#release());
    listen("click", (event) => this.#click(event));
    listen("focusin", (event) => {
      this.view.look("hovered", null); // the keyboard has the last word until the pointer moves on
      this.view.look("selected", unitOf(event));
    });
    listen("keydown", (event) => this.#key(event));
    listen("keyup", () => this.#commit());
  }

  #listenToBar({ less, more, reset }) {
    const step = (sign) => (event) => {
      this.#change(this.view.active, sign * (event.shiftKey ? FINE : COARSE));
      this.#commit();
    };
    less.addEventListener("click", step(-1));
    more.addEventListener("click", step(1));
    reset.addEventListener("click", () => this.resetAll());
  }

  /** Neither the node nor the canvas behind it may react to what happens on the face. */
  #listenToRoot(root) {
    for (const type of ["pointerdown", "pointermove", "pointerup", "dblclick", "mousedown"]) {
      root.addEventListener(type, (event) => {
        if (event.button !== 1) event.stopPropagation(); // the middle button moves the canvas
      });
    }
    root.addEventListener("focusout", (event) => {
      this.#commit();
      if (!root.contains(event.relatedTarget)) this.view.look("selected", null);
    });
  }

  /** All sliders to 0, as one undo step. */
  resetAll() {
    for (const code of AU_CODES) this.#set(code, 0);
    this.#commit();
  }

  #press(event) {
    const code = unitOf(event);
    if (event.button !== 0 || !code) return;
    event.preventDefault();
    const side = Number(event.target.closest("[data-side]")?.dataset.side ?? 0);
    this.view.grips.get(code).handle.focus({ preventScroll: true });
    this.drag = {
      code,
      side,
      from: [event.clientX, event.clientY],
      value: this.values.slider(code),
      scale: scaleOf(this.view.canvas),
      moved: false,
    };
    this.view.canvas.setPointerCapture(event.pointerId);
  }

  #pull(event) {
    const { drag } = this;
    if (!drag) return;
    const way = [event.clientX - drag.from[0], event.clientY - drag.from[1]];
    drag.moved ||= Math.hypot(...way) > CLICK_SLACK;
    if (!drag.moved) return;
    const length = pulled(drag.code, drag.side, way) / drag.scale;
    const slow = event.shiftKey ? 0.25 : 1;
    this.#set(drag.code, drag.value + (slow * length) / LENGTH_PER_UNIT);
  }

  #release() {
    this.pulledBefore = this.drag;
    this.drag = null;
    this.#commit();
  }

  #click(event) {
    const pressed = this.pulledBefore;
    this.pulledBefore = null;
    if (!pressed || pressed.moved) return;
    const down = event.shiftKey || event.altKey || event.ctrlKey || event.metaKey;
    if (event.detail > 1) this.#set(pressed.code, 0);
    else this.#change(pressed.code, down ? -COARSE : COARSE);
    this.#commit();
  }

  #key(event) {
    const code = unitOf(event);
    if (!code || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in STEPS) {
      const tenfold = event.shiftKey && event.key.startsWith("Arrow") ? 10 : 1;
      this.#change(code, STEPS[event.key] * tenfold * FINE);
    } else if (event.key === "Home" || event.key === "0") this.#set(code, 0);
    else if (event.key === "Escape") this.#escape(event.target);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Take back a pull that is under way; otherwise leave the face. */
  #escape(handle) {
    if (this.drag) {
      this.#set(this.drag.code, this.drag.value);
      this.drag = null;
    } else handle.blur();
  }

  #change(code, step) {
    if (code) this.#set(code, this.values.slider(code) + step);
  }

  #set(code, value) {
    if (!this.values.set(code, value)) return;
    this.uncommitted = true;
    this.view.paint();
  }

  #commit() {
    if (!this.uncommitted || this.drag) return;
    this.uncommitted = false;
    this.values.commit();
  }
}

/**
 * Let wheel and middle button move the graph. In litegraph's renderer the face lies on top of the
 * canvas, which hears nothing of them; in Nodes 2.0 they arrive by themselves.
 */
function passOnNavigation(root, canvasOf) {
  const pass = (type, method, wanted) =>
    root.addEventListener(
      type,
      (event) => {
        if (wanted(event) && root.closest(".dom-widget")) canvasOf()?.[method]?.(event);
      },
      { passive: false },
    );
  pass("wheel", "processMouseWheel", () => true);
  pass("pointerdown", "processMouseDown", (event) => event.button === 1);
  pass("pointermove", "processMouseMove", (event) => (event.buttons & 4) === 4);
  pass("pointerup", "processMouseUp", (event) => event.button === 1);
}

/** The AU that an event is about, or null. */
function unitOf(event) {
  return event.target.closest?.("[data-au]")?.dataset.au ?? null;
}

/** Screen pixels per length of the drawing, whatever the zoom of the graph. */
function scaleOf(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  return Math.min(width / VIEW_BOX.width, height / VIEW_BOX.height) || 1;
}
