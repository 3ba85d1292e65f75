// @ts-check
// Two pictures of the sound: the speakers over the whole length, and thirty seconds of amplitude.

import { $, ask, hms, onTheme } from "./page.js";

const RATE = 50, TILE_S = 60, WINDOW_S = 30, TILES_MAX = 40;

/** @param {string} name */
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** @param {HTMLCanvasElement} canvas */
function fit(canvas) {
  const scale = devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * scale));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * scale));
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
}

/** Lanes of speakers over the whole recording; a slider, too. */
export class Lanes {
  /** @param {import("./transcript.js").Transcript} text @param {import("./player.js").Player} player */
  constructor(text, player) {
    this.text = text;
    this.player = player;
    this.canvas = /** @type {HTMLCanvasElement} */ ($("lanes"));
    /** The picture without the cursor. @type {HTMLCanvasElement | null} */
    this.picture = null;
    this.x = -1;
    this.second = -1;
    let held = false;
    const go = (/** @type {PointerEvent} */ event) => {
      const box = this.canvas.getBoundingClientRect();
      player.seek(((event.clientX - box.left) / box.width) * player.duration);
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      held = true;
      this.canvas.setPointerCapture(event.pointerId);
      go(event);
    });
    this.canvas.addEventListener("pointermove", (event) => { if (held) go(event); });
    this.canvas.addEventListener("pointerup", () => { held = false; });
    this.canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -5, ArrowRight: 5, ArrowDown: -5, ArrowUp: 5, PageDown: -60, PageUp: 60 }[event.key];
      if (step) player.move(step);
      else if (event.key === "Home") player.seek(0);
      else if (event.key === "End") player.seek(player.duration);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    new ResizeObserver(() => this.paint()).observe(this.canvas);
    onTheme.push(() => this.paint());
    text.onChange.push(() => this.paint());
    player.onMove.push(() => this.move());
  }

  paint() {
    const g = fit(this.canvas), { width, height } = this.canvas, whole = this.text.durationMs;
    this.picture = document.createElement("canvas");
    this.picture.width = width;
    this.picture.height = height;
    const p = /** @type {CanvasRenderingContext2D} */ (this.picture.getContext("2d"));
    const keys = this.text.speakers.map((each) => each.key);
    const rows = Math.max(1, Math.min(keys.length, 5)), gap = Math.round(height / 14);
    const high = (height - gap * (rows - 1)) / rows;
    for (let row = 0; row < rows; row++) {
      p.fillStyle = colour("--line");
      p.fillRect(0, Math.round(row * (high + gap) + high / 2), width, Math.max(1, Math.round(height / 28)));
      p.fillStyle = colour(`--c${row % 5}`);
      for (const s of this.text.segments) {
        if (Math.max(0, keys.indexOf(s.key)) % rows !== row || !whole) continue;
        const x = (s.start / whole) * width, wide = ((s.end - s.start) / whole) * width;
        p.fillRect(x, row * (high + gap), Math.max(1, wide - (wide > 4 ? 1 : 0)), high);
      }
    }
    this.x = -1;
    this.g = g;
    this.move();
  }

  move() {
    if (!this.picture || !this.g) return;
    const { width, height } = this.canvas, { g } = this, at = this.player.now;
    const x = Math.round((at / (this.player.duration || 1)) * width);
    const second = Math.floor(at);
    if (second !== this.second) {
      this.second = second;
      this.canvas.setAttribute("aria-valuenow", String(second));
      this.canvas.setAttribute("aria-valuetext", hms(at));
    }
    if (x === this.x) return;
    this.x = x;
    g.clearRect(0, 0, width, height);
    g.globalAlpha = 0.4;
    g.drawImage(this.picture, 0, 0);
    g.globalAlpha = 1;
    if (x > 0) g.drawImage(this.picture, 0, 0, x, height, 0, 0, x, height);
    g.fillStyle = colour("--low");
    g.fillRect(Math.max(0, Math.min(width - 3, x - 1)), 0, Math.max(2, Math.round(2 * devicePixelRatio)), height);
  }
}

