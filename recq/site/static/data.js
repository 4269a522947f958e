// @ts-check
// The catalog's data. Each part is a script that calls `take`: a page that is opened as a file may load nothing else.
"use strict";

/** @typedef {string | number | boolean} Scalar */
/** @typedef {Scalar | Scalar[]} Value */
/**
 * What an item is: the id, what its picture's name ends in, the number of the first item of the same bytes, and its
 * values by the numbers of their fields.
 * @typedef {[string, string, number, Array<[number, Value]>]} Row
 */
/**
 * An item with its number in the order of paths.
 * @typedef {{number: number, id: string, key: string, same: number, values: Array<[number, Value]>}} Item
 */
/**
 * What is known of all items. `fields` are names and types; `titles`, `kinds`, `facts` and `path` are numbers of fields;
 * `scale` has shares of random pairs and the score that each share does not reach.
 * @typedef {{title: string, items: number, parts: number, rests: number, dim: number, distance: "cosine" | "euclid",
 *   fields: Array<[string, string]>, titles: number[], kinds: number[], facts: number[], path: number[],
 *   scale: [number[], number[]] | null, unpictured: number[]}} Head
 */

/** Where this script and the parts are. */
const PLACE = /** @type {HTMLScriptElement} */ (document.currentScript).src.replace(/[^/]*$/, "");

/** @type {Map<string, any>} What was handed over, until somebody asks for it. */
const taken = new Map();

/** @type {Map<string, Promise<any>>} */
const awaited = new Map();

/** Called by each part. @param {string} kind @param {number} number @param {any} content */
function take(kind, number, content) {
  taken.set(`${kind} ${number}`, content);
}

/** What was handed over, once. @param {string} kind @param {number} number @returns {any} */
function given(kind, number) {
  const name = `${kind} ${number}`;
  const content = taken.get(name);
  taken.delete(name);
  return content;
}

/**
 * A part that is loaded when it is first needed, as `read` makes it of what it hands over.
 * @template T
 * @param {string} kind @param {number} number @param {(content: any) => T} read
 * @returns {Promise<T>}
 */
function part(kind, number, read) {
  const name = `${kind} ${number}`;
  const before = awaited.get(name);
  if (before) return before;
  const found = new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `${PLACE}${kind}-${String(number).padStart(4, "0")}.js`;
    script.onload = () => {
      script.remove();
      try {
        resolve(read(given(kind, number)));
      } catch (error) {
        reject(error);
      }
    };
    script.onerror = () => {
      script.remove();
      awaited.delete(name);
      reject(new Error("a file of this page is missing: it may have been exported again, so reload it"));
    };
    document.head.append(script);
  });
  awaited.set(name, found);
  return found;
}

/** The bytes of a text in base64. @param {string} text @returns {Uint8Array<ArrayBuffer>} */
function bytesOf(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let at = 0; at < raw.length; at += 1) bytes[at] = raw.charCodeAt(at);
  return bytes;
}

/** All items, of the parts that are loaded with the page. @param {Head} head @returns {Item[]} */
function allItems(head) {
  /** @type {Item[]} */
  const items = [];
  for (let number = 0; number < head.parts; number += 1) {
    for (const [id, key, same, values] of /** @type {Row[]} */ (given("items", number))) {
      items.push({ number: items.length, id, key, same, values });
    }
  }
  return items;
}

/** A value that an item has. @param {Item} item @param {number} field @returns {Value | undefined} */
function valueOf(item, field) {
  return item.values.find(([number]) => number === field)?.[1];
}

/** @param {Value | undefined} value @returns {Scalar[]} */
function elementsOf(value) {
  return value === undefined ? [] : Array.isArray(value) ? value : [value];
}
