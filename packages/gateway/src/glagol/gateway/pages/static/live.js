// @ts-check
// Live captions: the microphone's bytes go to the recogniser while they are made, and the same bytes
// become a recording. What is final is in the first ink, a guess in the second.

import { $, clock, complain, el, t } from "./page.js";
import { capture, Line, microphone, recordable } from "./microphone.js";

const TYPES = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus"];
const MESSAGE_MS = 100, BEHIND_BYTES = 1 << 20, BUSY = /^(busy|share_used)$/;
const SIZES = [1.15, 1.5, 2, 2.5, 3.2, 4.2], SIZE = "glagol-live-size";

/** @param {string} text @param {boolean} [wrong] */
function say(text, wrong = true) {
  $("trouble").replaceChildren(el("div", { className: wrong ? "note wrong" : "note", role: "alert" }, text));
}

/** Show what was recognised, the newest in sight. @param {string} final To add @param {string} guess */
function show(final, guess) {
  const box = $("captions"), atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 80;
  if (final) $("final").append(`${final} `);
  $("guess").textContent = guess;
  if (atEnd) box.scrollTop = box.scrollHeight;
}

/** One stream of the recogniser. */
class Captions {
  /** @param {string} type @param {(code: string) => void} lost */
  constructor(type, lost) {
    this.over = false;
    /** @type {Blob[] | null} What was recorded before the socket was open. */
    this.early = [];
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/v1/stream`);
    this.socket = socket;
    this.ended = new Promise((resolve) => {
      socket.onclose = (event) => {
        resolve(null);
        if (!this.over) lost(this.code || String(event.code));
        this.over = true;
      };
    });
    this.code = "";
    socket.onopen = () => {
      const encoding = type.startsWith("audio/ogg") ? "ogg" : "webm";
      socket.send(JSON.stringify({ type: "start", encoding, word_timestamps: false }));
      for (const some of this.early ?? []) socket.send(some);
      this.early = null;
    };
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.type === "final") show(message.segment.text, "");
      else if (message.type === "partial") show("", message.text);
      else if (message.type === "error") this.code = message.error.code;
      else if (message.type === "done") this.over = true;
    };
  }

  /** @param {Blob} some */
  send(some) {
    if (this.early) this.early.push(some);
    else if (this.socket.readyState === WebSocket.OPEN) {
      if (this.socket.bufferedAmount > BEHIND_BYTES) this.socket.close(); // the line is too slow for captions
      else this.socket.send(some);
    }
  }

  /** The sound is over; returns when everything left has become final. */
  async finish() {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: "finish" }));
    else this.socket.close();
    await this.ended;
  }
}

/** @param {boolean} on */
function going(on) {
  $("start").hidden = on;
  $("stop").hidden = !on;
  $("going").hidden = !on;
  $("keep").disabled = on;
}

async function start() {
  $("trouble").replaceChildren();
  const type = recordable(TYPES);
  if (navigator.mediaDevices && !type) return say(t("live_format"));
  const stream = await microphone(say);
  if (!stream) return undefined;
  $("final").textContent = "";
  show("", "");
  $("how").hidden = true;
  $("after").hidden = true;
  going(true);
  $("stop").focus();
  let broken = false;
  try {
    const line = $("keep").checked ? await Line.begin(t("live_name", { t: clock() }), type, {}, (now) => {
      if (now !== broken) say(t(now ? "trouble_offline" : "mic_going"), now);
      broken = now;
    }) : null;
    const captions = new Captions(type, (code) => {
      const key = BUSY.test(code) ? "live_busy" : line ? "live_lost" : "live_lost_unkept";
      say(t(key, { code }));
      if (!line) $("stop").click();
    });
    await capture(stream, type, MESSAGE_MS, { time: $("time"), level: $("level"), stop: $("stop") }, (some) => {
      line?.add(some);
      captions.send(some);
    });
    await Promise.all([captions.finish(), line?.end()]);
    if (line) {
      $("open-recording").href = `/r/${line.id}`;
      $("after").hidden = false;
    }
  } catch (error) {
    complain(error);
  } finally {
    for (const track of stream.getTracks()) track.stop();
    going(false);
    show("", "");
    $("start").focus();
  }
  return undefined;
}

let size = 2;
try { size = Number(localStorage.getItem(SIZE) ?? 2) || 2; } catch { /* private mode */ }
/** @param {number} step */
function resize(step) {
  size = Math.max(0, Math.min(SIZES.length - 1, size + step));
  $("said").style.setProperty("font-size", `${SIZES[size]}rem`);
  $("smaller").disabled = !size;
  $("larger").disabled = size === SIZES.length - 1;
  try { localStorage.setItem(SIZE, String(size)); } catch { /* private mode */ }
  $("captions").scrollTop = $("captions").scrollHeight;
}

$("start").hidden = false;
$("start").addEventListener("click", start);
$("smaller").addEventListener("click", () => resize(-1));
$("larger").addEventListener("click", () => resize(1));
$("full").hidden = !document.fullscreenEnabled;
$("full").addEventListener("click", () => {
  if (document.fullscreenElement) document.exitFullscreen();
  else $("stage").requestFullscreen();
});
document.addEventListener("fullscreenchange", () => {
  $("full").ariaPressed = String(Boolean(document.fullscreenElement));
  $("captions").scrollTop = $("captions").scrollHeight;
});
addEventListener("beforeunload", (event) => { if (!$("going").hidden) event.preventDefault(); });
resize(0);
document.body.dataset.ready = "1";
