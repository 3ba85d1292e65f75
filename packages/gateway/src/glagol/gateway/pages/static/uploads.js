// @ts-check
// Files go to the server in pieces (tus 1.0.0), and continue after a broken line, a closed lid or a
// closed tab. A piece that the server acknowledged is on its disk.

import { ask, get, Trouble } from "./page.js";

const FIRST_PIECE = 256 * 1024, GOOD_MS = 1500, LONGEST_WAIT_S = 10, AT_ONCE = 2;
const TUS = { "Tus-Resumable": "1.0.0" };
const KNOWN = "glagol-uploads";

/** @param {string} text */
const base64 = (text) =>
  btoa(String.fromCharCode(...new TextEncoder().encode(text)));

/** @param {File} file */
const mark = (file) => `${file.name}:${file.size}:${file.lastModified}`;

/** @returns {Record<string, string>} Marks of files by the id of their upload */
function remembered() {
  try {
    return JSON.parse(localStorage.getItem(KNOWN) ?? "{}");
  } catch {
    return {};
  }
}

/** @param {string} id @param {string | null} value */
function remember(id, value) {
  const all = remembered();
  if (value === null) delete all[id];
  else all[id] = value;
  try {
    localStorage.setItem(KNOWN, JSON.stringify(Object.fromEntries(Object.entries(all).slice(-200))));
  } catch { /* no room: then the file is matched by name and size */ }
}

/** Wait; the line coming back ends it. @param {number} seconds */
export const pause = (seconds) => new Promise((resolve) => {
  const timer = setTimeout(done, seconds * 1000);
  function done() {
    clearTimeout(timer);
    removeEventListener("online", done);
    resolve(undefined);
  }
  addEventListener("online", done);
});

/**
 * Do something again until it succeeds or its refusal is final.
 * @template T @param {() => Promise<T>} what @param {(broken: boolean) => void} note
 * @param {() => boolean} stopped
 * @returns {Promise<T>}
 */
export async function persist(what, note, stopped) {
  for (let wait = 1; ; wait = Math.min(wait * 2, LONGEST_WAIT_S)) {
    try {
      const found = await what();
      note(false);
      return found;
    } catch (error) {
      if (!(error instanceof Trouble) || !error.passing || stopped()) throw error;
      note(true);
      await pause(error.retryS || wait);
    }
  }
}

/** The upload of one file. */
class Upload {
  /** @param {File} file @param {Uploads} all */
  constructor(file, all) {
    this.file = file;
    this.all = all;
    this.id = "";
    this.share = 0;
    this.broken = false;
    this.dropped = false;
    /** Whether a part of it may be on the server already. */
    this.started = false;
  }

  note = (/** @type {boolean} */ broken) => {
    if (this.broken === broken) return;
    this.broken = broken;
    this.all.changed(this);
  };

  /** Find a started upload of this very file, or begin one. @param {any[]} started */
  async begin(started) {
    const known = remembered(), own = mark(this.file);
    const found = started.find((r) => r.title === this.file.name && r.bytes === this.file.size
      && !this.all.own.has(r.id) && (known[r.id] ?? own) === own);
    if (found) {
      this.id = found.id;
      this.started = true;
    } else {
      const words = { filename: this.file.name, ...this.all.options() };
      const metadata = Object.entries(words).map(([name, value]) => `${name} ${base64(value)}`).join(",");
      const headers = { ...TUS, "Upload-Length": String(this.file.size), "Upload-Metadata": metadata };
      const answer = await persist(() => ask("/ui/uploads", { method: "POST", headers }),
        this.note, () => this.dropped);
      this.id = /** @type {string} */ (answer.headers.get("location")).split("/").pop() ?? "";
    }
    remember(this.id, own);
    this.all.own.set(this.id, this);
    this.all.changed(this);
  }

