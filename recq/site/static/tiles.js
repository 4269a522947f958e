// @ts-check
// What is seen of items. Names and values are hostile: they become text and attributes of elements that are made here,
// and never markup or addresses; a picture's address is made of an id.
"use strict";

/** @typedef {Node | string | null} Child */

/**
 * An element. @param {string} tag @param {Record<string, string | number | null>} attributes @param {...Child} children
 * @returns {HTMLElement}
 */
function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) made.setAttribute(name, String(value));
  made.append(...children.filter((each) => each !== null));
  return made;
}

/** Text that only a screen reader has. @param {string} text */
const unseen = (text) => element("span", { class: "unseen" }, text);

/** A value in one line. @param {Value | undefined} value */
function cell(value) {
  return elementsOf(value).map((each) => (typeof each === "boolean" ? (each ? "yes" : "no") : String(each))).join(", ");
}

/** Makes tiles and what is shown of one item. */
class Tiles {
  /** @param {Head} head @param {Item[]} items */
  constructor(head, items) {
    this.head = head;
    this.items = items;
    this.unpictured = new Set(head.unpictured);
  }

  /** What an item is called. @param {Item} item */
  title(item) {
    for (const field of this.head.titles) {
      const text = cell(valueOf(item, field));
      if (text) return text;
    }
    const path = this.head.path.length ? cell(valueOf(item, this.head.path[0])) : "";
    return path.split("/").pop() || `picture ${item.number + 1}`;
  }

  /** What an item is, in words. @param {Item} item */
  kind(item) {
    return this.head.kinds.map((field) => cell(valueOf(item, field))).find(Boolean) ?? "";
  }

  /** @param {Item} item @param {string} alt @param {boolean} soon @returns {HTMLElement} */
  picture(item, alt, soon) {
    const first = this.items[item.same];
    const there = !this.unpictured.has(item.same) && /^[0-9a-f-]{36}$/.test(first.id) && /^[0-9a-f]{8}$/.test(first.key);
    const address = there ? `pictures/${first.id.slice(0, 2)}/${first.id}-${first.key}.jpg` : `${PLACE}no-picture.svg`;
    return element("img", { src: address, alt: there ? alt : `${alt} (its picture could not be read)`, loading: soon ? "eager" : "lazy", decoding: "async", width: 320, height: 320 });
  }

  /**
   * One result. @param {Item} item @param {number} copies @param {State} state @param {boolean} soon
   * @param {{near: string, score: string} | null} near
   */
  tile(item, copies, state, soon, near) {
    const title = this.title(item);
    const alt = [title, this.kind(item), near?.near].filter(Boolean).join(", ");
    const facts = this.head.facts.map((field) => [this.head.fields[field][0], cell(valueOf(item, field))]).filter(([, text]) => text);
    return element(
      "li",
      { class: "tile" },
      element("a", { class: "picture", href: addressOf({ ...state, item: item.id }) }, this.picture(item, alt, soon)),
      element(
        "div",
        { class: "text" },
        element("span", { class: "title" }, title),
        near ? element("span", { class: "near" }, near.near, near.near ? " " : "", element("span", { class: "score" }, near.score)) : null,
        ...facts.map(([name, text]) => element("span", { class: "fact" }, `${name} ${text}`)),
        copies > 1 ? element("span", { class: "fact" }, `${copies} copies`) : null,
      ),
      element("div", { class: "steer" }, this.likeLink(item, state, title)),
    );
  }

  /** @param {Item} item @param {State} state @param {string} title */
  likeLink(item, state, title) {
    const address = addressOf({ ...state, like: item.id, item: "", page: 1 });
    return element("a", { href: address }, "more like this", unseen(` ${title}`));
  }

  /** One item with all that is known of it. @param {Item} item @param {State} state */
  whole(item, state) {
    const title = this.title(item);
    const rows = item.values.map(([field, value]) =>
      element("tr", {}, element("th", { scope: "row" }, this.head.fields[field][0]), element("td", {}, cell(value))));
    return element(
      "article",
      { class: "item" },
      element("div", { class: "whole" }, this.picture(item, [title, this.kind(item)].filter(Boolean).join(", "), true)),
      element(
        "div",
        {},
        element("h2", {}, title),
        element("p", { class: "steer" }, this.likeLink(item, state, title), element("a", { href: addressOf({ ...state, item: "" }) }, "back to the pictures")),
        rows.length ? element("table", {}, element("tbody", {}, ...rows)) : null,
      ),
    );
  }
}
