// @ts-check
// Finding in this recording: case and ё do not matter; the first 500 places are marked.

import { $, t } from "./page.js";

const MARKED_MAX = 500;

/** @param {string} text */
const fold = (text) => text.toLowerCase().replaceAll("ё", "е");

export class Find {
  /** @param {import("./transcript.js").Transcript} text @param {import("./player.js").Player} player */
  constructor(text, player) {
    this.text = text;
    this.player = player;
    /** Segment and offset of each place. @type {[import("./transcript.js").Segment, number][]} */
    this.places = [];
    this.at = -1;
    this.query = "";
    $("find").addEventListener("input", () => this.search($("find").value));
    $("find").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Enter") this.go(event.shiftKey ? -1 : 1);
      else if (event.key === "Escape") { $("find").value = ""; this.search(""); }
      else return;
      event.preventDefault();
    });
    text.onChange.push(() => { if (this.query) this.search($("find").value); });
  }

  /** @param {string} asked */
  search(asked) {
    const { find, found, segments } = this.text;
    find.clear();
    found.clear();
    this.places = [];
    this.at = -1;
    this.query = fold(asked.trim());
    if (this.query.length < 2) {
      $("hits").textContent = "";
      return;
    }
    for (const s of segments) {
      const text = fold(s.text);
      for (let p = text.indexOf(this.query); p >= 0; p = text.indexOf(this.query, p + 1)) this.places.push([s, p]);
    }
    for (const place of this.places.slice(0, MARKED_MAX)) {
      const range = this.range(place);
      if (range) find.add(range);
    }
    this.tell();
  }

  tell() {
    const b = this.places.length;
    $("hits").textContent = !b ? t("find_none") : this.at < 0 ? t("find_of", { a: "–", b })
      : t("find_of", { a: this.at + 1, b });
    if (b && this.at < 0) $("hits").textContent = new Intl.NumberFormat(document.documentElement.lang).format(b);
  }

  /** @param {[import("./transcript.js").Segment, number]} place */
  range([s, p]) {
    const node = s.p.firstChild;
    if (!(node instanceof Text) || node.data !== s.text) return null;
    return new StaticRange({
      startContainer: node, startOffset: p, endContainer: node, endOffset: p + this.query.length,
    });
  }

  /** To the next or previous place. @param {number} step */
  go(step) {
    const count = this.places.length;
    if (!count) return;
    this.at = this.at < 0 && step < 0 ? count - 1 : (this.at + step + count) % count;
    const place = this.places[this.at], range = this.range(place);
    this.text.found.clear();
    if (range) this.text.found.add(range);
    if (this.player.follow) this.player.setFollow(false);
    place[0].box.scrollIntoView({ block: "center" });
    this.tell();
  }
}
