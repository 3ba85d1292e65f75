// @ts-check
// Beside the text: speakers, where the text comes from, the history of edits.

import { $, complain, el, get, knows, size, t, when } from "./page.js";

/** @typedef {import("./transcript.js").Transcript} Transcript */

/** Tabs by the pattern of WAI-ARIA. @param {(name: string) => void} onShow */
function tabs(onShow) {
  const all = /** @type {any[]} */ ([...document.querySelectorAll("[role=tab]")]);
  const show = (/** @type {any} */ tab, focus = false) => {
    for (const each of all) {
      each.ariaSelected = String(each === tab);
      each.tabIndex = each === tab ? 0 : -1;
      $(each.getAttribute("aria-controls")).hidden = each !== tab;
    }
    if (focus) tab.focus();
    onShow(tab.id.slice(4));
  };
  all.forEach((tab, i) => {
    tab.addEventListener("click", () => show(tab));
    tab.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      show(all[(i + step + all.length) % all.length], true);
    });
  });
}

/** A digest that can be read: its ends. @param {string} digest */
const short = (digest) => el("code", { title: digest }, digest ? `${digest.slice(0, 8)}…${digest.slice(-4)}` : "–");

export class Side {
  /** @param {string} id @param {Transcript} text @param {import("./saving.js").Saver} saver */
  constructor(id, text, saver) {
    this.path = `/ui/recordings/${id}`;
    this.id = id;
    this.text = text;
    this.saver = saver;
    this.shown = "speakers";
    tabs((name) => {
      this.shown = name;
      this.refresh();
    });
    text.onChange.push(() => this.speakers());
    saver.onEdit.push(() => { if (this.shown === "history") this.refresh(); });
  }

  refresh() {
    if (this.shown === "source") this.source().catch(complain);
    else if (this.shown === "history") this.history().catch(complain);
  }

  speakers() {
    const panel = $("panel-speakers");
    if (panel.contains(document.activeElement) && document.activeElement?.matches("input")) {
      this.stale = true;
      return;
    }
    this.stale = false;
    const whole = this.text.speakers.reduce((sum, each) => sum + each.ms, 0) || 1;
    panel.replaceChildren(...this.text.speakers.map((each) => {
      const shown = this.text.name(each.key), colour = this.text.colour(each.key);
      const name = el("input", {
        className: "in", value: each.name, placeholder: shown || t("speaker", { n: 1 }), maxLength: 200,
        ariaLabel: t("speaker_name", { name: shown }), autocomplete: "off",
      });
      const put = () => {
        const next = name.value.trim();
        if (next !== each.name) this.saver.edit({ op: "name", speaker: each.key, name: next });
        else if (this.stale) this.speakers();
      };
      name.addEventListener("change", put);
      name.addEventListener("blur", () => setTimeout(() => { if (this.stale) this.speakers(); }));
      name.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
        if (event.key === "Enter") name.blur();
      });
      const rest = el("div", { className: "rest" },
        el("span", { className: "num" }, t("speaker_share", { p: Math.round((100 * each.ms) / whole) })));
      if (this.text.speakers.length > 1) rest.append(this.unite(each.key, shown));
      return el("div", { className: "person", data: { key: each.key } },
        el("span", { className: `dot who-${colour}`, ariaHidden: "true" }), name, rest);
    }));
  }

  /** @param {string} key @param {string} shown */
  unite(key, shown) {
    const choice = el("select", { className: "in", ariaLabel: t("speaker_unite", { name: shown }) },
      el("option", { value: "" }, t("speaker_unite_with")));
    for (const other of this.text.speakers) {
      if (other.key !== key) choice.append(el("option", { value: other.key }, this.text.name(other.key)));
    }
    choice.addEventListener("change", () => {
      if (choice.value) this.saver.edit({ op: "unite", speaker: key, into: choice.value });
    });
    return choice;
  }

  async source() {
    const found = await get(`${this.path}/source`), list = el("dl", { className: "facts" });
    const fact = (/** @type {string} */ word, /** @type {(Node | string)[]} */ ...value) => {
      list.append(el("dt", {}, t(word)), el("dd", {}, ...value));
    };
    if (found.audio_sha256) fact("src_audio", short(found.audio_sha256), " ", t("src_as_sent", { n: size(found.bytes) }));
    for (const made of found.machine) {
      fact("src_model", `${made.model}, ${made.provenance.variant ?? ""} ${when(made.made_s)}`);
      const files = Object.entries(made.provenance.artifacts ?? {});
      if (files.length) {
        fact("src_file", ...files.flatMap(([name, digest], i) => [
          ...(i ? [el("br")] : []), `${name} `, short(String(digest))]),
          el("br"), t("src_manifest", { n: String(made.provenance.manifest_version ?? "?") }));
      }
      const coverage = made.coverage;
      if (coverage?.decoded) {
        const whole = coverage.decoded + (coverage.dropped ?? 0);
        fact("src_decoded", t("src_decoded_value", { p: Math.round((100 * coverage.decoded) / whole) }));
      }
      fact("src_text", short(made.result_sha256));
      if (found.machine.length > 1) list.append(el("dd", {}, this.choice(made.number, made.number === found.shown)));
    }
    fact("src_edits", t("src_edits_value", { n: found.edits }));
    if (found.edits) {
      fact("src_chain", found.last_hash ? short(found.last_hash) : "", " ",
        el("b", { className: found.verified ? "ok" : "bad" }, t(found.verified ? "src_chain_ok" : "src_chain_bad")));
    }
    const original = el("a", { className: "btn", href: `/r/${this.id}/plain?original=1` }, t("src_show"));
    $("panel-source").replaceChildren(list, el("p", {}), original);
  }

  /** What can be done with one of several texts of machines. @param {number} number @param {boolean} shown */
  choice(number, shown) {
    const see = el("a", { className: "btn", href: `/r/${this.id}/plain?original=${number}` }, t("text_see"));
    const take = el("button", { type: "button", className: "btn", disabled: shown }, t(shown ? "text_taken" : "text_take"));
    take.addEventListener("click", () => { this.adopt(number); });
    return el("div", { className: "acts" }, see, take);
  }

  /** Take a machine's text instead of the one that is shown. @param {number} machine */
  async adopt(machine) {
    await this.saver.edit({ op: "adopt", machine });
    this.refresh();
  }

  async history() {
    const { edits } = await get(`${this.path}/edits`);
    if (!edits.length) {
      $("panel-history").replaceChildren(el("p", { className: "quiet" }, t("history_none")));
      return;
    }
    const rows = edits.reverse().slice(0, 200).map((/** @type {any} */ each) => {
      const kind = knows(`kind_${each.kind}`) ? `kind_${each.kind}` : "kind_other";
      const word = el("span", { className: each.undone_by ? "gone" : "" }, t(kind));
      const line = el("div", {}, word);
      const what = each.operation.text ?? each.operation.name ?? each.operation.new;
      if (what && !each.undone_by) line.append(": ", el("span", {}, String(what).slice(0, 120)));
      if (each.undone_by) line.append(` (${t("undone")})`);
      return el("li", {}, line, el("div", { className: "quiet small num" },
        [`№ ${each.number}`, each.person, when(each.made_s)].filter(Boolean).join(" · ")));
    });
    $("panel-history").replaceChildren(el("ul", { className: "log" }, ...rows));
  }
}
