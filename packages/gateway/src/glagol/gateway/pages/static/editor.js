// @ts-check
// Changing the text: one segment is editable at a time, so that a long recording stays light.

import { el, t } from "./page.js";

/** @typedef {import("./transcript.js").Segment} Segment */

export class Editor {
  /**
   * @param {import("./transcript.js").Transcript} text @param {import("./saving.js").Saver} saver
   * @param {import("./player.js").Player} player
   */
  constructor(text, saver, player) {
    this.text = text;
    this.saver = saver;
    this.player = player;
    text.host.addEventListener("input", () => this.input());
    text.host.addEventListener("focusout", (event) => {
      const { editing } = text;
      if (editing && event.target === editing.p && document.hasFocus()) this.leave();
    });
    text.host.addEventListener("paste", (event) => this.paste(event));
    text.host.addEventListener("drop", (event) => { if (text.editing) event.preventDefault(); });
  }

  /** Let a person change a segment. @param {Segment} s @param {number} [caret] Offset in its text */
  enter(s, caret) {
    const { text } = this;
    if (text.editing === s) return;
    this.leave();
    text.editing = s;
    this.player.rove(s);
    s.p.contentEditable = "plaintext-only";
    if (s.p.contentEditable !== "plaintext-only") s.p.contentEditable = "true";
    s.p.setAttribute("role", "textbox");
    s.p.ariaMultiLine = "true";
    s.p.ariaLabel = `${text.name(s.key)} ${t("transcript")}`.trim();
    s.p.spellcheck = true;
    s.p.focus({ preventScroll: true });
    const box = s.box.getBoundingClientRect();
    if (box.top < 110 || box.bottom > innerHeight - 120) s.box.scrollIntoView({ block: "center" });
    if (caret !== undefined) this.put(s, caret);
  }

  /** @param {Segment} s @param {number} offset */
  put(s, offset) {
    const node = s.p.firstChild;
    if (node) getSelection()?.collapse(node, Math.min(offset, node.textContent?.length ?? 0));
    else getSelection()?.collapse(s.p, 0);
  }

  /** End the change; what was typed is sent at once. */
  leave() {
    const s = this.text.editing;
    if (!s) return;
    const typed = s.p.textContent ?? "";
    this.text.editing = null;
    s.p.removeAttribute("contenteditable");
    for (const name of ["role", "aria-multiline", "aria-label", "spellcheck"]) s.p.removeAttribute(name);
    s.p.textContent = this.saver.waiting.has(s.id) ? typed : s.text;
    if (this.saver.waiting.has(s.id)) this.saver.flush().then(() => this.settle(s));
    this.player.show(true);
  }

  /** Show what the server keeps of a segment. @param {Segment} s */
  settle(s) {
    if (this.text.editing !== s && !this.saver.waiting.has(s.id) && s.p.textContent !== s.text
      && !this.saver.broken) s.p.textContent = s.text;
  }

  input() {
    const s = this.text.editing;
    if (!s) return;
    this.text.word.clear();
    this.saver.typed(s, s.p.textContent ?? "");
  }

  /** @param {ClipboardEvent} event */
  paste(event) {
    const s = this.text.editing;
    if (!s || s.p.contentEditable === "plaintext-only") return;
    event.preventDefault();
    const text = event.clipboardData?.getData("text/plain").replace(/\s+/g, " ") ?? "";
    document.execCommand("insertText", false, text);
  }

  /** Characters before the caret. */
  caret() {
    const s = this.text.editing, at = getSelection();
    if (!s || !at?.rangeCount) return 0;
    const range = document.createRange();
    range.setStart(s.p, 0);
    range.setEnd(at.getRangeAt(0).startContainer, at.getRangeAt(0).startOffset);
    return range.toString().length;
  }

  /** Cut the segment at the caret. */
  async split() {
    const s = this.text.editing;
    if (!s) return;
    const before = (s.p.textContent ?? "").slice(0, this.caret()).split(/[ \n\t]+/).filter(Boolean).length;
    await this.saver.flush();
    const count = s.text.split(" ").length;
    if (before < 1 || before >= count) return;
    const made = await this.saver.edit({ op: "split", segment: s.id, at: before });
    if (!made) return;
    this.leave();
    const next = this.text.segments[this.text.segments.indexOf(s) + 1];
    if (next) this.enter(next, 0);
  }

