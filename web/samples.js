/** Puts the sample pictures of the pack's own templates into ComfyUI's input folder.

A template names them in `extra.magicface_samples`. They are copied when such a template is opened,
from this folder and only where no picture of that name is there; nothing comes from elsewhere. */

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const LOADER = "LoadImage";

/** The samples that a workflow loads and the input folder lacks. */
function missingSamples(workflow) {
  const listed = workflow.extra?.magicface_samples;
  if (!Array.isArray(listed)) return [];
  const present = LiteGraph.registered_node_types[LOADER]?.nodeData?.input?.required?.image ?? [];
  const names = Array.isArray(present[0]) ? present[0] : (present[1]?.options ?? []);
  const wanted = workflow.nodes
    .filter((node) => node.type === LOADER)
    .map((node) => node.widgets_values?.[0]);
  return listed.filter((name) => wanted.includes(name) && !names.includes(name));
}

/** Copy one sample from the pack to the input folder. */
async function copyToInput(name) {
  const picture = await fetch(new URL(`./samples/${encodeURIComponent(name)}`, import.meta.url));
  if (!picture.ok) throw new Error(`The sample ${name} is not in the pack.`);
  const form = new FormData();
  form.append("image", await picture.blob(), name);
  const answer = await api.fetchApi("/upload/image", { method: "POST", body: form });
  if (!answer.ok) throw new Error(`ComfyUI did not take the sample ${name}.`);
}

app.registerExtension({
  name: "MagicFace.Samples",
  async beforeConfigureGraph(workflow) {
    const missing = missingSamples(workflow);
    if (missing.length === 0) return;
    try {
      await Promise.all(missing.map(copyToInput));
      await app.reloadNodeDefs(); // Load Image lists them from now on
    } catch (error) {
      console.warn("MagicFace:", error.message); // the picture is then shown as missing
    }
  },
});
