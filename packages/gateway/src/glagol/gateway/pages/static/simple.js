// @ts-check
// Pages that are plain forms and links: settings, search, signing in.

import { $, complain, el, send, t, toast } from "./page.js";
import { table } from "./keys.js";

addEventListener("keydown", (event) => {
  const at = /** @type {HTMLElement} */ (event.target);
  if (event.key !== "/" || !$("q") || at.closest("input, select, textarea")) return;
  event.preventDefault();
  $("q").focus();
});

$("question")?.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("ask").requestSubmit();
});
$("ask")?.addEventListener("submit", () => {
  $("ask-wait").textContent = t("ask_wait");
  document.querySelector(".answer")?.setAttribute("aria-busy", "true");
});

if ($("keys-here")) $("keys-here").append(table());

/** @param {HTMLFormElement} form */
function days(form, name) {
  const value = form.elements.namedItem(name).value;
  return value === "" ? null : Number(value);
}

for (const form of document.querySelectorAll("form[data-folder]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const change = { audio_days: days(form, "audio_days"), text_days: days(form, "text_days") };
    const name = form.elements.namedItem("name");
    if (!name.disabled) change.name = name.value;
    try {
      await send("PATCH", `/ui/folders/${form.dataset.folder}`, change);
      toast(t("settings_saved"));
    } catch (error) {
      complain(error);
    }
  });
}
for (const button of document.querySelectorAll("[data-delete]")) {
  button.addEventListener("click", async () => {
    try {
      await send("DELETE", `/ui/folders/${button.dataset.delete}`);
      location.reload();
    } catch (error) {
      complain(error);
    }
  });
}
$("folder-add")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await send("POST", "/ui/folders", { name: event.target.elements.namedItem("name").value });
    location.reload();
  } catch (error) {
    complain(error);
  }
});
