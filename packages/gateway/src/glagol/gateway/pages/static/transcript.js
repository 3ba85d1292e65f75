// @ts-check
// The text: one text node for each segment, in blocks that the browser skips while they are off the
// screen. Words are ranges inside these nodes; what is marked is marked by the CSS Custom Highlight
// API, so that finding, selecting, printing and reading aloud see plain text.

import { el, hms, t } from "./page.js";

const BLOCK = 40, COLOURS = 5, DOUBTFUL_SHARE = 0.015, BACK = 12, COLUMN = 72;
const painted = typeof Highlight === "function" && "highlights" in CSS;

/**
 * @typedef {object} Segment
 * @property {number} id @property {number} start Milliseconds @property {number} end
 * @property {string} key Of the speaker @property {number} reviewed @property {string} text
 * @property {number[]} times @property {Int32Array | null} starts @property {number[] | null} offsets
 * @property {HTMLElement} box @property {HTMLElement} p
 */

/** A highlight of that name; without the API it does nothing. @param {string} name @param {number} priority */
function highlight(name, priority) {
  if (!painted) return { clear() {}, add() {}, delete() {} };
  const made = new Highlight();
  made.priority = priority;
  CSS.highlights.set(name, made);
  return made;
}

export class Transcript {
  /** @param {HTMLElement} host */
  constructor(host) {
    this.host = host;
    /** @type {Segment[]} */
    this.segments = [];
    /** @type {Map<number, Segment>} */
    this.byId = new Map();
    /** @type {{key: string, name: string, ms: number, segments: number}[]} */
    this.speakers = [];
    /** Number of the last edit that is shown. */
    this.edit = 0;
    this.durationMs = 0;
    /** The segment whose text a person is changing. @type {Segment | null} */
    this.editing = null;
    /** Called after every change of the text. @type {(() => void)[]} */
    this.onChange = [];
    this.word = highlight("word", 2);
    this.low = highlight("low", 0);
    this.find = highlight("find", 1);
    this.found = highlight("found", 3);
    this.threshold = -1;
    /** Ranges of doubtful words by segment, of blocks near the screen. @type {Map<number, StaticRange[]>} */
    this.marked = new Map();
    /** @type {Set<Element>} */
    this.near = new Set();
    this.sight = new IntersectionObserver((seen) => {
      for (const { target, isIntersecting } of seen) {
        if (isIntersecting) this.near.add(target);
        else this.near.delete(target);
        for (const box of target.children) {
          const segment = this.of(box);
          if (segment) this.mark(segment, isIntersecting);
        }
      }
    }, { rootMargin: "600px" });
  }

  /** Show a text. @param {any} doc As GET text gives it. */
  load(doc) {
    this.edit = doc.edit;
    this.durationMs = doc.duration_ms ?? 0;
    this.speakers = doc.speakers;
    this.segments = doc.segments.map((/** @type {any[]} */ row) => this.make(row));
    this.byId = new Map(this.segments.map((each) => [each.id, each]));
    const whole = document.createDocumentFragment();
    for (let i = 0; i < this.segments.length; i += BLOCK) whole.append(this.block(i));
    this.sight.disconnect();
    this.near.clear();
    this.host.replaceChildren(whole);
    this.repeat();
    for (const each of this.host.children) this.sight.observe(each);
    this.weigh();
    this.tell();
  }

  /** @param {number} first */
  block(first) {
    const some = this.segments.slice(first, first + BLOCK);
    const box = el("div", { className: "block" });
    const height = some.reduce((sum, s) => sum + 14 + 28 * Math.ceil((s.text.length + 1) / COLUMN), 0);
    box.style.setProperty("--h", `${height}px`);
    box.append(...some.map((each) => each.box));
    return box;
  }

  /** @param {any[]} row @returns {Segment} */
  make([id, start, end, key, reviewed, text, times]) {
    const p = el("p", { tabIndex: -1, lang: "" }, text);
    p.removeAttribute("lang");
    const name = el("button", { type: "button", className: "name", tabIndex: -1 });
    const at = el("button", { type: "button", className: "at num", tabIndex: -1 }, hms(start / 1000));
    const box = el("div", { className: "seg", data: { id } }, el("div", { className: "who" }, name, at), p);
    const made = { id, start, end, key, reviewed, text, times, starts: null, offsets: null, box, p };
    this.dress(made);
    return made;
  }

