// @ts-check
// The keyboard: one table that the dispatcher and the list of keys are made from.

import { dialog, el, t } from "./page.js";

const OFF = "glagol-letters";
const MODIFIERS = ["Ctrl", "Alt", "Shift"];

/**
 * Where it works, its keys, what it does, its word. Letters are named by their place on the keyboard
 * (`KeyboardEvent.code`), so that a Russian layout changes nothing.
 * @type {[string, string[], string, string][]}
 */
const KEYS = [
  ["anywhere", ["F8", "Alt+KeyK"], "play", "key_play"],
  ["anywhere", ["F7", "Alt+KeyJ"], "back", "key_back"],
  ["anywhere", ["F9", "Alt+KeyL"], "forward", "key_forward"],
  ["anywhere", ["Shift+F8"], "segment", "key_segment"],
  ["anywhere", ["Alt+Minus"], "slower", "key_slower"],
  ["anywhere", ["Alt+Equal"], "faster", "key_faster"],
  ["anywhere", ["Alt+Digit0"], "normal", "key_normal"],
  ["anywhere", ["F4"], "doubt", "key_doubt"],
  ["anywhere", ["Shift+F4"], "doubtBack", "key_doubt_back"],
  ["anywhere", ["Ctrl+Enter"], "right", "key_right"],
  ["anywhere", ["Ctrl+KeyH"], "replace", "key_replace"],
  ["reading", ["Space"], "play", "key_play"],
  ["reading", ["ArrowLeft"], "back", "key_back"],
  ["reading", ["ArrowRight"], "forward", "key_forward"],
  ["reading", ["ArrowUp"], "up", "key_up"],
  ["reading", ["ArrowDown"], "down", "key_down"],
  ["reading", ["Enter"], "edit", "key_edit"],
  ["reading", ["Digit1", "Digit2", "Digit3", "Digit4", "Digit5", "Digit6", "Digit7", "Digit8", "Digit9"], "speaker", "key_speaker"],
  ["reading", ["Slash"], "search", "key_search"],
  ["reading", ["Ctrl+KeyZ"], "undo", "key_undo"],
  ["reading", ["Ctrl+Shift+KeyZ", "Ctrl+KeyY"], "redo", "key_redo"],
  ["reading", ["Shift+Slash"], "help", "key_help"],
  ["editing", ["Escape"], "leave", "key_leave"],
  ["editing", ["Enter"], "split", "key_split"],
  ["editing", ["Backspace"], "join", "key_join"],
  ["editing", ["Alt+ArrowUp", "Alt+ArrowDown"], "above", "key_above"],
];

/** Whether letters and digits alone are commands (WCAG 2.1.4). */
export const letters = () => {
  try { return localStorage.getItem(OFF) !== "off"; } catch { return true; }
};

/** @param {string} combination */
function shown(combination) {
  const arrows = /** @type {Record<string, string>} */ ({
    ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Minus: "−", Equal: "+", Slash: "/",
  });
  return combination.replace("Shift+Slash", "?").split("+")
    .map((part) => arrows[part] ?? part.replace(/^(Key|Digit)/, "")).join(" ");
}

/** The list of keys as a table. */
export function table() {
  const body = el("tbody");
  for (const where of ["anywhere", "reading", "editing"]) {
    body.append(el("tr", {}, el("th", { colSpan: 2, scope: "rowgroup" }, t(`keys_${where}`))));
    for (const [place, keys, , word] of KEYS) {
      if (place !== where) continue;
      const cell = el("td");
      const some = keys.length > 3 ? ["1 – 9"] : keys.map(shown);
      some.forEach((text, i) => cell.append(...(i ? [" "] : []), el("kbd", {}, text)));
      body.append(el("tr", {}, cell, el("td", {}, t(word))));
    }
  }
  const off = el("input", { type: "checkbox", checked: letters() });
  off.addEventListener("change", () => {
    try { localStorage.setItem(OFF, off.checked ? "on" : "off"); } catch { /* private mode */ }
  });
  return el("div", {}, el("table", { className: "keys" }, body), el("label", { className: "check" }, off, t("keys_on")));
}

/** Show the list of keys. */
export const help = () => dialog(t("keys_title"), [table()], [{ value: "", text: t("close") }]);

/** @param {KeyboardEvent} event */
function combination(event) {
  const held = [event.ctrlKey || event.metaKey, event.altKey, event.shiftKey];
  return [...MODIFIERS.filter((_, i) => held[i]), event.code === "NumpadEnter" ? "Enter" : event.code].join("+");
}

/**
 * Obey the keyboard. A handler that returns false leaves the key to the browser.
 * @param {Record<string, (event: KeyboardEvent) => any>} does
 * @param {() => boolean} editing Whether a segment is being changed
 */
export function obey(does, editing) {
  addEventListener("keydown", (event) => {
    if (event.isComposing || event.defaultPrevented) return;
    const at = /** @type {HTMLElement} */ (event.target), pressed = combination(event);
    if (at.closest("dialog")) return;
    const typing = editing() && at.isContentEditable;
    const busy = at.closest("input, select, textarea, button, a, summary, [role=slider], [role=tab]");
    for (const [where, keys, name] of KEYS) {
      if (!keys.includes(pressed)) continue;
      if (where === "editing" && !typing) continue;
      if (where === "reading" && (typing || busy || !letters() && !event.ctrlKey && /Digit|Slash|Space/.test(pressed))) continue;
      if (where === "reading" && /Arrow(Up|Down)|Enter/.test(pressed) && !at.closest(".seg")) continue;
      if (does[name]?.(event) !== false) event.preventDefault();
      return;
    }
  });
}
