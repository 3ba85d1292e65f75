// @ts-check
// The first page: files are taken, recordings in work move, finished ones go to the list.

import { $, complain, data, dialog, get, send, t, toast, Trouble } from "./page.js";
import { listen } from "./events.js";
import { inWork, refreshWork, row, says, trouble, workRow } from "./rows.js";
import { dropped, Uploads } from "./uploads.js";

const { limits } = data.state;
/** Recordings by id, as the server last described them. @type {Map<string, any>} */
const known = new Map();
let next = 0;

const options = () => {
  const found = /** @type {Record<string, string>} */ ({ speakers: $("speakers").value });
  if (found.speakers === "voices" && $("num_speakers").value) found.num_speakers = $("num_speakers").value;
  if ($("folder")) found.folder = $("folder").value;
  return found;
};

const uploads = new Uploads(limits, options, (one) => {
  const r = known.get(one.id);
  if (r) show(r);
}, (one, error) => {
  const code = error instanceof Trouble ? error.code : "other";
  toast(`${one.file.name}: ${trouble(code, limits.upload_bytes)}`);
});

/** @param {string} id @returns {HTMLElement | null} */
const rowOf = (id) => document.querySelector(`.row[data-id="${id}"]`);

/** Put a row where its number belongs. @param {HTMLElement} list @param {HTMLElement} item @param {any} r @param {boolean} newest */
function place(list, item, r, newest) {
  for (const each of list.children) {
    const other = known.get(/** @type {HTMLElement} */ (each).dataset.id ?? "");
    if (other && (newest ? other.number < r.number : other.number > r.number)) {
      each.before(item);
      return;
    }
  }
  list.append(item);
}

/** Show a recording as it is now. @param {any} r */
function show(r) {
  known.set(r.id, r);
  const there = rowOf(r.id), own = uploads.own.get(r.id), work = inWork(r);
  if (work && there?.classList.contains("open")) refreshWork(there, r, own);
  else {
    const focused = there?.contains(document.activeElement);
    there?.remove();
    if (work) place($("open-rows"), workRow(r, own), r, false);
    else place($("rows"), row(r), r, true);
    if (focused) rowOf(r.id)?.querySelector("a")?.focus();
  }
  count();
}

/** @param {string} id */
function forget(id) {
  known.delete(id);
  rowOf(id)?.remove();
  count();
}

function count() {
  const open = $("open-rows").children.length;
  $("work").hidden = !open;
  $("none").hidden = open > 0 || $("rows").children.length > 0;
  $("open").hidden = !open;
  $("open").firstElementChild.textContent = String(open);
  $("open").lastElementChild.textContent = t("in_work_badge", { n: open });
  document.title = `${open ? `(${open}) ` : ""}${t("recordings")} · ${t("brand")}`;
}

/** Read both lists again. */
async function reload() {
  try {
    const [work, all] = await Promise.all([
      get("/ui/recordings?state=open&limit=500"), get("/ui/recordings?limit=50"),
    ]);
    const there = new Set([...work.recordings, ...all.recordings].map((r) => r.id));
    const oldest = all.more ? all.next : 0;
    for (const item of document.querySelectorAll(".row")) {
      const id = /** @type {HTMLElement} */ (item).dataset.id ?? "", r = known.get(id);
      if (!there.has(id) && (!r || r.number >= oldest || inWork(r))) forget(id);
    }
    for (const r of [...all.recordings, ...work.recordings]) show(r);
    if (!next) next = oldest;
    $("more").hidden = !next;
  } catch (error) {
    complain(error);
  }
}

$("more").addEventListener("click", async () => {
  try {
    const some = await get(`/ui/recordings?limit=50&before=${next}`);
    for (const r of some.recordings) show(r);
    next = some.more ? some.next : 0;
    $("more").hidden = !next;
  } catch (error) {
    complain(error);
  }
});

/** @param {File[]} files */
function take(files) {
  if (!files.length) return;
  toast(t("added", { n: files.length }));
  uploads.add(files).catch(complain);
}

const people = () => { if ($("people")) $("people").hidden = $("speakers").value !== "voices"; };
$("speakers").addEventListener("change", people);
people();

// -- choosing and dropping
$("plain-send").hidden = true;
$("live-send").hidden = false;
$("choose").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  take([...$("file").files]);
  $("file").value = "";
});
if (matchMedia("(pointer: coarse)").matches) $("drop-title").textContent = t("drop_title_touch");
const title = $("drop-title").textContent;
let inside = 0;
/** @param {boolean} on */
const over = (on) => {
  $("drop").classList.toggle("over", on);
  $("drop-title").textContent = on ? t("drop_here") : title;
};
const carries = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files");
addEventListener("dragenter", (event) => { if (carries(event)) { inside++; over(true); } });
addEventListener("dragleave", (event) => { if (carries(event) && --inside <= 0) { inside = 0; over(false); } });
addEventListener("dragover", (event) => { if (carries(event)) event.preventDefault(); });
addEventListener("drop", async (event) => {
  if (!carries(event) || !event.dataTransfer) return;
  event.preventDefault();
  inside = 0;
  over(false);
  take(await dropped(event.dataTransfer));
});
addEventListener("paste", (event) => {
  if (event.clipboardData?.files.length) take([...event.clipboardData.files]);
});

// -- the buttons of rows
document.addEventListener("click", async (event) => {
  const button = /** @type {HTMLElement} */ (event.target).closest("[data-act]");
  const id = /** @type {HTMLElement} */ (button?.closest(".row"))?.dataset.id;
  if (!button || !id) return;
  const r = known.get(id);
  try {
    if (button.dataset.act === "pick") $("file").click();
    else if (button.dataset.act === "cancel" && r?.state === "uploading") {
      await uploads.drop(id);
      forget(id);
    } else if (button.dataset.act === "cancel") show(await send("POST", `/ui/recordings/${id}/cancel`));
    else {
      const answer = await dialog(r?.title || t("untitled"), [document.createTextNode(t("delete_ask"))], [
        { value: "", text: t("keep") }, { value: "yes", text: t("delete_yes"), style: "danger" },
      ]);
      if (answer !== "yes") return;
      const receipt = await send("DELETE", `/ui/recordings/${id}`);
      forget(id);
      toast(t("deleted", { n: receipt.number }));
    }
  } catch (error) {
    complain(error);
  }
});

// -- the microphone's code is loaded when it is wanted
$("record").addEventListener("click", async () => {
  const { record } = await import("./microphone.js");
  record($("mic"), options(), complain);
});
addEventListener("keydown", (event) => {
  const at = /** @type {HTMLElement} */ (event.target);
  if (event.key !== "/" || event.ctrlKey || event.altKey || at.closest("input, select, textarea")) return;
  event.preventDefault();
  $("q").focus();
});

listen((message) => {
  if (message.type === "recording") {
    const was = known.get(message.id);
    show(message.recording);
    if (was && inWork(was) && !inWork(message.recording)) {
      toast(`${message.recording.title || t("untitled")}: ${says(message.recording, undefined)}`);
    }
  } else if (message.type === "removed") forget(message.id);
  else if (message.type === "service" && message.ready) {
    document.querySelector(`.note[data-service="${message.id}"]`)?.remove();
  }
}, reload);
await reload();