/** Thirty seconds of amplitude around the position, from tiles of a minute. */
export class Lens {
  /** @param {string} id @param {import("./transcript.js").Transcript} text @param {import("./player.js").Player} player */
  constructor(id, text, player) {
    this.address = `/ui/recordings/${id}/peaks`;
    this.text = text;
    this.player = player;
    this.canvas = /** @type {HTMLCanvasElement} */ ($("lens-canvas"));
    /** @type {Map<number, Int8Array | null>} */
    this.tiles = new Map();
    this.last = -1;
  }

  /** Show it. */
  open() {
    if (!$("lens").hidden) return;
    $("lens").hidden = false;
    new ResizeObserver(() => this.paint()).observe(this.canvas);
    onTheme.push(() => this.paint());
    this.text.onChange.push(() => this.paint());
    this.player.onMove.push((s) => this.draw(s));
    this.canvas.addEventListener("click", (event) => {
      const box = this.canvas.getBoundingClientRect();
      this.player.seek(this.from(this.player.now) + ((event.clientX - box.left) / box.width) * WINDOW_S);
    });
    this.paint();
  }

  paint() {
    this.g = fit(this.canvas);
    this.last = -1;
    this.draw(this.player.now);
  }

  /** @param {number} n @returns {Int8Array | null} */
  tile(n) {
    if (n < 0 || n * TILE_S > this.player.duration) return null;
    const known = this.tiles.get(n);
    if (known !== undefined) return known;
    this.tiles.set(n, null);
    if (this.tiles.size > TILES_MAX) this.tiles.delete(/** @type {number} */ (this.tiles.keys().next().value));
    const first = n * TILE_S * RATE * 2;
    ask(this.address, { headers: { Range: `bytes=${first}-${first + TILE_S * RATE * 2 - 1}` } })
      .then((answer) => answer.arrayBuffer()).then((body) => {
        this.tiles.set(n, new Int8Array(body));
        this.last = -1;
        this.draw(this.player.now);
      }).catch(() => { /* the tile stays empty */ });
    return null;
  }

  /** Where the picture begins; it moves by halves, so that it stands still while it is read. @param {number} s */
  from(s) {
    const whole = this.player.duration;
    return Math.max(0, Math.min(s - WINDOW_S / 2, whole - WINDOW_S));
  }

  /** @param {number} s */
  draw(s) {
    const { g, canvas } = this;
    if (!g || Math.abs(s - this.last) < 0.03) return;
    this.last = s;
    const { width, height } = canvas, scale = devicePixelRatio || 1, from = this.from(s);
    const span = Math.min(WINDOW_S, Math.max(1, this.player.duration));
    const column = 3 * scale, count = Math.floor(width / column), middle = height / 2;
    const [quiet, done] = [colour("--wave"), colour("--accent")];
    g.clearRect(0, 0, width, height);
    for (let i = 0; i < count; i++) {
      const a = Math.floor((from + (i / count) * span) * RATE);
      const z = Math.max(a + 1, Math.floor((from + ((i + 1) / count) * span) * RATE));
      let low = 0, high = 0;
      for (let k = a; k < z; k++) {
        const tile = this.tile(Math.floor(k / (TILE_S * RATE))), at = (k % (TILE_S * RATE)) * 2;
        if (!tile || at + 1 >= tile.length) continue;
        if (tile[at] < low) low = tile[at];
        if (tile[at + 1] > high) high = tile[at + 1];
      }
      g.fillStyle = from + (i / count) * span <= s ? done : quiet;
      const top = middle * (1 - high / 128), tall = Math.max(scale, ((high - low) / 256) * height);
      g.fillRect(i * column, top, 2 * scale, tall);
    }
    g.fillStyle = colour("--low");
    g.fillRect(((s - from) / span) * width, 0, 2 * scale, height);
  }
}
