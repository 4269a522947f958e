// @ts-check
// What links and forms cannot: a picture of the user's, and a region that is drawn.
"use strict";

/** @type {Blob | null} The picture that is asked with; it is in no address and not kept anywhere else. */
let picture = null;

/** @param {string} text A line for screen readers. @param {boolean} [all] And for everybody else. */
function say(text, all) {
  const place = document.getElementById("said");
  if (!place) return;
  place.textContent = text;
  place.className = all ? "error" : "unseen";
}

/**
 * Show what looks like `picture`, as an address below /look says it.
 * @param {string} address
 * @param {boolean} [push] Whether it becomes an entry of the history.
 */
async function look(address, push = true) {
  if (!picture) return;
  const main = document.getElementById("main");
  main?.setAttribute("aria-busy", "true");
  say("Looking for similar pictures");
  try {
    const answer = await fetch(address, { method: "POST", body: picture });
    const made = new DOMParser().parseFromString(await answer.text(), "text/html");
    const found = made.getElementById("main");
    if (!found || !main) throw new Error("it gave no page");
    if (push) history.pushState({ look: true }, "", address);
    document.title = made.title;
    main.replaceWith(document.adoptNode(found));
    /** @type {any} */ (window).htmx?.process(found);
    found.focus({ preventScroll: true });
    window.scrollTo(0, 0);
    say(found.querySelector(".place")?.textContent?.trim() || "Nothing was found");
  } catch (error) {
    main?.removeAttribute("aria-busy");
    say(`The service does not answer: ${error}`, true);
  }
}

/** @param {Blob | null | undefined} file */
function take(file) {
  if (!file || !file.type.startsWith("image/")) return;
  picture = file;
  const state = document.querySelector("form[data-look]")?.getAttribute("data-look") || "";
  const kept = new URLSearchParams(state);
  ["like", "dislike", "region", "page", "sort"].forEach((name) => kept.delete(name));
  look(`/look?${kept}`);
}

document.addEventListener("change", (event) => {
  const input = /** @type {HTMLInputElement} */ (event.target);
  if (input.type === "file") take(input.files?.[0]);
});
document.addEventListener("paste", (event) => take(event.clipboardData?.files[0]));
document.addEventListener("dragover", (event) => {
  if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  if (!event.dataTransfer?.files.length) return;
  event.preventDefault();
  take(event.dataTransfer.files[0]);
});

// Links and forms that keep the user's picture send it again.
for (const [kind, which] of [["click", "a[href^='/look']"], ["submit", "form[action='/look']"]]) {
  document.addEventListener(kind, (/** @type {any} */ event) => {
    const found = event.target.closest(which);
    if (!found || !picture || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    event.stopPropagation();
    look(found.href || `/look?${new URLSearchParams(/** @type {any} */ (new FormData(found)))}`);
  }, true);
}
window.addEventListener("popstate", () => {
  if (location.pathname === "/look" && picture) look(location.pathname + location.search, false);
});

// A region: drawn, moved and sized by mouse, touch and arrow keys; the number fields say the same.

/** @returns {HTMLInputElement[]} x, y, w, h */
const sides = () => ["x", "y", "w", "h"].map((each) => /** @type {any} */ (document.querySelector(`.region [data-side=${each}]`)));

/** @param {number} value @param {number} least @param {number} most */
const between = (value, least, most) => Math.min(most, Math.max(least, Math.round(value * 10) / 10));

/** Write a region into the fields, the hidden one and the drawing. @param {number[]} numbers */
function show([x, y, w, h]) {
  /** @type {any} */
  const region = document.querySelector(".region [name=region]");
  if (!region) return;
  w = between(w, 1, 100);
  h = between(h, 1, 100);
  x = between(x, 0, 100 - w);
  y = between(y, 0, 100 - h);
  sides().forEach((field, at) => { field.value = String([x, y, w, h][at]); });
  region.value = [x, y, w, h].map((each) => `${each}%`).join(",");
  const rect = document.querySelector("[data-region] rect");
  for (const [name, value] of Object.entries({ x, y, width: w, height: h })) rect?.setAttribute(name, String(value));
  const corner = document.querySelector("[data-region] circle");
  corner?.setAttribute("cx", String(x + w));
  corner?.setAttribute("cy", String(y + h));
}

const shown = () => sides().map((field) => Number(field.value) || 0);

document.addEventListener("input", (event) => {
  if (/** @type {Element} */ (event.target).hasAttribute("data-side")) show(shown());
});

document.addEventListener("pointerdown", (event) => {
  const box = /** @type {Element} */ (event.target).closest("[data-region]");
  if (!box) return;
  event.preventDefault();
  const frame = box.getBoundingClientRect();
  /** @param {PointerEvent} at */
  const place = (at) => [(100 * (at.clientX - frame.left)) / frame.width, (100 * (at.clientY - frame.top)) / frame.height];
  const [startX, startY] = place(event);
  const [x, y, w, h] = shown();
  const near = Math.hypot(startX - x - w, startY - y - h) < 5;
  const inside = !near && startX > x && startX < x + w && startY > y && startY < y + h;
  /** @param {PointerEvent} at */
  const move = (at) => {
    const [nowX, nowY] = place(at);
    if (inside) show([x + nowX - startX, y + nowY - startY, w, h]);
    else if (near) show([x, y, nowX - x, nowY - y]);
    else show([Math.min(startX, nowX), Math.min(startY, nowY), Math.abs(nowX - startX), Math.abs(nowY - startY)]);
  };
  const stop = new AbortController();
  for (const name of ["pointerup", "pointercancel"]) window.addEventListener(name, () => stop.abort(), stop);
  window.addEventListener("pointermove", move, stop);
});

document.addEventListener("keydown", (event) => {
  if (!(/** @type {Element} */ (event.target).matches("[data-region]"))) return;
  const by = event.key.startsWith("Arrow") ? { Left: [-1, 0], Right: [1, 0], Up: [0, -1], Down: [0, 1] }[event.key.slice(5)] : null;
  if (!by) return;
  event.preventDefault();
  const [x, y, w, h] = shown();
  show(event.shiftKey ? [x, y, w + by[0], h + by[1]] : [x + by[0], y + by[1], w, h]);
});

// A form with data-keys: a digit ticks or chooses one of its boxes, Enter sends it from wherever it means nothing else.
document.addEventListener("keydown", (event) => {
  const at = /** @type {Element} */ (event.target);
  const form = /** @type {any} */ (at.closest("[data-keys]") || document.querySelector("[data-keys]"));
  if (!form || event.ctrlKey || event.metaKey || event.altKey || at.matches("input:not([type=checkbox], [type=radio]), select, textarea")) return;
  const boxes = form.querySelectorAll("[type=checkbox], [type=radio]");
  boxes[Number(event.key) - 1]?.click();
  if (event.key === "Enter" && !at.closest("a, button, input, summary")) form.requestSubmit();
});

// What is shown stays where no page comes in its place.
document.addEventListener("htmx:beforeSwap", (/** @type {any} */ { detail }) => {
  if (detail.target.id !== "main" || detail.serverResponse.includes('id="main"')) return;
  detail.shouldSwap = false;
  say("The service gave no page", true);
});
document.addEventListener("htmx:sendError", () => say("The service does not answer", true));

// The keyboard goes on where a new main part begins, or says.
const first = () => /** @type {any} */ (document.querySelector("[data-first]"));
document.addEventListener("htmx:afterSettle", (/** @type {any} */ { detail }) => {
  if (detail.elt.id !== "main") return;
  say("");
  (first() || document.getElementById("main"))?.focus({ preventScroll: true });
});
first()?.focus();
