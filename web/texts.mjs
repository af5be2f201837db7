/** The few words of the drawn face in ComfyUI's languages; English where one is missing. */

const TEXTS = {
  en: {
    title: "Face: change of expression",
    hint: "Drag a dot. Click: +1, Shift+click: −1",
    more: "more",
    less: "less",
    reset: "Reset all sliders",
    fixed: "set by a link",
    total: "total",
    connected: "+ connected inputs",
    neutralise: "neutralise: takes back what source AUs show",
  },
  zh: {
    title: "面部：表情变化",
    hint: "拖动圆点。单击 +1，Shift+单击 −1",
    more: "增强",
    less: "减弱",
    reset: "重置所有滑块",
    fixed: "由连线设定",
    total: "合计",
    connected: "＋ 已连接的输入",
    neutralise: "中性化：消去源 AU 所显示的表情",
  },
  ja: {
    title: "顔：表情の変化",
    hint: "点をドラッグ。クリック +1、Shift+クリック −1",
    more: "強く",
    less: "弱く",
    reset: "すべてのスライダーをリセット",
    fixed: "リンクで設定",
    total: "合計",
    connected: "＋ 接続された入力",
    neutralise: "中立化：ソース AU が示す表情を打ち消します",
  },
};

/** `locale` as in ComfyUI's setting Comfy.Locale, for instance "en" or "zh-TW". */
export function textsFor(locale) {
  const language = String(locale ?? "en").split("-")[0];
  return { ...TEXTS.en, ...TEXTS[language] };
}