  /** Bring what stands beside a segment up to date. @param {Segment} s */
  dress(s) {
    const [name, at] = /** @type {HTMLElement[]} */ ([...s.box.firstElementChild?.children ?? []]);
    const said = this.name(s.key);
    name.hidden = !said;
    if (name.textContent !== said) {
      name.textContent = said;
      name.title = t("speaker_menu", { name: said });
    }
    at.textContent = hms(s.start / 1000);
    at.title = t("listen_from", { t: hms(s.start / 1000) });
    s.box.dataset.c = String(this.colour(s.key));
    const tick = s.box.querySelector(".tick");
    if (s.reviewed && !tick) at.after(el("span", { className: "tick" }, `✓ ${t("reviewed")}`));
    else if (!s.reviewed) tick?.remove();
  }

  /** What a speaker is called. @param {string} key */
  name(key) {
    const known = this.speakers.find((each) => each.key === key)?.name;
    if (known || !key) return known ?? "";
    const parts = key.match(/^(ch|spk|S)(\d+)$/);
    if (!parts) return key;
    const n = Number(parts[2]) + (parts[1] === "S" ? 0 : 1); // voices are counted from S1
    return t(parts[1] === "ch" ? "channel" : "speaker", { n });
  }

  /** @param {string} key */
  colour(key) {
    return Math.max(0, this.speakers.findIndex((each) => each.key === key)) % COLOURS;
  }

  /** A key for a speaker that does not exist yet. */
  newKey() {
    const taken = new Set(this.speakers.flatMap((each) => [each.key, this.name(each.key)]));
    for (let n = 0; ; n++) {
      const key = `spk${n}`;
      if (!taken.has(key) && !taken.has(this.name(key))) return key;
    }
  }

  /** Names that repeat the one above are not shown. */
  repeat() {
    let before = "\n";
    for (const s of this.segments) {
      s.box.classList.toggle("same", s.key === before);
      before = s.key;
    }
  }

  /**
   * Take over what edits did.
   * @param {any} changes As POST edits and GET changes give it. @returns {Segment[]} Those that changed
   */
  apply(changes) {
    if (changes.edit <= this.edit) return [];
    this.edit = changes.edit;
    const renamed = JSON.stringify(changes.speakers.map((/** @type {any} */ s) => [s.key, s.name]))
      !== JSON.stringify(this.speakers.map((s) => [s.key, s.name]));
    this.speakers = changes.speakers;
    for (const id of changes.removed) this.drop(id);
    const touched = changes.segments.map((/** @type {any[]} */ row) => this.put(row));
    if (renamed) for (const s of this.segments) this.dress(s);
    this.repeat();
    this.tell();
    return touched;
  }

  /** @param {number} id */
  drop(id) {
    const s = this.byId.get(id);
    if (!s) return;
    this.mark(s, false);
    this.byId.delete(id);
    this.segments.splice(this.segments.indexOf(s), 1);
    const block = s.box.parentElement;
    s.box.remove();
    if (block && !block.children.length) block.remove();
  }

  /** @param {any[]} row */
  put(row) {
    const [id, start, end, key, reviewed, text, times] = row, known = this.byId.get(id);
    if (known) {
      const near = this.marked.has(id) || this.near.has(/** @type {Element} */ (known.box.parentElement));
      this.mark(known, false);
      Object.assign(known, { start, end, key, reviewed, text, times, starts: null, offsets: null });
      if (this.editing !== known && known.p.textContent !== text) known.p.textContent = text;
      this.dress(known);
      this.mark(known, near);
      return known;
    }
    const made = this.make(row);
    let i = this.segments.findIndex((s) => s.start > start || s.start === start && s.id > id);
    if (i < 0) i = this.segments.length;
    if (i > 0) this.segments[i - 1].box.after(made.box);
    else if (this.segments.length) this.segments[0].box.before(made.box);
    else {
      const block = el("div", { className: "block" }, made.box);
      this.host.append(block);
      this.sight.observe(block);
    }
    this.segments.splice(i, 0, made);
    this.byId.set(id, made);
    this.mark(made, this.near.has(/** @type {Element} */ (made.box.parentElement)));
    return made;
  }

  tell() {
    for (const each of this.onChange) each();
  }

  /** The segment around an element. @param {Element | null | undefined} inside */
  of(inside) {
    const box = /** @type {HTMLElement | null | undefined} */ (inside?.closest?.(".seg"));
    return box ? this.byId.get(Number(box.dataset.id)) ?? null : null;
  }

