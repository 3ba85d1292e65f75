// @ts-check
// A recording as a row of a list, and its state in words.

import { el, hms, knows, size, span, t, when } from "./page.js";

/** @typedef {Record<string, any>} Recording As GET /ui/recordings/ID gives it. */

const WORK = new Set(["uploading", "queued", "running"]);

/** Whether it is not finished. @param {Recording} r */
export const inWork = (r) => WORK.has(r.state);

/** What went wrong. @param {string} code @param {number} [limit] */
export function trouble(code, limit = 0) {
  const key = `trouble_${code}`;
  return knows(key) ? t(key, { n: size(limit), code }) : t("trouble_other", { code });
}

/**
 * The state as a sentence.
 * @param {Recording} r @param {{share: number, broken: boolean} | undefined} own This page's upload
 */
export function says(r, own) {
  const p = Math.floor(100 * (own ? own.share : r.bytes ? r.uploaded_bytes / r.bytes : 0));
  if (r.state === "uploading") {
    return t(own ? own.broken ? "state_broken" : "state_uploading" : "state_paused", { p });
  }
  if (r.state === "failed") return trouble(r.trouble);
  const at = r.progress;
  if (r.state === "queued") {
    if (!at?.ahead) return t("state_next");
    if (!at.eta_s) return t("state_waiting", { n: at.ahead });
    return t("state_waiting_eta", { n: at.ahead, t: span(at.eta_s) });
  }
  if (r.state === "running") {
    if (!at?.total_s) return t("state_running");
    const values = { a: hms(at.done_s), b: hms(at.total_s) };
    const text = at.eta_s ? t("state_running_eta", { ...values, t: span(at.eta_s) })
      : t("state_running_at", values);
    return at.attempt > 1 ? `${text} (${t("state_attempt", { n: at.attempt })})` : text;
  }
  return t("state_done");
}

/** How much is done, 0 to 1; null where it is unknown. @param {Recording} r @param {any} own */
export function share(r, own) {
  if (r.state === "uploading") return own ? own.share : r.bytes ? r.uploaded_bytes / r.bytes : null;
  return r.progress?.total_s ? r.progress.done_s / r.progress.total_s : null;
}

/** Class and word of its mark. @param {Recording} r */
export function chip(r) {
  if (r.state === "failed") return ["wrong", t("state_failed")];
  if (r.state === "uploading") return ["", t("state_sending")];
  if (r.state === "queued") return ["", t("state_next")];
  if (r.state === "running") return ["", t("state_running")];
  if (!r.snippet) return ["", t("state_silent")];
  return r.edits ? ["", t("state_edited")] : ["good", t("state_done")];
}

/** Channels and length; the size while no more is known. @param {Recording} r */
export function length(r) {
  const parts = [];
  if (r.channels) parts.push(t("channels", { n: r.channels }));
  if (r.duration_ms) parts.push(hms(r.duration_ms / 1000));
  else if (inWork(r) && r.bytes) return size(r.bytes);
  return parts.join(", ");
}

/** @param {string} act @param {string} text @param {string} title */
const button = (act, text, title) =>
  el("button", { type: "button", className: "btn", data: { act }, ariaLabel: `${text}: ${title}` }, text);

/**
 * A row of the list "in work".
 * @param {Recording} r @param {any} own
 */
export function workRow(r, own) {
  const title = r.title || t("untitled"), done = share(r, own), text = says(r, own);
  const bar = el("progress", { max: 1, ariaLabel: text });
  if (done !== null) bar.value = done;
  const act = el("div", { className: "act" });
  if (r.state === "uploading" && !own) act.append(button("pick", t("pick_again"), title));
  act.append(button("cancel", t("cancel"), title));
  return el("li", { className: "row open", data: { id: r.id } },
    el("div", {}, el("a", { className: "name", href: `/r/${r.id}` }, title), " ",
      el("span", { className: "length small quiet num" }, length(r))),
    el("div", {}, ...(done === null && r.state === "queued" ? [] : [bar]),
      el("div", { className: own?.broken ? "state bad" : "state" }, text)),
    act);
}

/** Bring a row of the list "in work" up to date. @param {HTMLElement} row @param {Recording} r @param {any} own */
export function refreshWork(row, r, own) {
  const fresh = workRow(r, own), bar = row.querySelector("progress");
  const now = fresh.querySelector("progress");
  if (!bar !== !now || row.querySelectorAll("button").length !== fresh.querySelectorAll("button").length
    || row.querySelector(".name")?.textContent !== (r.title || t("untitled"))) {
    row.replaceWith(fresh);
    return;
  }
  if (bar && now) {
    if (now.hasAttribute("value")) bar.value = now.value;
    bar.ariaLabel = now.ariaLabel;
  }
  for (const part of [".state", ".length"]) {
    const old = /** @type {HTMLElement} */ (row.querySelector(part)), next = fresh.querySelector(part);
    if (old.textContent !== next.textContent) old.textContent = next.textContent;
    old.className = next.className;
  }
}

/** A row of the list of recordings. @param {Recording} r */
export function row(r) {
  const title = r.title || t("untitled"), [style, word] = chip(r);
  const failed = r.state === "failed";
  const end = failed ? el("div", { className: "act" }, button("remove", t("remove"), title))
    : el("span", { className: `chip ${style}` }, word);
  return el("li", { className: "row", data: { id: r.id } },
    el("div", {}, el("a", { className: "name", href: `/r/${r.id}` }, title),
      el("p", { className: failed ? "snippet bad" : "snippet" }, failed ? says(r, undefined) : r.snippet)),
    el("span", { className: "when small quiet num" },
      el("time", { dateTime: new Date(r.created_s * 1000).toISOString() }, when(r.created_s))),
    el("span", { className: "length small quiet num" }, length(r)), end);
}
