// @ts-check
// Edits on their way to the server: one after another, again after a broken line, with a draft in
// this browser until the server has them. "Saved" is said only after the server has said so.

import { $, clock, complain, get, send, t, toast, Trouble } from "./page.js";
import { persist } from "./uploads.js";

const QUIET_MS = 800;

/** @typedef {import("./transcript.js").Segment} Segment */

/** Spaces as the server keeps them. @param {string} text */
export const tidy = (text) => text.replace(/[ \t\r\n\f\v]+/g, " ").trim();

/** Texts that the server does not have yet, in this browser. */
class Drafts {
  /** @param {string} id */
  constructor(id) {
    this.prefix = `glagol-draft-${id}-`;
  }

  /** @param {number} segment @param {string} text @param {string} base */
  put(segment, text, base) {
    try { localStorage.setItem(this.prefix + segment, JSON.stringify({ text, base })); } catch { /* no room */ }
  }

  /** @param {number} segment */
  drop(segment) {
    try { localStorage.removeItem(this.prefix + segment); } catch { /* private mode */ }
  }

  /** @returns {[number, {text: string, base: string}][]} */
  all() {
    try {
      return Object.keys(localStorage).filter((key) => key.startsWith(this.prefix))
        .map((key) => [Number(key.slice(this.prefix.length)), JSON.parse(localStorage[key])]);
    } catch {
      return [];
    }
  }
}

export class Saver {
  /**
   * @param {string} id Of the recording @param {import("./transcript.js").Transcript} text
   * @param {(segment: Segment, mine: string, by: string) => void} onConflict
   */
  constructor(id, text, onConflict) {
    this.path = `/ui/recordings/${id}`;
    this.text = text;
    this.onConflict = onConflict;
    this.drafts = new Drafts(id);
    /** Texts by segment that wait to be sent. @type {Map<number, string>} */
    this.waiting = new Map();
    /** Segments whose other text a person has to choose. @type {Set<number>} */
    this.disputed = new Set();
    /** @type {Promise<any>} */
    this.chain = Promise.resolve();
    this.busy = 0;
    this.broken = false;
    this.timer = 0;
    /** Numbers of edits that can be taken back, and put back. @type {number[]} */
    this.done = [];
    /** @type {number[]} */
    this.undone = [];
    /** Called after each edit. @type {(() => void)[]} */
    this.onEdit = [];
    addEventListener("pagehide", () => this.leave());
    addEventListener("beforeunload", (event) => {
      if (this.broken && (this.waiting.size || this.busy)) event.preventDefault();
    });
  }

  say() {
    const working = this.busy > 0 || this.waiting.size > 0;
    $("saved").textContent = this.out ? t("signed_out") : this.broken ? t("not_saved") : working ? t("saving")
      : this.savedAt ? t("saved", { t: clock(this.savedAt) }) : "";
    $("saved").classList.toggle("bad", this.broken);
    $("undo").disabled = !this.done.length;
    $("redo").disabled = !this.undone.length;
  }

  /** @type {Date | null} */
  savedAt = null;

  /** Whether the person has to sign in before more can be saved. */
  out = false;

  /**
   * One request after another.
   * @param {() => Promise<any>} request @returns {Promise<any>}
   */
  queue(request) {
    this.busy++;
    this.say();
    const note = (/** @type {boolean} */ broken) => {
      this.broken = broken;
      this.say();
    };
    const run = this.chain.then(() => persist(request, note, () => false)).then((changes) => {
      this.text.apply(changes);
      this.savedAt = new Date();
      for (const each of this.onEdit) each();
      return changes;
    }).finally(() => {
      this.busy--;
      this.say();
    });
    this.chain = run.catch(() => {});
    return run;
  }

  /** Apply an operation; what changed, or null where it was refused. @param {any} operation */
  async edit(operation) {
    await this.flush();
    try {
      return await this.send(operation);
    } catch (error) {
      await this.refused(error);
      return null;
    }
  }

  /** @param {any} operation */
  async send(operation) {
    const changes = await this.queue(() =>
      send("POST", `${this.path}/edits`, { seen: this.text.edit, operation }));
    if (changes.number) this.done.push(changes.number);
    this.undone = [];
    this.say();
    return changes;
  }

  /** @param {unknown} error */
  async refused(error) {
    if (error instanceof Trouble && error.code === "edit_conflict") await this.catchUp();
    complain(error);
  }

