// @ts-check
// Which items are asked for: the state that the address holds, conditions on fields, words, and the values to choose from.
"use strict";

/** `=` one of the values, `!=` not that value, `..` from and to. @typedef {[string, "=" | "!=" | "..", Scalar | null, (Scalar | null)?]} Condition */
/**
 * What is shown: what is like an item, or an item itself, or all; conditions; words; a page, from 1.
 * @typedef {{like: string, item: string, where: Condition[], words: string, page: number}} State
 */
/** @typedef {{value: Scalar, count: number, chosen: boolean, excluded: boolean}} FacetValue */
/** @typedef {{field: number, values: FacetValue[], least: string, most: string}} Facet */

const MOST_FACETS = 12;
const MOST_DISTINCT = 200; // values of a text field; with more of them it differs from item to item
const MOST_SHOWN = 12; // values at once
const DAY = 86_400_000; // milliseconds

/** The state that an address holds; what is wrong in it is left out. @param {string} hash @returns {State} */
function stateOf(hash) {
  const said = new URLSearchParams(hash.replace(/^#/, ""));
  /** @type {Condition[]} */
  const where = [];
  for (const text of said.getAll("where")) {
    try {
      const found = JSON.parse(text);
      if (Array.isArray(found) && typeof found[0] === "string" && ["=", "!=", ".."].includes(found[1])) {
        where.push(/** @type {Condition} */ (found));
      }
    } catch {
      continue; // not written by this page
    }
  }
  const page = Number(said.get("page") || 1);
  return {
    like: said.get("like") || "",
    item: said.get("item") || "",
    where,
    words: said.get("words") || "",
    page: Number.isInteger(page) && page > 0 ? page : 1,
  };
}

/** The address of a state. @param {State} state */
function addressOf(state) {
  const said = new URLSearchParams();
  if (state.item) said.set("item", state.item);
  if (state.like) said.set("like", state.like);
  for (const each of state.where) said.append("where", JSON.stringify(each));
  if (state.words) said.set("words", state.words);
  if (state.page > 1) said.set("page", String(state.page));
  return `#${said}`;
}

/** A condition more, or less where it is there. @param {State} state @param {Condition} condition @returns {State} */
function toggled(state, condition) {
  const text = JSON.stringify(condition);
  const others = state.where.filter((each) => JSON.stringify(each) !== text);
  const opposite = JSON.stringify([condition[0], condition[1] === "=" ? "!=" : "=", condition[2]]);
  const where = others.length < state.where.length
    ? others
    : [...others.filter((each) => JSON.stringify(each) !== opposite), condition];
  return { ...state, where, page: 1 };
}

/** Other ends of a range. @param {State} state @param {string} field @param {Scalar | null} from @param {Scalar | null} to @returns {State} */
function ranged(state, field, from, to) {
  const others = state.where.filter((each) => !(each[0] === field && each[1] === ".."));
  return { ...state, where: from === null && to === null ? others : [...others, [field, "..", from, to]], page: 1 };
}

/** What a value is compared by: of a date its first or last moment. @param {Scalar} value @param {string} type @param {boolean} [last] */
function sizeOf(value, type, last = false) {
  if (type !== "date") return Number(value);
  const text = String(value);
  const day = !text.includes("T");
  return Date.parse(day || /Z$/.test(text) ? text : `${text}Z`) + (last && day ? DAY - 1 : 0);
}

/** The text without case and accents. @param {string} text */
function folded(text) {
  return text.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase();
}

/** @param {string} text @returns {string[]} */
function wordsOf(text) {
  return folded(text).split(/[^\p{L}\p{N}\p{M}]+/u).filter(Boolean);
}

/** Scripts without spaces between words: there a part of a text is found, elsewhere the beginning of a word. */
const UNSPACED = /[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uac00-\ud7a3]/;

/** Chooses among items. */
class Chooser {
  /** @param {Head} head @param {Item[]} items */
  constructor(head, items) {
    this.items = items;
    this.fields = head.fields;
    /** @type {Map<string, number>} */
    this.numbers = new Map(head.fields.map(([name], number) => [name, number]));
    /** @type {string[] | null} The words of each item. */
    this.texts = null;
    this.path = head.path;
    this.offered = this.worthOffering();
  }

  /** The items that match, in order; `but` leaves out what is asked of one field's values. @param {State} state @param {number} [but] */
  matching(state, but = -1) {
    const asked = this.conditions(state.where, but);
    const words = wordsOf(state.words);
    return this.items.filter((item) => asked.every((holds) => holds(item)) && this.hasWords(item, words));
  }

  /** @param {Condition[]} where @param {number} but @returns {Array<(item: Item) => boolean>} */
  conditions(where, but) {
    /** @type {Map<number, Set<Scalar>>} */
    const wanted = new Map();
    /** @type {Array<(item: Item) => boolean>} */
    const asked = [];
    for (const [name, operator, value, to] of where) {
      const field = this.numbers.get(name);
      if (field === undefined) {
        asked.push(() => operator === "!="); // of another export
      } else if (operator === "!=") {
        asked.push((item) => !elementsOf(valueOf(item, field)).some((each) => each === value));
      } else if (operator === "=" && field !== but) {
        wanted.set(field, (wanted.get(field) ?? new Set()).add(/** @type {Scalar} */ (value)));
      } else if (operator === "..") {
        const type = this.fields[field][1];
        const least = value === null ? -Infinity : sizeOf(value, type);
        const most = to === null || to === undefined ? Infinity : sizeOf(to, type, true);
        asked.push((item) => elementsOf(valueOf(item, field)).some((each) => {
          const size = sizeOf(each, type);
          return least <= size && size <= most;
        }));
      }
    }
    for (const [field, values] of wanted) {
      asked.push((item) => elementsOf(valueOf(item, field)).some((each) => values.has(each)));
    }
    return asked;
  }

  /** Whether each word begins one of the item's. @param {Item} item @param {string[]} words */
  hasWords(item, words) {
    if (!words.length) return true;
    this.texts ??= this.items.map((each) => ` ${wordsOf(each.values.map(([, value]) => elementsOf(value).join(" ")).join(" ")).join(" ")}`);
    const text = this.texts[item.number];
    return words.every((word) => text.includes(UNSPACED.test(word) ? word : ` ${word}`));
  }

  /** The fields whose values are worth choosing from, with those values, the most frequent first. */
  worthOffering() {
    /** @type {Array<{field: number, values: Scalar[]}>} */
    const offered = [];
    this.fields.forEach(([, type], field) => {
      if (offered.length === MOST_FACETS || this.path.includes(field)) return;
      const counts = this.counts(this.items, field);
      const having = [...counts.values()].reduce((sum, count) => sum + count, 0);
      const few = counts.size <= MOST_DISTINCT && counts.size <= Math.max(2, having / 2);
      const sizes = ["integer", "float", "date"].includes(type);
      if (counts.size < 2 || !(few || sizes)) return;
      const values = [...counts.keys()].sort((one, other) => (counts.get(other) ?? 0) - (counts.get(one) ?? 0) || (one < other ? -1 : 1));
      offered.push({ field, values });
    });
    return offered;
  }

  /** How many items have each value. @param {Item[]} items @param {number} field @returns {Map<Scalar, number>} */
  counts(items, field) {
    /** @type {Map<Scalar, number>} */
    const counts = new Map();
    for (const item of items) {
      for (const value of new Set(elementsOf(valueOf(item, field)))) counts.set(value, (counts.get(value) ?? 0) + 1);
    }
    return counts;
  }

  /** The fields with how many items each value would leave. @param {State} state @returns {Facet[]} */
  facets(state) {
    const all = this.matching(state);
    return this.offered.map(({ field, values }) => {
      const [name, type] = this.fields[field];
      const asked = state.where.filter((each) => each[0] === name);
      const has = (/** @type {string} */ operator, /** @type {Scalar} */ value) => asked.some((each) => each[1] === operator && each[2] === value);
      if (["integer", "float", "date"].includes(type)) {
        const ordered = [...values].sort((one, other) => sizeOf(one, type) - sizeOf(other, type));
        return { field, values: [], least: String(ordered[0]), most: String(ordered[ordered.length - 1]) };
      }
      const counts = this.counts(asked.some((each) => each[1] === "=") ? this.matching(state, field) : all, field);
      const shown = values.map((value) => ({ value, count: counts.get(value) ?? 0, chosen: has("=", value), excluded: has("!=", value) }));
      return { field, values: shown.filter((each) => each.count || each.chosen || each.excluded), least: "", most: "" };
    });
  }
}

/**
 * The first item of each content, with the number of items it stands for, as in `recq search`.
 * @param {Item[]} items @returns {Array<{item: Item, copies: number}>}
 */
function foldedCopies(items) {
  /** @type {Map<number, {item: Item, copies: number}>} */
  const first = new Map();
  for (const item of items) {
    const found = first.get(item.same);
    if (found) found.copies += 1;
    else first.set(item.same, { item, copies: 1 });
  }
  return [...first.values()];
}
