// @ts-check
// What is on the screen: the address has the state, each link is another state's address, and whenever it changes the
// page is made anew. So the browser's back button, bookmarks and a second window work without code.
"use strict";

const PAGE_SIZE = 60; // tiles of a page
const EAGER = 24; // pictures that are loaded at once; others when they come near

/** @param {string} id @returns {HTMLElement} */
const place = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

const head = /** @type {Head} */ (given("catalog", 0));
const items = allItems(head);
const ids = new Map(items.map((item) => [item.id, item]));
const chooser = new Chooser(head, items);
const nearest = new Nearest(head, items);
const tiles = new Tiles(head, items);
const words = /** @type {HTMLInputElement} */ (place("words"));

let turn = 0; // of the last change of the address: an answer to an earlier one is not shown

/** Show what the address says. @param {boolean} moved Whether somebody went there, so that the pictures get the focus. */
async function show(moved) {
  const mine = (turn += 1);
  const state = stateOf(location.hash);
  if (document.activeElement !== words) words.value = state.words;
  showChips(state);
  showFacets(state);
  const item = ids.get(state.item);
  const title = item ? tiles.title(item) : head.title;
  document.title = title === head.title ? title : `${title} – ${head.title}`;
  place("main").setAttribute("aria-busy", "true");
  /** @type {Node[]} */
  let made;
  try {
    made = item ? [tiles.whole(item, state)] : await results(state);
  } catch (error) {
    made = [element("p", { class: "empty" }, `These pictures cannot be shown: ${error instanceof Error ? error.message : error}.`)];
  }
  if (mine !== turn) return;
  const main = place("main");
  main.replaceChildren(...made);
  main.removeAttribute("aria-busy");
  main.dataset.shown = location.hash || "#";
  place("said").textContent = main.querySelector(".place, h2, .empty")?.textContent ?? "";
  if (moved && document.activeElement !== words) {
    main.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }
}

/** A page of pictures. @param {State} state @returns {Promise<Node[]>} */
async function results(state) {
  const among = chooser.matching(state);
  const like = ids.get(state.like);
  const first = (state.page - 1) * PAGE_SIZE;
  /** @type {Array<{item: Item, copies: number, score?: number}>} */
  const found = like ? await nearest.like(like, among, state.page * PAGE_SIZE) : foldedCopies(among);
  const total = like ? new Set(among.filter((each) => each.same !== like.same).map((each) => each.same)).size : found.length;
  const shown = found.slice(first, first + PAGE_SIZE);
  if (!shown.length) return [element("p", { class: "empty" }, state.page > 1 ? "There is no such page." : "No picture matches: remove something of what is asked for.")];
  const order = like ? "the most alike first" : "by path";
  const pages = Math.ceil(total / PAGE_SIZE);
  return [
    element("h2", { class: "unseen" }, like ? `Pictures like ${tiles.title(like)}` : "Pictures"),
    element("p", { class: "place" }, `${count(first + 1)} to ${count(first + shown.length)} of ${count(total)}, ${order}`),
    element("ol", { class: "tiles", start: first + 1 }, ...shown.map(({ item, copies, score }, at) => tiles.tile(item, copies, state, at < EAGER, score === undefined ? null : nearText(score)))),
    element(
      "nav",
      { class: "pages", "aria-label": "Pages of results" },
      state.page > 1 ? element("a", { rel: "prev", href: addressOf({ ...state, page: state.page - 1 }) }, "← before") : null,
      element("span", {}, `page ${count(state.page)} of ${count(pages)}`),
      state.page < pages ? element("a", { rel: "next", href: addressOf({ ...state, page: state.page + 1 }) }, "next →") : null,
    ),
  ];
}

/** @param {number} number */
const count = (number) => number.toLocaleString("en-US");

/** @param {number} score */
function nearText(score) {
  const share = nearest.share(score);
  return { near: share === null ? "" : `closer than ${percentText(share)} of pairs`, score: score.toFixed(2) };
}