  /** A person typed. @param {Segment} segment @param {string} text */
  typed(segment, text) {
    this.waiting.set(segment.id, text);
    this.drafts.put(segment.id, text, segment.text);
    this.say();
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.flush(), QUIET_MS);
  }

  /** Send what was typed. */
  async flush() {
    clearTimeout(this.timer);
    for (const [id, text] of [...this.waiting]) {
      const segment = this.text.byId.get(id);
      this.waiting.delete(id);
      if (!segment || this.disputed.has(id)) continue;
      if (tidy(text) === segment.text) {
        this.drafts.drop(id);
        continue;
      }
      try {
        await this.send({ op: "set", segment: id, text: tidy(text) });
        if (!this.waiting.has(id)) this.drafts.drop(id);
      } catch (error) {
        if (error instanceof Trouble && error.code === "edit_conflict") {
          await this.catchUp();
          this.dispute(id, text, "");
        } else {
          complain(error);
          if (error instanceof Trouble && error.status === 401) this.signedOut(id, text);
        }
      }
    }
    this.say();
  }

  /**
   * The session is over: nothing is lost, and it is sent when the person has signed in again.
   * @param {number} id @param {string} text
   */
  signedOut(id, text) {
    if (!this.waiting.has(id)) this.waiting.set(id, text);
    this.broken = this.out = true;
    this.say();
    const again = async () => {
      if (document.hidden) return;
      removeEventListener("focus", again);
      document.removeEventListener("visibilitychange", again);
      this.broken = this.out = false;
      await this.flush();
    };
    addEventListener("focus", again);
    document.addEventListener("visibilitychange", again);
  }

  /** Show both texts of a segment. @param {number} id @param {string} mine @param {string} by */
  dispute(id, mine, by) {
    const segment = this.text.byId.get(id);
    if (!segment) return;
    this.waiting.delete(id);
    if (tidy(mine) === segment.text) {
      this.drafts.drop(id);
      return;
    }
    this.disputed.add(id);
    this.onConflict(segment, tidy(mine), by);
  }

  /** Keep one of the two texts. @param {Segment} segment @param {string | null} mine */
  async settle(segment, mine) {
    this.disputed.delete(segment.id);
    if (mine !== null) await this.edit({ op: "set", segment: segment.id, text: mine });
    this.drafts.drop(segment.id);
  }

  /** Read what others did. */
  async catchUp() {
    try {
      const changes = await get(`${this.path}/changes?after=${this.text.edit}`);
      const theirs = changes.segments.map((/** @type {any[]} */ row) => row[0]);
      const mine = new Map(this.waiting), { editing } = this.text;
      this.text.apply(changes);
      for (const id of theirs) {
        const text = mine.get(id);
        if (text !== undefined) this.dispute(id, text, changes.by);
        else if (editing?.id === id && editing.p.textContent !== editing.text) editing.p.textContent = editing.text;
      }
    } catch (error) {
      complain(error);
    }
  }

  /** Another page made an edit. @param {number} number */
  async received(number) {
    await this.chain;
    if (number > this.text.edit) await this.catchUp();
  }

  /** Take the last edit of this page back. */
  async undo() {
    await this.flush();
    await this.back(this.done, this.undone);
  }

  /** Put back what was taken back. */
  async redo() {
    await this.back(this.undone, this.done);
  }

  /** @param {number[]} from @param {number[]} to */
  async back(from, to) {
    const edit = from.pop();
    if (edit === undefined) return;
    try {
      const changes = await this.queue(() =>
        send("POST", `${this.path}/undo`, { edit, seen: this.text.edit }));
      if (changes.number) to.push(changes.number);
    } catch (error) {
      await this.refused(error);
    }
    this.say();
  }

  /** Send drafts of the last time; one whose segment changed since is shown beside it. */
  recover() {
    const found = this.drafts.all();
    if (!found.length) return;
    let sent = false;
    for (const [id, { text, base }] of found) {
      const segment = this.text.byId.get(id);
      if (!segment || tidy(text) === segment.text) this.drafts.drop(id);
      else if (segment.text !== base) this.dispute(id, text, "");
      else {
        this.waiting.set(id, text);
        segment.p.textContent = text;
        sent = true;
      }
    }
    if (sent) {
      toast(t("drafts"));
      this.flush();
    }
  }

  /** The page goes away: send what waits without waiting for answers; the drafts stay. */
  leave() {
    for (const [segment, text] of this.waiting) {
      if (this.disputed.has(segment)) continue;
      const operation = { op: "set", segment, text: tidy(text) };
      send("POST", `${this.path}/edits`, { seen: this.text.edit, operation }, { keepalive: true }).catch(() => {});
    }
  }
}
