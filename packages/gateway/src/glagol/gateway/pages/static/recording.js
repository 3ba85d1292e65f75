// @ts-check
// The page of a recording: its parts are put together here.

import { $, ask, clock, closeMenus, complain, copy, data, dialog, el, get, hms, send, t, toast } from "./page.js";
import { listen } from "./events.js";
import { chip, inWork, says, share, trouble } from "./rows.js";
import { Transcript } from "./transcript.js";
import { Player } from "./player.js";
import { Lanes, Lens } from "./waves.js";
import { Find } from "./find.js";
import { help, obey } from "./keys.js";
import { Saver } from "./saving.js";
import { Editor } from "./editor.js";
import { Side } from "./side.js";

let { recording } = data, deleting = false;
const { id } = recording, path = `/ui/recordings/${id}`;
const text = new Transcript($("segments"));
const player = new Player(text, id);
const saver = new Saver(id, text, (s, mine, by) => editor.conflict(s, mine, by));
const editor = new Editor(text, saver, player);
const side = new Side(id, text, saver);
const find = new Find(text, player);
const lens = new Lens(id, text, player);
new Lanes(text, player);

/** @typedef {import("./transcript.js").Segment} Segment */

/** The segment that a key means: the one with the focus, or the one that is spoken. */
const chosen = () => text.editing ?? text.of(document.activeElement) ?? player.segment ?? text.segments[0] ?? null;

// -- the recording and its state

/** @param {any} r */
function show(r) {
  const was = recording;
  recording = r;
  const [style, word] = chip(r);
  $("chip").className = `chip ${style}`;
  $("chip").textContent = word;
  if ($("rename")) $("rename").textContent = r.title || t("untitled");
  document.title = `${r.title || t("untitled")} · ${t("brand")}`;
  status(r);
  sound(r);
  if (r.text_sha256 && !was.text_sha256) load().catch(complain);
  if (r.texts > Math.max(1, was.texts)) side.refresh();
}

/** Another text is ready: it can be read, and taken. @param {any} r */
function another(r) {
  const see = el("a", { className: "btn", href: `/r/${id}/plain?original=${r.texts}` }, t("text_see"));
  const take = el("button", { type: "button", className: "btn main" }, t("text_take"));
  take.addEventListener("click", () => { side.adopt(r.texts); });
  return el("div", { className: "note", role: "status" },
    el("p", {}, t("again_ready", { model: r.latest })), el("div", { className: "acts" }, see, take));
}

/** @param {any} r */
function status(r) {
  const said = says(r, undefined), box = $("status");
  if (inWork(r)) {
    let line = box.querySelector(".state"), bar = box.querySelector("progress");
    if (!line) {
      line = el("div", { className: "state" });
      bar = el("progress", { max: 1 });
      box.replaceChildren(el("div", { className: "card" }, line, bar));
    }
    if (line.textContent !== said) line.textContent = said;
    const done = share(r, undefined);
    bar.ariaLabel = said;
    if (done !== null) bar.value = done;
  } else if (r.state === "failed") {
    box.replaceChildren(el("div", { className: "note wrong", role: "alert" }, said));
  } else {
    const lines = [];
    if (r.warnings.some((/** @type {string} */ w) => /truncated|damaged/.test(w))) lines.push(t("truncated"));
    if (r.warnings.includes("audio_gap")) lines.push(t("gaps"));
    const notes = lines.map((line) => el("div", { className: "note", role: "note" }, line));
    if (r.trouble && r.trouble !== "cancelled") {
      notes.push(el("div", { className: "note wrong", role: "alert" }, t("again_failed", { why: trouble(r.trouble) })));
    } else if (r.texts > 1 && r.shown < r.texts) notes.push(another(r));
    box.replaceChildren(...notes);
  }
}

