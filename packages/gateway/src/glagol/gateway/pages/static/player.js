// @ts-check
// The sound, and the text that follows it: word, segment, clock.

import { $, hms, t } from "./page.js";

const TICK_MS = 40, RATES = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2], KEEP_EVERY_MS = 5000, AGAIN_S = 1;
const PLAY = "M7 4l13 8-13 8z", PAUSE = "M7 4h4v16H7zM14 4h4v16h-4z";

export class Player {
  /** @param {import("./transcript.js").Transcript} text @param {string} id */
  constructor(text, id) {
    this.text = text;
    this.audio = /** @type {HTMLAudioElement} */ ($("audio"));
    this.key = `glagol-at-${id}`;
    this.follow = true;
    /** @type {import("./transcript.js").Segment | null} */
    this.segment = null;
    this.word = -1;
    this.timer = 0;
    this.kept = 0;
    this.wanted = -1;
    /** Called with the position in seconds. @type {((s: number) => void)[]} */
    this.onMove = [];
    this.wire();
  }

  wire() {
    const { audio } = this;
    audio.addEventListener("play", () => { this.look(true); this.tick(); });
    audio.addEventListener("pause", () => { this.look(false); this.keep(); });
    audio.addEventListener("ended", () => this.look(false));
    for (const name of ["seeked", "seeking"]) audio.addEventListener(name, () => this.show(true));
    audio.addEventListener("loadedmetadata", () => {
      if (this.wanted >= 0) audio.currentTime = this.wanted;
      this.wanted = -1;
      this.show(true);
    });
    audio.addEventListener("error", () => {
      if (audio.src) $("now").textContent = t("sound_refused");
    });
    $("play").addEventListener("click", () => this.toggle());
    $("back").addEventListener("click", () => this.move(-5));
    $("forward").addEventListener("click", () => this.move(5));
    $("rate").addEventListener("change", () => this.speed(Number($("rate").value)));
    $("follow").addEventListener("click", () => this.setFollow(!this.follow));
    const loose = () => { if (this.follow && !audio.paused) this.setFollow(false); };
    for (const name of ["wheel", "touchmove"]) addEventListener(name, loose, { passive: true });
    addEventListener("pagehide", () => this.keep());
  }

  /** Give it sound. @param {string} address */
  open(address) {
    if (this.audio.getAttribute("src")) return;
    if (this.wanted < 0) this.wanted = Number(this.remembered() ?? 0);
    this.audio.src = address;
    $("play").disabled = false;
    let rate = 1;
    try { rate = Number(localStorage.getItem("glagol-rate")) || 1; } catch { /* private mode */ }
    this.speed(rate);
  }

  remembered() {
    try { return localStorage.getItem(this.key); } catch { return null; }
  }

  keep() {
    try {
      const at = this.audio.currentTime;
      if (at > 1) localStorage.setItem(this.key, at.toFixed(1));
    } catch { /* private mode */ }
  }

  get duration() {
    return this.text.durationMs / 1000 || this.audio.duration || 0;
  }

  /** Seconds. */
  get now() {
    return this.wanted >= 0 ? this.wanted : this.audio.currentTime;
  }

  /** @param {number} [back] Seconds to go back before playing */
  toggle(back = 0) {
    if (!this.audio.getAttribute("src")) return;
    if (!this.audio.paused) this.audio.pause();
    else {
      if (back && this.audio.currentTime > back) this.seek(this.audio.currentTime - back);
      this.play();
    }
  }

  play() {
    if (this.audio.getAttribute("src")) this.audio.play().catch(() => this.look(false));
  }

  /** Resuming by key starts a second earlier. */
  resume() {
    this.toggle(AGAIN_S);
  }

  /** @param {number} seconds */
  seek(seconds) {
    const at = Math.max(0, Math.min(seconds, Math.max(0, this.duration - 0.05)));
    if (this.audio.readyState > 0) this.audio.currentTime = at;
    else { this.wanted = at; this.show(true); }
  }

  /** @param {number} seconds */
  move(seconds) {
    this.seek(this.now + seconds);
  }

  /** @param {number} rate */
  speed(rate) {
    const known = RATES.includes(rate) ? rate : 1;
    this.audio.playbackRate = known;
    $("rate").value = String(known);
    try { localStorage.setItem("glagol-rate", String(known)); } catch { /* private mode */ }
  }

  /** @param {number} steps */
  faster(steps) {
    const at = RATES.indexOf(this.audio.playbackRate);
    this.speed(RATES[Math.max(0, Math.min(RATES.length - 1, at + steps))]);
  }

  /** @param {boolean} on */
  setFollow(on) {
    this.follow = on;
    $("follow").ariaPressed = String(on);
    if (on && this.segment) this.reveal(this.segment);
  }

  /** @param {boolean} playing */
  look(playing) {
    $("play-shape").setAttribute("d", playing ? PAUSE : PLAY);
    $("play").ariaLabel = t(playing ? "pause" : "play");
  }

  tick() {
    clearTimeout(this.timer);
    this.show(false);
    if (performance.now() - this.kept > KEEP_EVERY_MS) {
      this.kept = performance.now();
      this.keep();
    }
    if (!this.audio.paused) this.timer = window.setTimeout(() => requestAnimationFrame(() => this.tick()), TICK_MS);
  }

  /** Mark what is spoken. @param {boolean} force */
  show(force) {
    const ms = this.now * 1000 + 1, { text } = this;
    $("clock").textContent = `${hms(this.now)} / ${hms(this.duration)}`;
    for (const each of this.onMove) each(this.now);
    const segment = text.at(ms), word = segment ? text.wordAt(segment, ms) : -1;
    if (segment !== this.segment) this.enter(segment);
    else if (word === this.word && !force) return;
    this.word = word;
    text.word.clear();
    const range = segment && word >= 0 ? text.range(segment, word) : null;
    if (range) text.word.add(range);
  }

  /** @param {import("./transcript.js").Segment | null} segment */
  enter(segment) {
    this.segment?.box.classList.remove("cur");
    this.rove(segment ?? this.segment);
    this.segment = segment;
    $("now").textContent = segment?.text.slice(0, 120) ?? "";
    if (!segment) return;
    segment.box.classList.add("cur");
    if (this.follow && !this.text.editing) this.reveal(segment);
  }

  /** The text has one stop of the Tab key. @param {import("./transcript.js").Segment | null} segment */
  rove(segment) {
    if (!segment || this.stop === segment) return;
    for (const [s, index] of /** @type {[any, number][]} */ ([[this.stop, -1], [segment, 0]])) {
      if (!s) continue;
      s.p.tabIndex = index;
      for (const button of s.box.querySelectorAll(".who button")) button.tabIndex = index;
    }
    this.stop = segment;
  }

  /** @type {import("./transcript.js").Segment | null} */
  stop = null;

  /** Bring a segment into sight. @param {import("./transcript.js").Segment} segment */
  reveal(segment) {
    const box = segment.box.getBoundingClientRect();
    if (box.top >= 120 && box.bottom <= innerHeight - 110) return;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches || this.audio.paused;
    segment.box.scrollIntoView({ block: "center", behavior: calm ? "instant" : "smooth" });
  }
}
