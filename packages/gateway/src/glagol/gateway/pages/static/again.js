// @ts-check
// How a recording is to be transcribed once more: the model, and how speakers are distinguished.

import { dialog, el, get, t } from "./page.js";

/** Ask; the options, or null where the person has changed their mind. @returns {Promise<Record<string, string> | null>} */
export async function choose() {
  const { models } = await get("/ui/models");
  const here = models.filter((/** @type {any} */ m) => m.service === "asr" && /open|present/.test(m.state));
  const voices = here.some((/** @type {any} */ m) => m.role === "speakers");
  const option = (/** @type {string} */ value, /** @type {string} */ text, disabled = false) =>
    el("option", { value, disabled }, text);
  const usual = here.find((/** @type {any} */ m) => m.default);
  const model = el("select", { className: "in" },
    option("", usual ? t("again_default", { name: usual.id }) : "–"),
    ...here.filter((/** @type {any} */ m) => m.tasks.length && !m.default)
      .map((/** @type {any} */ m) => option(m.id, m.id)));
  const speakers = el("select", { className: "in" },
    option("mix", t("option_mix")), option("channels", t("option_split")),
    option("voices", t(voices ? "option_voices" : "option_voices_none"), !voices));
  const people = el("input", {
    className: "in", type: "number", min: 1, max: 20, inputMode: "numeric", placeholder: t("option_people_unknown"),
  });
  const count = el("label", { className: "field", hidden: true }, el("span", {}, t("option_people")), people);
  speakers.addEventListener("change", () => { count.hidden = speakers.value !== "voices"; });
  const answer = await dialog(t("transcribe_again"), [
    el("p", { className: "quiet" }, t("again_text")),
    el("label", { className: "field" }, el("span", {}, t("again_model")), model),
    el("label", { className: "field" }, el("span", {}, t("option_speakers")), speakers), count,
  ], [{ value: "", text: t("cancel") }, { value: "yes", text: t("again_do"), style: "main" }]);
  if (answer !== "yes") return null;
  const chosen = /** @type {Record<string, string>} */ ({ model: model.value, speakers: speakers.value });
  if (speakers.value === "voices") chosen.num_speakers = people.value;
  return chosen;
}