/** @param {any} r */
function sound(r) {
  // the copy that is made later has other bytes: a page that began with the original stays with it
  if (r.sound !== "none") player.open(`${path}/sound${r.sound === "copy" ? "" : "?original=1"}`);
  else $("now").textContent = t(r.state === "done" && r.audio_sha256 ? "sound_later" : "no_sound");
  if (r.peaks) lens.open();
}

async function load() {
  if (!recording.text_sha256) return;
  text.load(await get(`${path}/text`));
  $("hint").hidden = !text.segments.length || recording.edits > 0;
  player.segment = null;
  player.show(true);
  saver.recover();
  if (!text.segments.length) {
    $("segments").replaceChildren(el("p", { className: "quiet" }, t("no_speech", { d: hms(text.durationMs / 1000) })));
  }
}

function foot() {
  const count = text.segments.filter((s) => s.reviewed).length, of = text.segments.length;
  $("foot").textContent = !of ? "" : !count ? t("text_by_machine")
    : count === of ? t("text_reviewed") : t("text_partly", { n: count, of });
  const doubtful = text.segments.reduce((sum, s) => sum + text.doubtful(s).length, 0);
  $("check").textContent = doubtful ? t("check_n", { n: doubtful }) : t("check");
  $("check").hidden = !doubtful && $("check").ariaPressed !== "true";
}
text.onChange.push(foot);
text.onChange.push(async () => { // an edit may have taken another text of the machine
  if (recording.texts < 2) return;
  try { show(await get(path)); } catch (error) { complain(error); }
});

// -- clicks in the text

let playing = false;
text.host.addEventListener("mousedown", (event) => {
  if (event.detail < 2) playing = !player.audio.paused;
});
text.host.addEventListener("click", (event) => {
  const target = /** @type {HTMLElement} */ (event.target), s = text.of(target);
  if (!s || target.closest(".conflict, .sheet")) return;
  const name = /** @type {HTMLElement | null} */ (target.closest(".name"));
  if (name) {
    editor.menu(s, name);
    return;
  }
  if (target.closest(".at")) {
    player.seek(s.start / 1000);
    player.play();
    return;
  }
  if (s === text.editing || !target.closest("p") || event.detail > 1) return;
  if (getSelection()?.isCollapsed === false) return;
  const under = text.wordUnder(event.clientX, event.clientY);
  if (!under) return;
  player.seek(text.starts(under.segment)[under.word] / 1000);
  player.play();
});
text.host.addEventListener("dblclick", (event) => {
  const s = text.of(/** @type {HTMLElement} */ (event.target));
  if (!s || s === text.editing || !/** @type {HTMLElement} */ (event.target).closest("p")) return;
  if (!playing) player.audio.pause();
  const range = document.caretPositionFromPoint?.(event.clientX, event.clientY);
  editor.enter(s, range?.offset);
});

// -- doubtful words

/** @param {number} step */
function doubt(step) {
  const here = chosen(), all = text.segments;
  if ($("check").ariaPressed !== "true") proofread(true);
  let i = here ? all.indexOf(here) : 0;
  const word = here && here === player.segment ? player.word : step > 0 ? -1 : 1e9;
  for (let n = 0; n <= all.length; n++, i = (i + step + all.length) % all.length) {
    let words = text.doubtful(all[i]);
    if (!n) words = words.filter((w) => (step > 0 ? w > word : w < word));
    if (!words.length) continue;
    const w = step > 0 ? words[0] : words[words.length - 1];
    player.setFollow(true);
    player.seek(text.starts(all[i])[w] / 1000);
    player.reveal(all[i]);
    if (text.editing) editor.enter(all[i], text.offsets(all[i])[2 * w]);
    return;
  }
}

/** @param {boolean} on */
function proofread(on) {
  $("check").ariaPressed = String(on);
  text.proofread(on);
}
$("check").addEventListener("click", () => proofread($("check").ariaPressed !== "true"));

// -- replacing everywhere