  /** Where the server is; the whole size when it has finished. */
  async offset() {
    try {
      const answer = await ask(`/ui/uploads/${this.id}`, { method: "HEAD", headers: TUS });
      return Number(answer.headers.get("upload-offset"));
    } catch (error) {
      if (error instanceof Trouble && error.status === 404) return this.file.size;
      throw error;
    }
  }

  /** Send what is missing. */
  async run() {
    const stopped = () => this.dropped, { file } = this;
    let at = this.started ? await persist(() => this.offset(), this.note, stopped) : 0;
    let piece = FIRST_PIECE;
    while (at < file.size && !this.dropped) {
      at = await persist(async () => {
        const from = this.broken ? await this.offset() : at;
        if (from >= file.size) return from;
        const began = performance.now();
        const answer = await ask(`/ui/uploads/${this.id}`, {
          method: "PATCH",
          headers: { ...TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(from) },
          body: file.slice(from, from + piece),
        });
        const took = performance.now() - began;
        if (took < GOOD_MS / 2) piece = Math.min(piece * 2, this.all.pieceMax);
        else if (took > GOOD_MS * 2) piece = Math.max(piece / 2, FIRST_PIECE);
        return Number(answer.headers.get("upload-offset"));
      }, this.note, stopped);
      this.share = at / file.size;
      this.all.changed(this);
    }
    remember(this.id, null);
  }
}

/** The uploads of this page; two at once, begun in their order. */
export class Uploads {
  /**
   * @param {{upload_bytes: number, piece_bytes: number}} limits
   * @param {() => Record<string, string>} options Of the transcription
   * @param {(upload: Upload) => void} changed
   * @param {(upload: Upload, error: unknown) => void} failed
   */
  constructor(limits, options, changed, failed) {
    this.bytesMax = limits.upload_bytes;
    this.pieceMax = limits.piece_bytes;
    this.options = options;
    this.changed = changed;
    this.failed = failed;
    /** @type {Map<string, Upload>} */
    this.own = new Map();
    /** @type {Upload[]} */
    this.waiting = [];
    this.running = 0;
    addEventListener("beforeunload", (event) => {
      if (this.running) event.preventDefault();
    });
  }

  /** Send files. @param {File[]} files */
  async add(files) {
    let started = [];
    try {
      started = (await get("/ui/recordings?state=uploading&limit=500")).recordings;
    } catch { /* then each begins anew, or waits for the line */ }
    for (const file of files) {
      const one = new Upload(file, this);
      if (file.size > this.bytesMax) {
        this.failed(one, new Trouble("upload_too_large", "", 413, 0));
        continue;
      }
      try {
        await one.begin(started);
        this.waiting.push(one);
      } catch (error) {
        this.failed(one, error);
      }
      this.pump();
    }
  }

  pump() {
    while (this.running < AT_ONCE && this.waiting.length) {
      const one = /** @type {Upload} */ (this.waiting.shift());
      this.running++;
      one.run().catch((error) => { if (!one.dropped) this.failed(one, error); }).finally(() => {
        this.own.delete(one.id);
        this.running--;
        this.changed(one);
        this.pump();
      });
    }
  }

  /** Give an upload up. @param {string} id */
  async drop(id) {
    const one = this.own.get(id);
    if (one) {
      one.dropped = true;
      this.waiting = this.waiting.filter((each) => each !== one);
      this.own.delete(id);
    }
    remember(id, null);
    await ask(`/ui/uploads/${id}`, { method: "DELETE", headers: TUS });
  }
}

/**
 * The files that were dropped, those inside folders included.
 * @param {DataTransfer} transfer @returns {Promise<File[]>}
 */
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry?.isDirectory)) return [...transfer.files];
  const found = /** @type {File[]} */ ([]);
  const walk = async (/** @type {any} */ entry) => {
    if (entry.isFile) {
      if (!entry.name.startsWith(".")) {
        found.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
      }
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) return;
      for (const each of some) await walk(each);
    }
  };
  for (const entry of entries) await walk(entry);
  return found;
}
