// @ts-check
// What looks most like an item: all items by the 8-bit part of their vectors, those that may be in the answer by both
// parts. The answer is that of all vectors compared exactly; how the parts are made is in recq/site/quantise.py.
"use strict";

/** The coarse parts of the items from `first` on. @typedef {{first: number, count: number, scale: Float32Array, miss: Float32Array, coarse: Int8Array}} Block */
/** One result. @typedef {{item: Item, score: number, copies: number}} Near */

const FINE = 65_534; // steps of the rest between two coarse numbers

/** Compares items by their vectors. Typed arrays have the byte order of the machine: little-endian wherever browsers run. */
class Nearest {
  /** @param {Head} head @param {Item[]} items */
  constructor(head, items) {
    this.head = head;
    this.items = items;
    /** @type {Promise<Block[]> | null} */
    this.loading = null;
  }

  /** All coarse parts, loaded once. @returns {Promise<Block[]>} */
  blocks() {
    this.loading ??= this.load().catch((error) => {
      this.loading = null;
      throw error;
    });
    return this.loading;
  }

  /** @returns {Promise<Block[]>} */
  async load() {
    const { dim, parts } = this.head;
    const numbers = Array.from({ length: parts }, (_, number) => number);
    const read = (/** @type {string} */ text) => {
      const { buffer } = bytesOf(text);
      const count = buffer.byteLength / (8 + dim);
      return {
        first: 0,
        count,
        scale: new Float32Array(buffer, 0, count),
        miss: new Float32Array(buffer, 4 * count, count),
        coarse: new Int8Array(buffer, 8 * count),
      };
    };
    const blocks = await Promise.all(numbers.map((number) => part("vectors", number, read)));
    let first = 0;
    for (const block of blocks) {
      block.first = first;
      first += block.count;
    }
    return blocks;
  }

  /** An item's vector by both parts. @param {Block[]} blocks @param {number} number @returns {Promise<Float64Array>} */
  async exact(blocks, number) {
    const { dim, rests } = this.head;
    const rest = await part("rests", Math.floor(number / rests), (text) => new Int16Array(bytesOf(text).buffer));
    const block = blockOf(blocks, number);
    const at = (number - block.first) * dim;
    const from = (number % rests) * dim;
    const scale = block.scale[number - block.first];
    const vector = new Float64Array(dim);
    for (let n = 0; n < dim; n += 1) vector[n] = scale * (block.coarse[at + n] + rest[from + n] / FINE);
    return vector;
  }

  /**
   * The `most` items that look most like one, without that one and its copies; copies are folded, ties are in the order
   * of paths: as `recq similar` answers.
   * @param {Item} target @param {Item[]} among @param {number} most @returns {Promise<Near[]>}
   */
  async like(target, among, most) {
    const blocks = await this.blocks();
    const question = await this.exact(blocks, target.number);
    const others = among.filter((item) => item.same !== target.same);
    const { values, errors } = this.bounds(blocks, question, others);
    const least = atLeast(others, values, errors, most);
    const candidates = others.filter((_, at) => values[at] + errors[at] >= least);
    const scored = await Promise.all(candidates.map(async (item) => ({
      item,
      value: Math.fround(this.value(question, await this.exact(blocks, item.number))),
    })));
    scored.sort((one, other) => other.value - one.value || one.item.number - other.item.number);
    return this.folded(scored).slice(0, most);
  }

  /**
   * The value of each item by its coarse part, the more alike the higher, and by how much it may be wrong.
   * @param {Block[]} blocks @param {Float64Array} question @param {Item[]} items
   */
  bounds(blocks, question, items) {
    const { dim } = this.head;
    const values = new Float64Array(items.length);
    const errors = new Float64Array(items.length);
    const length = Math.sqrt(question.reduce((sum, each) => sum + each * each, 0));
    items.forEach((item, at) => {
      const block = blockOf(blocks, item.number);
      const place = item.number - block.first;
      const scale = block.scale[place];
      const from = place * dim;
      let sum = 0;
      if (this.head.distance === "cosine") {
        for (let n = 0; n < dim; n += 1) sum += question[n] * block.coarse[from + n];
        values[at] = scale * sum;
        errors[at] = block.miss[place] * length;
      } else {
        for (let n = 0; n < dim; n += 1) sum += (question[n] - scale * block.coarse[from + n]) ** 2;
        values[at] = -Math.sqrt(sum);
        errors[at] = block.miss[place];
      }
    });
    return { values, errors };
  }

  /** How alike two vectors are: their product, or minus their distance. @param {Float64Array} one @param {Float64Array} other */
  value(one, other) {
    let sum = 0;
    if (this.head.distance === "cosine") {
      for (let n = 0; n < one.length; n += 1) sum += one[n] * other[n];
      return sum;
    }
    for (let n = 0; n < one.length; n += 1) sum += (one[n] - other[n]) ** 2;
    return -Math.sqrt(sum);
  }

  /** @param {Array<{item: Item, value: number}>} scored @returns {Near[]} */
  folded(scored) {
    /** @type {Map<number, Near>} */
    const first = new Map();
    for (const { item, value } of scored) {
      const found = first.get(item.same);
      if (found) found.copies += 1;
      else first.set(item.same, { item, score: this.head.distance === "cosine" ? value : -value, copies: 1 });
    }
    return [...first.values()];
  }

  /** The share of random pairs, 0 to 1, that are less alike than a score; null where nobody has compared any. @param {number} score */
  share(score) {
    if (!this.head.scale) return null;
    const [levels, scores] = this.head.scale;
    const sign = this.head.distance === "cosine" ? 1 : -1;
    const above = scores.findIndex((each) => sign * each >= sign * score);
    if (above <= 0) return above === 0 ? 0 : 1;
    const part = (score - scores[above - 1]) / (scores[above] - scores[above - 1]);
    return levels[above - 1] + part * (levels[above] - levels[above - 1]);
  }
}

/** The block that has an item. @param {Block[]} blocks @param {number} number */
function blockOf(blocks, number) {
  let at = Math.min(blocks.length - 1, Math.floor(number / blocks[0].count));
  while (blocks[at].first + blocks[at].count <= number) at += 1;
  while (blocks[at].first > number) at -= 1;
  return blocks[at];
}

/**
 * The value that the last of `most` results has at least, whatever the rests are: copies count once.
 * @param {Item[]} items @param {Float64Array} values @param {Float64Array} errors @param {number} most
 */
function atLeast(items, values, errors, most) {
  /** @type {Map<number, number>} */
  const best = new Map();
  items.forEach((item, at) => {
    const sure = values[at] - errors[at];
    if (!(sure <= (best.get(item.same) ?? -Infinity))) best.set(item.same, sure);
  });
  const ordered = Float64Array.from(best.values()).sort();
  return ordered.length > most ? ordered[ordered.length - most] : -Infinity;
}

/** A share as `recq` prints it: one decimal of the per cent, two above 99.9 %, rounded down. @param {number} share */
function percentText(share) {
  if (share >= 1) return "100 %";
  const perCent = 100 * share + 1e-9;
  const digits = perCent >= 99.9 ? 2 : 1;
  return `${(Math.floor(perCent * 10 ** digits) / 10 ** digits).toFixed(digits)} %`;
}
