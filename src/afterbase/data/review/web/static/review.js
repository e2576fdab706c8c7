// Keys, sheets and the sign-in link. Everything else is forms and links, which work without this file.
"use strict";

const busy = () => document.querySelector(".htmx-request") !== null;
const openSheet = () => document.querySelector("details.sheet[open]");
const writing = (element) => element.matches("input:not([type=hidden]), textarea, select");

// The visible button of a key; while a sheet is open, its own keys alone.
function buttonOf(key) {
  const inside = openSheet()?.querySelector("form");
  const found = [...(inside ?? document).querySelectorAll(`[data-key="${CSS.escape(key)}"]`)];
  return found.find((element) => element.checkVisibility());
}

function closeSheets() {
  for (const sheet of document.querySelectorAll("details.sheet[open]")) sheet.open = false;
}

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.isComposing || busy()) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    const save = openSheet()?.querySelector("[data-save]");
    if (save) { event.preventDefault(); save.click(); }
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") { closeSheets(); document.querySelector("#work")?.focus({ preventScroll: true }); return; }
  if (writing(event.target)) return;
  const button = buttonOf(event.key);
  if (button) { event.preventDefault(); button.click(); showField(); }
});

document.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target : null;
  if (target?.closest("[data-close]")) closeSheets();
  if (target?.closest("[data-source]")) toggleSource();
  if (target?.closest("[data-keys]")) document.querySelector("#keys").showModal();
});

// A sheet that opens shows its first field; only one is open at a time.
document.addEventListener("toggle", (event) => {
  if (!event.target.matches?.("details.sheet") || !event.target.open) return;
  for (const sheet of document.querySelectorAll("details.sheet[open]")) if (sheet !== event.target) sheet.open = false;
  showField();
}, true);

// At once, and not only when the browser tells of the open sheet: what is typed next belongs to the text.
function showField() {
  const field = openSheet()?.querySelector("textarea");
  if (!field || document.activeElement === field) return;
  field.focus();
  field.setSelectionRange(field.value.length, field.value.length);
}

function toggleSource() {
  for (const text of document.querySelectorAll(".turn .text")) text.hidden = !text.hidden;
}

const changed = () => [...document.querySelectorAll("textarea")].some((field) => field.value !== field.defaultValue);
let sent = false;
document.addEventListener("submit", () => { sent = true; });
window.addEventListener("beforeunload", (event) => { if (changed() && !sent) event.preventDefault(); });

function say(sentence) {
  const notice = document.querySelector(".notice");
  if (notice) { notice.textContent = sentence; notice.hidden = false; }
}
document.addEventListener("htmx:afterSwap", () => { sent = false; document.querySelector("#work")?.focus({ preventScroll: true }); });
document.addEventListener("htmx:sendError", () => { sent = false; say("The server does not answer: this verdict is not saved yet. Try again; what you wrote is still here."); });
document.addEventListener("htmx:responseError", (event) => {
  sent = false;
  const page = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html");
  say(page.querySelector("h1")?.textContent ?? `The server answered with status ${event.detail.xhr.status}.`);
});

// A sign-in link carries its token behind a #, where no server and no log sees it.
function signIn() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  const field = document.querySelector(".sign-in input[name=token]");
  if (!token || !field) return;
  history.replaceState(null, "", location.pathname);
  field.value = token;
  field.form.requestSubmit();
}
window.addEventListener("hashchange", signIn);
signIn();