  /** The segment that is spoken at a moment, or the last one before it. @param {number} ms */
  at(ms) {
    const all = this.segments;
    if (!all.length) return null;
    let low = 0, high = all.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (all[middle].start <= ms) low = middle;
      else high = middle - 1;
    }
    if (all[low].start > ms) return null;
    for (let i = low; i >= Math.max(0, low - BACK); i--) if (all[i].end > ms) return all[i];
    return all[low];
  }

  /** Starts of the words of a segment, in milliseconds of the recording. @param {Segment} s */
  starts(s) {
    if (s.starts) return s.starts;
    const found = new Int32Array(s.times.length / 3);
    for (let i = 0, at = s.start; i < found.length; i++) found[i] = at += s.times[3 * i];
    return (s.starts = found);
  }

  /** The number of the word that is spoken in a segment; -1 before the first. @param {Segment} s @param {number} ms */
  wordAt(s, ms) {
    const starts = this.starts(s);
    let i = starts.length - 1;
    while (i >= 0 && starts[i] > ms) i--;
    return i;
  }

  /** Where words begin and end in the text. @param {Segment} s */
  offsets(s) {
    if (s.offsets) return s.offsets;
    const found = [];
    let at = 0;
    for (const word of s.text.split(" ")) {
      found.push(at, at + word.length);
      at += word.length + 1;
    }
    return (s.offsets = found);
  }

  /** The range of a word; null while its segment is being changed. @param {Segment} s @param {number} i */
  range(s, i) {
    const node = s.p.firstChild, offsets = this.offsets(s);
    if (!(node instanceof Text) || node.data !== s.text || offsets[2 * i + 1] === undefined) return null;
    return new StaticRange({
      startContainer: node, startOffset: offsets[2 * i], endContainer: node, endOffset: offsets[2 * i + 1],
    });
  }

  /** The word under a point of the screen. @param {number} x @param {number} y */
  wordUnder(x, y) {
    let node = null, offset = 0;
    if (document.caretPositionFromPoint) {
      const found = document.caretPositionFromPoint(x, y);
      if (found) ({ offsetNode: node, offset } = found);
    } else {
      const found = document.caretRangeFromPoint?.(x, y);
      if (found) [node, offset] = [found.startContainer, found.startOffset];
    }
    const s = this.of(node?.parentElement);
    if (!s || node !== s.p.firstChild) return null;
    return { segment: s, word: this.wordOf(s, offset) };
  }

  /** The word at an offset of the text. @param {Segment} s @param {number} offset */
  wordOf(s, offset) {
    const offsets = this.offsets(s);
    for (let i = 0; 2 * i < offsets.length; i++) if (offset <= offsets[2 * i + 1]) return i;
    return offsets.length / 2 - 1;
  }

  // -- doubtful words: the lowest 1.5 % by confidence, until a person has read them

  /** Find the confidence below which a word is doubtful. */
  weigh() {
    const counts = new Uint32Array(101);
    let known = 0;
    for (const s of this.segments) {
      for (let i = 2; i < s.times.length; i += 3) {
        if (s.times[i] >= 0) { counts[Math.min(100, s.times[i])]++; known++; }
      }
    }
    let sum = 0, at = -1;
    while (at < 99 && sum + counts[at + 1] <= Math.max(1, known * DOUBTFUL_SHARE)) sum += counts[++at];
    this.threshold = known ? at : -1;
  }

  /** Numbers of the doubtful words of a segment. @param {Segment} s */
  doubtful(s) {
    const found = [];
    if (!s.reviewed && this.threshold >= 0) {
      for (let i = 2; i < s.times.length; i += 3) {
        if (s.times[i] >= 0 && s.times[i] <= this.threshold) found.push((i - 2) / 3);
      }
    }
    return found;
  }

  /** @param {Segment} s @param {boolean} on */
  mark(s, on) {
    for (const range of this.marked.get(s.id) ?? []) this.low.delete(range);
    this.marked.delete(s.id);
    if (!on || !this.proofreading) return;
    const ranges = /** @type {StaticRange[]} */ (this.doubtful(s).map((i) => this.range(s, i)).filter(Boolean));
    for (const range of ranges) this.low.add(range);
    this.marked.set(s.id, ranges);
  }

  proofreading = false;

  /** Mark doubtful words, or no longer. @param {boolean} on */
  proofread(on) {
    this.proofreading = on;
    for (const block of this.host.children) {
      for (const box of block.children) {
        const s = this.of(box);
        if (s) this.mark(s, on && this.near.has(block));
      }
    }
  }
}
