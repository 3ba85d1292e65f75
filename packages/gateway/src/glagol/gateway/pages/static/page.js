// @ts-check
// What every page shares: words, elements, requests to the server, menus, dialogs, the theme.

const root = document.documentElement;

/** The language of the page, "ru" or "en". */
export const lang = root.lang === "ru" ? "ru" : "en";
const texts = (await import(`./words.${lang}.js`)).default;
const rules = new Intl.PluralRules(lang);
const numbers = new Intl.NumberFormat(lang, { maximumFractionDigits: 1 });
const FORMS = lang === "ru" ? { one: 0, few: 1, many: 2, other: 1 } : { one: 0, other: 1 };

/** Whether there is a text of that key. @param {string} key */
export const knows = (key) => key in texts;

/**
 * The text of a key; `{name}` becomes the value of that name, and `n` chooses the plural.
 * @param {string} key @param {Record<string, string | number>} [values]
 */
export function t(key, values = {}) {
  let text = texts[key] ?? key;
  if (text.includes("|")) text = text.split("|")[FORMS[rules.select(Number(values.n))] ?? 0];
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    return value === undefined ? whole : typeof value === "number" ? numbers.format(value) : value;
  });
}

/** The element with that id. @param {string} id @returns {any} */
export const $ = (id) => document.getElementById(id);

/**
 * A new element. A property of `props` that the element does not have becomes an attribute.
 * @param {string} tag @param {Record<string, any>} [props] @param {...(Node | string)} inside
 * @returns {any}
 */
export function el(tag, props = {}, ...inside) {
  const made = /** @type {any} */ (document.createElement(tag));
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name === "data") Object.assign(made.dataset, value);
    else if (name in made && name !== "list" && name !== "form") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...inside);
  return made;
}

for (const name of ["Label", "Pressed", "Selected", "Hidden", "MultiLine", "Checked"]) {
  const own = `aria${name}`, attribute = `aria-${name.toLowerCase()}`;
  if (own in Element.prototype) continue; // Firefox before 119
  Object.defineProperty(Element.prototype, own, {
    get() { return this.getAttribute(attribute); },
    set(value) { this.setAttribute(attribute, value); },
  });
}

const pad = (/** @type {number} */ n) => String(n).padStart(2, "0");

