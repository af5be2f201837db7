/** Adds a drawn face to AU Delta Builder, and sets up the sliders of action units. The nodes work
the same without this script. */

import { app } from "../../scripts/app.js";
import { FaceView } from "./face_view.mjs?v=0.3.0";
import { NodeValues } from "./node_values.mjs?v=0.3.0";
import { prepareSliders } from "./sliders.mjs?v=0.3.0";
import { textsFor } from "./texts.mjs?v=0.3.0";

const NODE = "MagicFace_AUDeltaBuilder";
const MINIMUM_HEIGHT = 300;
const MINIMUM_WIDTH = 400; // room for sliders beside their names
const POLL_MILLISECONDS = 300;

const presets = fetch(new URL("./presets.json", import.meta.url), { cache: "no-cache" })
  .then((answer) => (answer.ok ? answer.json() : {}))
  .then((content) => content.presets ?? {})
  .catch(() => ({})); // without the file the face shows the sliders only

function addFace(node) {
  const values = new NodeValues(app, node);
  const view = new FaceView(values, textsFor(app.extensionManager?.setting?.get("Comfy.Locale")));
  const widget = node.addDOMWidget("face_drawing", "magicface_face", view.root, {
    serialize: false, // not in the prompt
    hideOnZoom: false,
    // Bringing the node to the front would be an undo step of its own, and lose what can be redone.
    selectOn: [],
    getMinHeight: () => MINIMUM_HEIGHT,
  });
  // Not in the saved workflow. It must also stay the last widget: litegraph counts it when it
  // writes widgets_values but not when it reads them.
  widget.serialize = false;
  node.setSize([Math.max(node.size[0], MINIMUM_WIDTH), node.computeSize()[1]]);
  presets.then((known) => {
    values.presets = known;
    view.paint();
  });
  follow(node, view);
}

/** Repaint on every change: by hand at once, by other code within a moment. */
function follow(node, view) {
  for (const widget of node.widgets) {
    if (widget.name !== "face_drawing") after(widget, "callback", () => view.paint());
  }
  after(node, "onConfigure", () => view.paint());
  after(node, "onConnectionsChange", () => view.paint());
  // A value that other code sets directly calls nothing back.
  let timer = null;
  const start = () => (timer ??= setInterval(() => view.paint(), POLL_MILLISECONDS));
  const stop = () => {
    clearInterval(timer);
    timer = null;
  };
  after(node, "onAdded", start);
  after(node, "onRemoved", stop);
  if (node.graph) start();
}

/** Call `then` after this one object's own method, which keeps its result. */
function after(target, name, then) {
  const original = target[name];
  target[name] = function (...given) {
    const result = original?.apply(this, given);
    then();
    return result;
  };
}

app.registerExtension({
  name: "MagicFace.FaceWidget",
  nodeCreated(node) {
    if (node.comfyClass?.startsWith("MagicFace_")) prepareSliders(node);
    if (node.comfyClass === NODE) addFace(node);
  },
});