/** @param {State} state */
function showChips(state) {
  const like = ids.get(state.like);
  /** @type {HTMLElement[]} */
  const chips = [];
  /** @param {string} kind @param {string} text @param {State} without @param {Node | null} picture */
  const add = (kind, text, without, picture = null) => chips.push(
    element("li", { class: `chip ${kind}` }, picture, element("span", {}, text), element("a", { href: addressOf({ ...without, item: "", page: 1 }) }, element("span", { "aria-hidden": "true" }, "×"), unseen(`Remove: ${text}`))),
  );
  if (like) add("like", `like ${tiles.title(like)}`, { ...state, like: "" }, tiles.picture(like, "", true));
  for (const each of state.where) {
    const [name, operator, value, to] = each;
    const text = operator === ".." ? `${name} ${value ?? ""}..${to ?? ""}` : `${name} ${operator === "=" ? "is" : "is not"} ${cell(/** @type {Scalar} */ (value))}`;
    add(operator === "!=" ? "dislike" : "filter", text, { ...state, where: state.where.filter((other) => other !== each) });
  }
  if (state.words) add("filter", `words: ${state.words}`, { ...state, words: "" });
  if (chips.length) chips.push(element("li", {}, element("a", { href: "#" }, "clear all")));
  place("chips").replaceChildren(...chips);
  place("chips").hidden = !chips.length;
}

/** @param {State} state */
function showFacets(state) {
  const open = new Set([...place("facets").querySelectorAll("details[open]")].map((each) => each.getAttribute("data-field")));
  const wide = window.matchMedia("(min-width: 48rem)").matches;
  const made = chooser.facets({ ...state, item: "" }).map((facet, at) => {
    const [name, type] = head.fields[facet.field];
    const asked = state.where.some((each) => each[0] === name);
    const isOpen = asked || open.has(name) || (turn === 1 && at < 2 && wide);
    const content = facet.least ? rangeForm(state, name, type, facet) : valueLists(state, name, facet.values);
    return element("details", { "data-field": name, open: isOpen ? "" : null }, element("summary", {}, name), ...content);
  });
  place("facets").replaceChildren(...made);
  place("facets").hidden = !made.length;
}

/** @param {State} state @param {string} name @param {FacetValue[]} values @returns {Node[]} */
function valueLists(state, name, values) {
  const gallery = { ...state, item: "" };
  const list = (/** @type {FacetValue[]} */ some) => element("ul", {}, ...some.map((each) => {
    const text = cell(each.value);
    return element(
      "li",
      { class: each.chosen ? "chosen" : each.excluded ? "excluded" : null },
      element("a", { class: "value", href: addressOf(toggled(gallery, [name, "=", each.value])), "aria-current": each.chosen ? "true" : null }, unseen(`${name} `), text),
      element("span", { class: "count" }, count(each.count), unseen(" items")),
      element("a", { class: "not", href: addressOf(toggled(gallery, [name, "!=", each.value])) }, each.excluded ? "again" : "not", unseen(` ${text}`)),
    );
  }));
  const rest = values.slice(MOST_SHOWN);
  return rest.length
    ? [list(values.slice(0, MOST_SHOWN)), element("details", { "data-field": `${name} more` }, element("summary", {}, `${count(rest.length)} more`), list(rest))]
    : [list(values)];
}

/** @param {State} state @param {string} name @param {string} type @param {Facet} facet @returns {Node[]} */
function rangeForm(state, name, type, facet) {
  const asked = state.where.find((each) => each[0] === name && each[1] === "..");
  const kind = { type: type === "date" ? "date" : "number", step: type === "date" ? null : "any" };
  /** @param {string} label @param {Scalar | null | undefined} value */
  const input = (label, value) => /** @type {HTMLInputElement} */ (element("input", { ...kind, "aria-label": `${name} ${label}`, value: String(value ?? "") }));
  const from = input("from", asked?.[2]);
  const to = input("to", asked?.[3]);
  const form = element("form", { class: "range" }, from, element("span", {}, "to"), to, element("button", {}, "Show", unseen(` ${name}`)), element("p", { class: "note" }, `${facet.least} to ${facet.most}`));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const read = (/** @type {HTMLInputElement} */ each) => (each.value === "" ? null : type === "date" ? each.value : Number(each.value));
    location.hash = addressOf(ranged({ ...state, item: "" }, name, read(from), read(to)));
  });
  return [form];
}

place("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  place("main").focus();
});
words.addEventListener("input", () => {
  const state = stateOf(location.hash);
  location.replace(addressOf({ ...state, words: words.value.trim(), item: "", page: 1 })); // one entry of the history for all letters
});
document.querySelector("[data-skip]")?.addEventListener("click", (event) => {
  event.preventDefault();
  place("main").focus();
});
window.addEventListener("hashchange", () => show(true));
show(false);