async function replace() {
  const old = el("input", { className: "in", value: getSelection()?.toString().trim().slice(0, 200) ?? "" });
  const fresh = el("input", { className: "in" });
  const fold = el("input", { type: "checkbox", checked: true });
  const count = el("output", { className: "quiet" }), list = el("ul", { className: "plain found", hidden: true });
  let found = /** @type {any[]} */ ([]), asked = 0;
  const look = async () => {
    const mine = ++asked;
    await new Promise((resolve) => { setTimeout(resolve, 200); });
    if (mine !== asked) return;
    found = [];
    if (old.value.trim()) {
      const query = new URLSearchParams({ old: old.value.trim(), new: fresh.value.trim(), fold: fold.checked ? "1" : "0" });
      try { ({ found } = await get(`${path}/replace?${query}`)); } catch (error) { complain(error); }
    }
    if (mine !== asked) return;
    count.textContent = t("replace_found", { n: found.reduce((sum, each) => sum + each.times, 0) });
    list.hidden = !found.length;
    list.replaceChildren(...found.slice(0, 50).map((each) =>
      el("li", {}, el("del", {}, each.before), el("br"), el("ins", {}, each.after))));
  };
  for (const field of [old, fresh, fold]) field.addEventListener("input", look);
  const answer = dialog(t("replace"), [
    el("label", { className: "field" }, el("span", {}, t("replace_old")), old),
    el("label", { className: "field" }, el("span", {}, t("replace_new")), fresh),
    el("label", { className: "check" }, fold, t("replace_fold")), count, list,
  ], [{ value: "", text: t("cancel") }, { value: "yes", text: t("replace_do"), style: "main" }], "wide");
  look();
  if (await answer !== "yes" || !found.length) return;
  await saver.edit({
    op: "replace", old: old.value.trim(), new: fresh.value.trim(),
    texts: found.map((each) => [each.segment, each.after]),
  });
}

// -- title, menus

$("title").addEventListener("click", (/** @type {Event} */ event) => {
  if (/** @type {HTMLElement} */ (event.target).id !== "rename") return;
  const input = el("input", { className: "in", value: recording.title, maxLength: 300, ariaLabel: t("title_label") });
  const button = $("rename");
  let over = false;
  const end = async (/** @type {boolean} */ keep) => {
    if (over) return;
    over = true;
    const next = input.value.trim();
    input.replaceWith(button);
    button.focus();
    if (!keep || !next || next === recording.title) return;
    try { show(await send("PATCH", path, { title: next })); } catch (error) { complain(error); }
  };
  input.addEventListener("keydown", (/** @type {KeyboardEvent} */ key) => {
    if (key.key === "Enter") end(true);
    else if (key.key === "Escape") end(false);
  });
  input.addEventListener("blur", () => end(true));
  button.replaceWith(input);
  input.select();
});

/** The address of an export, by the boxes of its menu. @param {string} format */
function exported(format) {
  const query = new URLSearchParams({ format });
  for (const name of ["times", "speakers", "reviewed"]) {
    query.set(name, $("export").elements.namedItem(name).checked ? "1" : "0");
  }
  return `${path}/export?${query}`;
}
$("export").addEventListener("submit", async (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  await saver.flush();
  const format = /** @type {HTMLButtonElement} */ (event.submitter).value;
  const link = el("a", { href: exported(format), download: "" });
  document.body.append(link);
  link.click();
  link.remove();
  closeMenus();
});
$("copy-text").addEventListener("click", async () => {
  closeMenus();
  try { await copy(await (await ask(exported("text"))).text()); } catch (error) { complain(error); }
});
$("copy-curl").addEventListener("click", () => {
  closeMenus();
  copy(`curl -OJ '${location.origin}${exported("json")}'`);
});
$("print").addEventListener("click", () => { closeMenus(); print(); });
$("replace").addEventListener("click", () => { closeMenus(); replace(); });
$("keys").addEventListener("click", () => { closeMenus(); help(); });
$("again")?.addEventListener("click", async () => {
  closeMenus();
  try {
    const { choose } = await import("./again.js");
    const options = await choose();
    if (options) show(await send("POST", `${path}/again`, options));
  } catch (error) { complain(error); }
});
$("hold").addEventListener("click", async () => {
  closeMenus();
  try {
    show(await send("PATCH", path, { held: !recording.held }));
    $("hold").textContent = t(recording.held ? "unprotect" : "protect");
    toast(t("settings_saved"));
  } catch (error) { complain(error); }
});
$("delete").addEventListener("click", async () => {
  closeMenus();
  const answer = await dialog(recording.title || t("untitled"), [el("p", {}, t("delete_ask"))], [
    { value: "", text: t("keep") }, { value: "yes", text: t("delete_yes"), style: "danger" },
  ]);
  if (answer !== "yes") return;
  deleting = true;
  try {
    const receipt = await send("DELETE", path);
    saver.waiting.clear();
    toast(t("deleted", { n: receipt.number }));
    setTimeout(() => location.assign("/"), 1200);
  } catch (error) {
    deleting = false;
    complain(error);
  }
});
$("undo").addEventListener("click", () => saver.undo());
$("redo").addEventListener("click", () => saver.redo());

