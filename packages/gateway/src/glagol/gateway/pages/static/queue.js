// @ts-check
// The queue: what is transcribed, waits, arrives or has failed. Words change in place; rows move only
// while no pointer or focus is among them, so that no click lands on the wrong button.

import { $, complain, data, dialog, el, get, send, t, toast } from "./page.js";
import { listen } from "./events.js";
import { length, says, share } from "./rows.js";

/** Recordings by id, as the server last described them. @type {Map<string, any>} */
const known = new Map(data.recordings.map((/** @type {any} */ r) => [r.id, r]));
const LISTS = ["running", "queued", "uploading", "failed"];
let waiting = false;

/** @param {string} act @param {string} word @param {any} r */
const button = (act, word, r) => el("button", {
  type: "button", className: "btn", data: { act }, ariaLabel: `${t(word)}: ${r.title || t("untitled")}`,
}, t(word));

/** @param {any} r */
function row(r) {
  const failed = r.state === "failed", done = share(r, undefined), text = says(r, undefined);
  const bar = el("progress", { max: 1, ariaLabel: text });
  if (done !== null) bar.value = done;
  const attempt = r.progress?.attempt > 1 ? t("queue_attempt", { n: r.progress.attempt }) : "";
  const facts = [length(r), r.owner, attempt].filter(Boolean).join(" · ");
  const acts = failed ? [...(r.audio_sha256 ? [button("again", "again", r)] : []), button("remove", "remove", r)]
    : [button("cancel", "cancel", r)];
  return el("li", { className: "row open job", data: { id: r.id } },
    el("div", {}, el("a", { className: "name", href: `/r/${r.id}` }, r.title || t("untitled")),
      el("p", { className: "snippet" }, facts)),
    el("div", {}, ...(r.state === "running" || r.state === "uploading" ? [bar] : []),
      el("div", { className: failed ? "state bad" : "state" }, text)),
    el("div", { className: "act" }, ...acts));
}

/** Whether a person is about to press something. */
const busy = () => LISTS.some((name) => $(name).matches(":hover") || $(name).contains(document.activeElement));

/** Show everything as it is now. */
function show() {
  waiting = false;
  let open = 0;
  for (const name of LISTS) {
    const some = [...known.values()].filter((r) => r.state === name);
    some.sort((a, b) => (a.progress?.ahead ?? 0) - (b.progress?.ahead ?? 0) || a.number - b.number);
    if (name === "failed") some.reverse();
    else open += some.length;
    $(name).replaceChildren(...some.map(row));
    $(`${name}-count`).textContent = String(some.length);
    $(`${name}-part`).hidden = !some.length;
  }
  $("summary").textContent = t("queue_summary", { n: open });
  $("summary").hidden = !open;
  $("none").hidden = LISTS.some((name) => $(name).children.length > 0);
  $("open").hidden = !open;
  $("open").firstElementChild.textContent = String(open);
  $("open").lastElementChild.textContent = t("in_work_badge", { n: open });
}

/** Change the words of a row that stays where it is. @param {any} r */
function refresh(r) {
  const old = document.querySelector(`.row[data-id="${r.id}"]`), fresh = row(r);
  if (!old || old.parentElement?.id !== r.state) return false;
  for (const part of [".state", ".snippet"]) {
    const was = old.querySelector(part), now = fresh.querySelector(part);
    if (was && was.textContent !== now.textContent) was.textContent = now.textContent;
  }
  const was = old.querySelector("progress"), now = fresh.querySelector("progress");
  if (was && now?.hasAttribute("value")) was.value = now.value;
  return true;
}

/** @param {any} r */
function changed(r) {
  known.set(r.id, r);
  if (refresh(r)) return;
  waiting = true;
  settle();
}
const settle = () => { if (waiting && !busy()) show(); };

async function reload() {
  try {
    const [open, failed] = await Promise.all([
      get("/ui/recordings?state=open&limit=500"), get("/ui/recordings?state=failed&limit=500"),
    ]);
    known.clear();
    for (const r of [...open.recordings, ...failed.recordings]) known.set(r.id, r);
    waiting = true;
    settle();
  } catch (error) { complain(error); }
}

for (const name of LISTS) {
  $(name).addEventListener("pointerleave", settle);
  $(name).addEventListener("focusout", () => setTimeout(settle));
  $(name).addEventListener("click", async (/** @type {Event} */ event) => {
    const pressed = /** @type {HTMLElement | null} */ (/** @type {HTMLElement} */ (event.target).closest("[data-act]"));
    if (!pressed) return;
    const r = known.get(/** @type {HTMLElement} */ (pressed.closest(".row")).dataset.id ?? "");
    if (!r) return;
    try {
      if (pressed.dataset.act === "again") known.set(r.id, await send("POST", `/ui/recordings/${r.id}/again`, {}));
      else if (pressed.dataset.act === "cancel" && r.state !== "uploading") {
        known.set(r.id, await send("POST", `/ui/recordings/${r.id}/cancel`));
      } else {
        const answer = await dialog(r.title || t("untitled"), [document.createTextNode(t("delete_ask"))], [
          { value: "", text: t("keep") }, { value: "yes", text: t("delete_yes"), style: "danger" },
        ]);
        if (answer !== "yes") return;
        const receipt = await send("DELETE", `/ui/recordings/${r.id}`);
        known.delete(r.id);
        toast(t("deleted", { n: receipt.number }));
      }
      show();
    } catch (error) { complain(error); }
  });
}

listen((message) => {
  if (message.type === "recording") changed(message.recording);
  else if (message.type === "removed" && known.delete(message.id)) {
    waiting = true;
    settle();
  }
}, reload);
show();
document.body.dataset.ready = "1";