/** A span or a position: `0:07`, `12:30`, `1:01:35`. @param {number} seconds */
export function hms(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours}:${pad(minutes)}:${pad(whole % 60)}` : `${minutes}:${pad(whole % 60)}`;
}

/** A span in words: `20 s`, `4 min`, `2 h`. @param {number} seconds */
export function span(seconds) {
  if (seconds < 90) return t("span_s", { n: Math.max(1, Math.round(seconds)) });
  if (seconds < 5400) return t("span_min", { n: Math.round(seconds / 60) });
  return t("span_h", { n: Math.round(seconds / 360) / 10 });
}

/** @param {number} bytes */
export function size(bytes) {
  for (const [key, unit] of /** @type {[string, number][]} */ ([
    ["size_gb", 2 ** 30], ["size_mb", 2 ** 20], ["size_kb", 2 ** 10],
  ])) if (bytes >= unit) return t(key, { n: Math.round((bytes / unit) * 10) / 10 });
  return t("size_b", { n: bytes });
}

const day = new Intl.DateTimeFormat(lang, { day: "numeric", month: "short" });
const fullDay = new Intl.DateTimeFormat(lang, { day: "numeric", month: "long", year: "numeric" });
const minute = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit" });

/** A moment in the browser's time zone. @param {number} seconds @param {boolean} [long] */
export function when(seconds, long = false) {
  const at = new Date(seconds * 1000);
  return `${(long ? fullDay : day).format(at).replace(" г.", "")}, ${minute.format(at)}`;
}

/** The clock alone. @param {Date} [at] */
export const clock = (at = new Date()) => minute.format(at);

/** An answer that is an error; `code` is the server's, `offline` or `http_N`. */
export class Trouble extends Error {
  /** @param {string} code @param {string} message @param {number} status @param {number} retryS */
  constructor(code, message, status, retryS) {
    super(message);
    this.code = code;
    this.status = status;
    this.retryS = retryS;
  }

  /** Whether the same request may succeed later. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500 && this.status !== 507;
  }

  /** In the words of the page. */
  get text() {
    const key = `trouble_${this.code}`;
    return knows(key) && !texts[key].includes("{") ? t(key) : t("trouble_other", { code: this.code });
  }
}

/**
 * Ask the server; the raw answer, or Trouble.
 * @param {string} path @param {RequestInit} [options]
 */
export async function ask(path, options = {}) {
  const headers = { "X-Glagol": "1", ...options.headers };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Trouble("offline", String(error), 0, 0);
  }
  if (answer.ok || answer.status === 304) return answer;
  let code = `http_${answer.status}`, message = answer.statusText;
  try {
    ({ code, message } = (await answer.json()).error);
  } catch { /* a proxy's page, or no body */ }
  throw new Trouble(code, message, answer.status, Number(answer.headers.get("retry-after")) || 0);
}

/** Ask for JSON. @param {string} path @returns {Promise<any>} */
export const get = async (path) => (await (await ask(path)).json()).data;

/**
 * Send JSON. @param {string} method @param {string} path @param {any} [body]
 * @param {RequestInit} [options] @returns {Promise<any>}
 */
export async function send(method, path, body, options = {}) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const answer = await ask(path, {
    ...options, method, headers, body: body === undefined ? undefined : JSON.stringify(body),
  });
  return (await answer.json()).data;
}

let hiding = 0;

/** Say something for a while. @param {string} text */
export function toast(text) {
  $("toast").textContent = text;
  clearTimeout(hiding);
  hiding = window.setTimeout(() => { $("toast").textContent = ""; }, 5000);
}

/** Say what went wrong. @param {unknown} error */
export function complain(error) {
  if (!(error instanceof Trouble)) throw error;
  if (error.status === 401) toast(t("trouble_key_missing"));
  else toast(error.text);
}

/** What the server gave this page. */
export const data = $("data") ? JSON.parse($("data").textContent) : {};

/**
 * Show a dialog; resolves with what its closing button says, "" when it was dismissed.
 * @param {string} title @param {Node[]} inside @param {Record<string, any>[]} buttons
 * @param {string} [kind] @returns {Promise<string>}
 */
export function dialog(title, inside, buttons, kind = "") {
  const box = el("dialog", { className: `dialog ${kind}`, ariaLabel: title });
  const acts = el("div", { className: "acts" });
  for (const { value, text, style = "" } of buttons) {
    const button = el("button", { type: "button", className: `btn ${style}` }, text);
    button.addEventListener("click", () => box.close(value));
    acts.append(button);
  }
  box.append(el("h2", {}, title), ...inside, acts);
  document.body.append(box);
  box.showModal();
  return new Promise((resolve) => {
    box.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      if (event.target === box) box.close("");
    });
    box.addEventListener("close", () => {
      box.remove();
      resolve(box.returnValue);
    });
  });
}

/** Put text on the clipboard, also where the page is not secure. @param {string} text */
export async function copy(text) {
  if (navigator.clipboard && isSecureContext) await navigator.clipboard.writeText(text);
  else {
    const area = el("textarea", { value: text, className: "vh", ariaHidden: "true" });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  toast(t("copied"));
}

/** Close open menus. @param {Element | null} [but] */
export function closeMenus(but = null) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (menu !== but) menu.removeAttribute("open");
  }
}

const themes = ["auto", "light", "dark"];
const themeNow = () => root.dataset.theme ?? "auto";
/** What to do after the theme has changed. @type {(() => void)[]} */
export const onTheme = [];

/** @param {string} name */
function setTheme(name) {
  if (name === "auto") delete root.dataset.theme;
  else root.dataset.theme = name;
  const age = name === "auto" ? 0 : 31536000;
  document.cookie = `glagol_theme=${name}; Path=/; Max-Age=${age}; SameSite=Strict`;
  const text = t("theme", { now: t(`theme_${name}`) });
  $("theme").ariaLabel = text;
  $("theme").title = text;
  for (const button of document.querySelectorAll("[data-theme-choice]")) {
    button.ariaPressed = String(/** @type {HTMLElement} */ (button).dataset.themeChoice === name);
  }
  for (const each of onTheme) each();
}

$("theme").hidden = false;
$("theme").title = t("theme", { now: t(`theme_${themeNow()}`) });
$("theme").addEventListener("click", () => {
  setTheme(themes[(themes.indexOf(themeNow()) + 1) % themes.length]);
});
for (const button of document.querySelectorAll("[data-theme-choice]")) {
  button.addEventListener("click", () => setTheme(button.dataset.themeChoice));
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const each of onTheme) each();
});
document.addEventListener("click", (event) => {
  closeMenus(/** @type {Element} */ (event.target).closest("details.menu"));
});
document.addEventListener("keydown", (event) => {
  const menu = document.querySelector("details.menu[open]");
  if (event.key !== "Escape" || !menu) return;
  menu.removeAttribute("open");
  menu.querySelector("summary")?.focus();
});
for (const time of document.querySelectorAll("time[datetime]")) {
  const at = Date.parse(time.dateTime) / 1000;
  if (at) time.textContent = when(at, time.id === "when");
}