// -- the keyboard

/** @param {number} step */
function step(step) {
  const s = chosen(), next = s && text.segments[text.segments.indexOf(s) + step];
  if (!next) return;
  player.rove(next);
  next.p.focus({ preventScroll: true });
  player.reveal(next);
}
obey({
  play: () => player.resume(),
  back: () => player.move(-3),
  forward: () => player.move(3),
  segment: () => { const s = chosen(); if (s) { player.seek(s.start / 1000); player.play(); } },
  slower: () => player.faster(-1),
  faster: () => player.faster(1),
  normal: () => player.speed(1),
  doubt: () => doubt(1),
  doubtBack: () => doubt(-1),
  right: () => { const s = chosen(); if (s) editor.right(s); },
  replace: () => { replace(); },
  search: () => $("q").focus(),
  up: () => step(-1),
  down: () => step(1),
  edit: () => { const s = chosen(); if (s) editor.enter(s, 0); },
  speaker: (event) => {
    const s = chosen(), speaker = text.speakers[Number(event.code.slice(5)) - 1];
    if (s && speaker && speaker.key !== s.key) saver.edit({ op: "assign", segments: [s.id], speaker: speaker.key });
  },
  undo: () => { saver.undo(); },
  redo: () => { saver.redo(); },
  help: () => { help(); },
  leave: () => { const s = text.editing; editor.leave(); s?.p.focus({ preventScroll: true }); },
  split: () => { editor.split(); },
  join: () => editor.join(),
  above: (event) => editor.go(event.code === "ArrowUp" ? -1 : 1),
}, () => text.editing !== null);

// -- news of the server

listen((message) => {
  if (message.type === "recording" && message.id === id) show(message.recording);
  else if (message.type === "removed" && message.id === id) {
    if (!deleting) toast(t("trouble_recording_unknown"));
  } else if (message.type === "edit" && message.id === id) saver.received(message.edit);
}, async () => {
  try {
    show(await get(path));
    if (text.segments.length) await saver.catchUp();
  } catch (error) { complain(error); }
});

// -- the address says where to begin: #t=42.5, ?q=word

function place() {
  const at = Number(new URLSearchParams(location.hash.slice(1)).get("t"));
  if (at > 0) {
    player.seek(at);
    player.setFollow(true);
    const s = text.at(at * 1000 + 1);
    if (s) s.box.scrollIntoView({ block: "center" });
  }
}
addEventListener("hashchange", place);
status(recording);
sound(recording);
try {
  await load();
} catch (error) { complain(error); }
const query = new URLSearchParams(location.search).get("q");
if (query) {
  $("find").value = query;
  find.search(query);
}
place();
document.body.dataset.ready = "1";
export { clock, editor, player, saver, side, text };
