/** The style of the drawn face. Panel and text follow ComfyUI's theme, the face has its own paint. */

export const STYLE = `
.magicface-face {
  display: flex; flex-direction: column; box-sizing: border-box; width: 100%; height: 100%;
  min-height: 290px; overflow: hidden; user-select: none; touch-action: none;
  border: 1px solid var(--border-color, #4e4e4e); border-radius: 8px;
  background: var(--comfy-input-bg, #222); color: var(--input-text, #ddd);
  font: 11px/1.3 system-ui, sans-serif;
  --magicface-more: #16a394; --magicface-less: #e07b1f; --magicface-line: #9a6242;
}
.magicface-face svg { flex: 1 1 0; min-height: 0; width: 100%; display: block; }
.magicface-line { fill: none; stroke: var(--magicface-line); stroke-width: 2; stroke-linecap: round; }
.magicface-fine { stroke-width: 1.6; }
.magicface-hair { fill: #51403a; stroke: #51403a; stroke-width: 2; stroke-linejoin: round; }
.magicface-ears { fill: #e3b189; }
.magicface-skin { fill: #f1c9a5; }
.magicface-blush { fill: #e8836f; }
.magicface-white { fill: #fff; }
.magicface-lids { fill: none; stroke: #3d2f2b; stroke-width: 3; stroke-linecap: round; }
.magicface-iris { fill: #5d86a0; }
.magicface-pupil { fill: #2b2b30; }
.magicface-lips { fill: #c9666c; }
.magicface-inside { fill: #6d2832; }
.magicface-tongue { fill: #dd8080; }
.magicface-seam { fill: none; stroke: #7c333d; stroke-width: 1.8; stroke-linecap: round; }
.magicface-region { fill: transparent; stroke: none; }
.magicface-handle { outline: none; }
.magicface-handle .magicface-catch { fill: transparent; }
.magicface-dot { fill: #fff; fill-opacity: .75; stroke: #4a3a36; stroke-width: 1; }
.magicface-arrow { fill: #fff; stroke: #4a3a36; stroke-width: 1; stroke-linejoin: round; display: none; }
[data-sign="more"] .magicface-dot { fill: var(--magicface-more); fill-opacity: 1; stroke: #fff; }
[data-sign="less"] .magicface-dot { fill: var(--magicface-less); fill-opacity: 1; stroke: #fff; }
.magicface-region, .magicface-handle { cursor: ns-resize; }
.magicface-region[data-au="AU20"], .magicface-handle[data-au="AU20"] { cursor: ew-resize; }
.magicface-region[data-au="AU12"], .magicface-handle[data-au="AU12"] { cursor: grab; }
.magicface-region.is-active {
  fill: #fff; fill-opacity: .28; stroke: #4a3a36; stroke-opacity: .45; stroke-dasharray: 3 3;
}
.magicface-handle.is-active .magicface-arrow { display: inline; }
.magicface-handle:focus-visible .magicface-dot { stroke: #1666d8; stroke-width: 2.5; }
[aria-disabled="true"] .magicface-dot { fill: #9a9a9a; stroke: #666; stroke-dasharray: 2 1.5; }
[aria-disabled="true"] .magicface-arrow { visibility: hidden; }
.magicface-region[data-fixed="true"], [aria-disabled="true"] { cursor: not-allowed; }
.magicface-bar {
  display: flex; align-items: stretch; gap: 4px; padding: 4px; height: 40px; flex: none;
  box-sizing: border-box;
  border-top: 1px solid var(--border-color, #4e4e4e);
}
.magicface-readout {
  flex: 1; min-width: 0; display: flex; flex-wrap: wrap; align-content: center;
  justify-content: center; column-gap: 5px; overflow: hidden; text-align: center; max-height: 30px;
}
.magicface-value { font-weight: 700; font-variant-numeric: tabular-nums; }
.magicface-value[data-sign="more"] { color: var(--magicface-more); }
.magicface-value[data-sign="less"] { color: var(--magicface-less); }
.magicface-note { color: var(--descrip-text, #999); }
.magicface-bar button {
  flex: none; width: 26px; padding: 0; border: 1px solid var(--border-color, #4e4e4e);
  border-radius: 6px; background: transparent; color: inherit; font: 600 14px/1 system-ui, sans-serif;
  cursor: pointer;
}
.magicface-bar button:hover:enabled { background: var(--border-color, #4e4e4e); }
.magicface-bar button:focus-visible { outline: 2px solid #3b82f6; outline-offset: -1px; }
.magicface-bar button:disabled { opacity: .35; cursor: default; }
`;
