// @ts-check
// Recording from the microphone: what is recorded goes to the server while it is made.

import { $, ask, clock, el, hms, t, toast, Trouble } from "./page.js";
import { persist } from "./uploads.js";

const PIECE_MS = 2000;
const TUS = { "Tus-Resumable": "1.0.0" };
const TYPES = ["audio/webm;codecs=opus", "audio/mp4", "audio/ogg;codecs=opus"];

/** @param {string} text */
const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

/**
 * The microphone; null after the reason was said.
 * @param {(text: string) => void} [say] @returns {Promise<MediaStream | null>}
 */
export async function microphone(say = toast) {
  if (!navigator.mediaDevices?.getUserMedia) {
    say(t("mic_insecure", { h: location.host }));
    return null;
  }
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch (error) {
    say(t(error instanceof DOMException && error.name === "NotFoundError" ? "mic_none" : "mic_refused"));
    return null;
  }
}

/** The first of some media types that this browser records. @param {string[]} [types] */
export const recordable = (types = TYPES) => types.find((each) => MediaRecorder.isTypeSupported(each)) ?? "";

/** Pieces of a recording to the server, one after another; the last one says how long it is. */
export class Line {
  /** @param {string} address @param {(broken: boolean) => void} note */
  constructor(address, note) {
    this.address = address;
    this.id = address.split("/").pop() ?? "";
    this.note = note;
    this.at = 0;
    /** @type {Promise<void>} */
    this.chain = Promise.resolve();
    this.failed = /** @type {unknown} */ (null);
    /** What has not been sent: the last piece alone carries the length. @type {Blob[]} */
    this.held = [];
    this.since = performance.now();
  }

  /**
   * Begin a recording.
   * @param {string} title @param {string} type Media type @param {Record<string, string>} options
   * @param {(broken: boolean) => void} note Whether the line is broken
   */
  static async begin(title, type, options, note) {
    const extension = type.startsWith("audio/mp4") ? "m4a" : type.startsWith("audio/ogg") ? "ogg" : "webm";
    const words = { filename: `${title}.${extension}`, ...options };
    const metadata = Object.entries(words).map(([name, value]) => `${name} ${base64(value)}`).join(",");
    const answer = await ask("/ui/uploads", {
      method: "POST", headers: { ...TUS, "Upload-Defer-Length": "1", "Upload-Metadata": metadata },
    });
    return new Line(/** @type {string} */ (answer.headers.get("location")), note);
  }

  /** Take what was recorded; it is sent in pieces of some seconds. @param {Blob} some */
  add(some) {
    if (this.held.length && performance.now() - this.since >= PIECE_MS) {
      this.push(new Blob(this.held), false);
      this.held = [];
      this.since = performance.now();
    }
    this.held.push(some);
  }

  /** The recording is over: send the rest. */
  async end() {
    await this.push(new Blob(this.held), true);
    if (this.failed) throw this.failed;
  }

  /** @param {Blob} piece @param {boolean} last */
  push(piece, last) {
    const from = this.at, end = from + piece.size;
    this.at = end;
    this.chain = this.chain.then(() => persist(() => this.send(piece, from, last), this.note, () => false))
      .catch((error) => { this.failed ??= error; });
    return this.chain;
  }

  /** @param {Blob} piece @param {number} from @param {boolean} last */
  async send(piece, from, last) {
    const head = await ask(this.address, { method: "HEAD", headers: TUS }).catch((error) => {
      if (error instanceof Trouble && error.status === 404 && last) return null;
      throw error;
    });
    if (!head) return;
    const there = Number(head.headers.get("upload-offset"));
    const headers = /** @type {Record<string, string>} */ ({
      ...TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(there),
    });
    if (last) headers["Upload-Length"] = String(from + piece.size);
    if (there >= from + piece.size && !last) return;
    await ask(this.address, { method: "PATCH", headers, body: piece.slice(Math.max(0, there - from)) });
  }
}

/**
 * Record until `stop` is pressed or the microphone goes away.
 * @param {MediaStream} stream @param {string} type @param {number} everyMs
 * @param {{time: HTMLElement, level: HTMLMeterElement, stop: HTMLElement}} shown
 * @param {(some: Blob) => void} take
 */
export async function capture(stream, type, everyMs, { time, level, stop }, take) {
  const recorder = new MediaRecorder(stream, type ? { mimeType: type } : {});
  const context = new AudioContext(), analyser = context.createAnalyser();
  context.createMediaStreamSource(stream).connect(analyser);
  const wave = new Uint8Array(analyser.fftSize), began = performance.now();
  const timer = setInterval(() => {
    time.textContent = hms((performance.now() - began) / 1000);
    analyser.getByteTimeDomainData(wave);
    level.value = Math.min(1, Math.max(...wave.map((x) => Math.abs(x - 128))) / 100);
  }, 100);
  const lock = await navigator.wakeLock?.request("screen").catch(() => null);
  recorder.addEventListener("dataavailable", (event) => { if (event.data.size) take(event.data); });
  recorder.start(everyMs);
  const over = new Promise((resolve) => { recorder.addEventListener("stop", resolve); });
  const end = () => { if (recorder.state !== "inactive") recorder.stop(); };
  stop.addEventListener("click", end, { once: true });
  for (const track of stream.getTracks()) track.addEventListener("ended", end);
  await over;
  for (const track of stream.getTracks()) track.stop();
  clearInterval(timer);
  await lock?.release();
  await context.close();
}

/**
 * Record until the person ends it.
 * @param {HTMLElement} host @param {Record<string, string>} options @param {(error: unknown) => void} complain
 */
export async function record(host, options, complain) {
  if (!host.hidden) return;
  const stream = await microphone();
  if (!stream) return;
  const type = recordable();
  const time = el("span", { className: "num" }, "0:00"), state = el("span", { className: "quiet" }, t("mic_going"));
  const level = el("meter", { min: 0, max: 1, ariaLabel: t("mic_title") });
  const stop = el("button", { type: "button", className: "btn main" }, t("mic_stop"));
  host.replaceChildren(el("span", { className: "rec-dot", ariaHidden: "true" }), time, level, state, stop);
  host.hidden = false;
  $("record").disabled = true;
  try {
    const line = await Line.begin(t("mic_name", { t: clock() }), type, options, (broken) => {
      state.textContent = t(broken ? "trouble_offline" : "mic_going");
      state.classList.toggle("bad", broken);
    });
    await capture(stream, type, PIECE_MS, { time, level, stop }, (some) => line.add(some));
    await line.end();
  } catch (error) {
    complain(error);
  } finally {
    for (const track of stream.getTracks()) track.stop();
    host.hidden = true;
    $("record").disabled = false;
  }
}