  /** Join with the segment above, where the caret is at the start and the speaker is the same. */
  join() {
    const s = this.text.editing, selection = getSelection();
    if (!s || this.caret() > 0 || !selection?.isCollapsed) return false;
    const above = this.text.segments[this.text.segments.indexOf(s) - 1];
    if (!above || above.key !== s.key) return undefined;
    this.saver.flush().then(async () => {
      const at = above.text.length + 1;
      const made = await this.saver.edit({ op: "join", first: above.id, second: s.id });
      if (!made) return;
      this.text.editing = null;
      this.enter(above, at);
    });
    return undefined;
  }

  /** To the segment above or below. @param {number} step */
  go(step) {
    const s = this.text.editing;
    if (!s) return;
    const next = this.text.segments[this.text.segments.indexOf(s) + step];
    if (next) this.enter(next, 0);
  }

  /** The segment is right: mark it, go to the next one and play it. @param {Segment} s */
  async right(s) {
    const was = this.text.editing === s;
    const next = this.text.segments[this.text.segments.indexOf(s) + 1];
    await this.saver.flush();
    if (was && next) this.enter(next, 0);
    else if (was) this.leave();
    else if (next) { next.p.tabIndex = 0; next.p.focus({ preventScroll: true }); }
    if (next) {
      this.player.seek(next.start / 1000);
      this.player.play();
    }
    await this.saver.edit({ op: "review", segment: s.id, reviewed: true });
  }

  /** Another text of the same segment: both are shown. @param {Segment} s @param {string} mine @param {string} by */
  conflict(s, mine, by) {
    if (this.text.editing === s) {
      this.text.editing = null;
      s.p.removeAttribute("contenteditable");
    }
    s.p.textContent = s.text;
    s.box.querySelector(".conflict")?.remove();
    const box = el("div", { className: "conflict", role: "alert" });
    const close = (/** @type {string | null} */ text) => {
      box.remove();
      this.saver.settle(s, text);
    };
    const keep = el("button", { type: "button", className: "btn main" }, t("conflict_mine"));
    const take = el("button", { type: "button", className: "btn" }, t("conflict_theirs"));
    keep.addEventListener("click", () => close(mine));
    take.addEventListener("click", () => close(null));
    box.append(el("div", { className: "small" }, t("conflict", { name: by || t("conflict_other") })),
      el("blockquote", {}, mine), el("div", { className: "acts" }, keep, take));
    s.box.append(box);
    s.box.scrollIntoView({ block: "center" });
  }

  /** A menu of speakers beside the name. @param {Segment} s @param {HTMLElement} anchor */
  menu(s, anchor) {
    document.querySelector(".sheet.floating")?.remove();
    const sheet = el("div", { className: "sheet floating", role: "menu", ariaLabel: t("speaker_menu", { name: this.text.name(s.key) }) });
    const shut = () => {
      sheet.remove();
      removeEventListener("pointerdown", away, true);
      removeEventListener("scroll", shut, true);
      if (anchor.isConnected) anchor.focus({ preventScroll: true });
    };
    const away = (/** @type {Event} */ event) => {
      if (!sheet.contains(/** @type {Node} */ (event.target))) shut();
    };
    const item = (/** @type {string} */ text, /** @type {string} */ key, /** @type {string} */ style) => {
      const made = el("button", { type: "button", className: `item ${style}`, role: "menuitemradio", ariaChecked: String(key === s.key) }, text);
      made.addEventListener("click", () => {
        shut();
        if (key !== s.key) this.saver.edit({ op: "assign", segments: [s.id], speaker: key });
      });
      return made;
    };
    for (const each of this.text.speakers) {
      sheet.append(item(this.text.name(each.key) || "–", each.key, `who-${this.text.colour(each.key)}`));
    }
    sheet.append(item(t("speaker_new"), this.text.newKey(), ""));
    sheet.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const items = [...sheet.children], at = items.indexOf(document.activeElement);
      if (event.key === "Escape") shut();
      else if (event.key === "ArrowDown") items[(at + 1) % items.length].focus();
      else if (event.key === "ArrowUp") items[(at - 1 + items.length) % items.length].focus();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    document.body.append(sheet); // a block clips what it holds
    const at = anchor.getBoundingClientRect(), high = sheet.offsetHeight + 6;
    const top = at.bottom + high > innerHeight ? Math.max(6, at.top - high) : at.bottom + 6;
    sheet.style.setProperty("top", `${top}px`);
    sheet.style.setProperty("left", `${Math.max(6, Math.min(at.left, innerWidth - sheet.offsetWidth - 6))}px`);
    sheet.firstChild.focus({ preventScroll: true });
    addEventListener("pointerdown", away, true);
    addEventListener("scroll", shut, true);
  }
}
