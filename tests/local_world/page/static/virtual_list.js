/** A list of any length of which only the visible rows exist; every row has the same height. */

import { h } from "./elements.js";

/** Rows above and below those that are visible. */
const SPARE_ROWS = 6;

/**
 * @template T
 * @typedef {object} Behaviour
 * @property {number} rowHeight in CSS pixels
 * @property {string} label the accessible name of the list
 * @property {(item: T) => string} key
 * @property {() => HTMLElement} build builds an empty row, a button
 * @property {(button: HTMLElement, item: T) => void} fill shows an item in a row
 * @property {(item: T) => void} choose
 */

/** @template T */
export class VirtualList {
  /** @type {T[]} */
  #items = [];
  /** @type {Map<string, {li: HTMLElement, button: HTMLElement, key: string}>} */
  #shown = new Map();
  /** @type {{li: HTMLElement, button: HTMLElement, key: string}[]} */
  #pool = [];
  /** The key of the row that the keyboard reaches first. */
  #current = "";

  /** @param {HTMLElement} viewport the element that scrolls @param {Behaviour<T>} how */
  constructor(viewport, how) {
    this.#viewport = viewport;
    this.#how = how;
    this.#list = h("ul", { role: "list", class: "virtual", "aria-label": how.label });
    viewport.append(this.#list);
    viewport.addEventListener("scroll", () => this.render(), { passive: true });
    this.#list.addEventListener("keydown", (event) => this.#onKey(event));
    this.#list.addEventListener("focusin", (event) => {
      const row = this.#rowOf(/** @type {Element} */ (event.target));
      if (row) this.#makeCurrent(row.key);
    });
    new ResizeObserver(() => this.render()).observe(viewport);
  }

  #viewport;
  #how;
  #list;

  /**
   * Show other items. What was at the top of the view stays there, unless that is the list's beginning.
   *
   * @param {T[]} items
   */
  setItems(items) {
    const { rowHeight, key } = this.#how;
    const top = Math.floor(this.#viewport.scrollTop / rowHeight);
    const anchor = top > 0 ? this.#items[top] : undefined;
    this.#items = items;
    this.#list.style.setProperty("block-size", `${items.length * rowHeight}px`);
    if (anchor !== undefined) {
      const anchorKey = key(anchor);
      const place = items.findIndex((item) => key(item) === anchorKey);
      if (place > top) this.#viewport.scrollTop += (place - top) * rowHeight;
    }
    this.render();
  }

  /** Move the focus into the list. */
  focus() {
    if (this.#items.length === 0) return;
    const place = this.#items.findIndex((item) => this.#how.key(item) === this.#current);
    this.#focusAt(Math.max(0, place));
  }

  /** Draw the visible rows. */
  render() {
    const { rowHeight, key, fill } = this.#how;
    const { scrollTop, clientHeight } = this.#viewport;
    const first = Math.max(0, Math.floor(scrollTop / rowHeight) - SPARE_ROWS);
    const last = Math.min(
      this.#items.length,
      Math.ceil((scrollTop + clientHeight) / rowHeight) + SPARE_ROWS,
    );
    const places = new Map();
    for (let place = first; place < last; place += 1) places.set(key(this.#items[place]), place);
    const focused = this.#rowOf(document.activeElement);
    if (focused && !places.has(focused.key)) {
      // A row that has the focus stays, even out of sight, since the focus would be lost with it.
      const place = this.#items.findIndex((item) => key(item) === focused.key);
      if (place >= 0) places.set(focused.key, place);
    }
    for (const [rowKey, row] of this.#shown) {
      if (!places.has(rowKey)) {
        row.li.remove();
        this.#shown.delete(rowKey);
        this.#pool.push(row);
      }
    }
    if (!places.has(this.#current)) this.#current = places.keys().next().value ?? "";
    for (const [rowKey, place] of places) {
      const row = this.#shown.get(rowKey) ?? this.#add(rowKey);
      row.li.style.setProperty("transform", `translateY(${place * rowHeight}px)`);
      row.li.setAttribute("aria-setsize", String(this.#items.length));
      row.li.setAttribute("aria-posinset", String(place + 1));
      row.li.dataset.place = String(place);
      row.button.tabIndex = rowKey === this.#current ? 0 : -1;
      fill(row.button, this.#items[place]);
    }
    this.#order();
    if (focused && !places.has(focused.key) && this.#items.length > 0)
      this.#focusAt(Math.min(Number(focused.li.dataset.place), this.#items.length - 1));
  }

  /** Bring the elements into the order in which they are drawn, for those who hear the list. */
  #order() {
    const before = [...this.#list.children];
    const place = (/** @type {Element} */ li) =>
      Number(/** @type {HTMLElement} */ (li).dataset.place);
    const ordered = before.toSorted((one, two) => place(one) - place(two));
    if (ordered.every((li, index) => li === before[index])) return;
    // An element that is moved loses the focus, so the others move around it.
    const focused = ordered.findIndex((li) => li.contains(document.activeElement));
    for (const li of ordered.slice(0, Math.max(0, focused))) ordered[focused].before(li);
    this.#list.append(...ordered.slice(focused + 1));
  }

  /** @param {string} rowKey */
  #add(rowKey) {
    const row = this.#pool.pop() ?? this.#build();
    row.key = rowKey;
    this.#shown.set(rowKey, row);
    this.#list.append(row.li);
    return row;
  }

  #build() {
    const button = this.#how.build();
    const row = { li: h("li", {}, button), button, key: "" };
    button.addEventListener("click", () => {
      const item = this.#items.find((each) => this.#how.key(each) === row.key);
      if (item !== undefined) this.#how.choose(item);
    });
    return row;
  }

  /** @param {Element | null} element */
  #rowOf(element) {
    const li = element?.closest("li");
    return li ? [...this.#shown.values()].find((row) => row.li === li) : undefined;
  }

  /** @param {string} rowKey */
  #makeCurrent(rowKey) {
    this.#current = rowKey;
    for (const row of this.#shown.values()) row.button.tabIndex = row.key === rowKey ? 0 : -1;
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const row = this.#rowOf(document.activeElement);
    if (!row || event.altKey || event.ctrlKey || event.metaKey) return;
    const place = Number(row.li.dataset.place);
    const page = Math.max(1, Math.floor(this.#viewport.clientHeight / this.#how.rowHeight) - 1);
    const target = {
      ArrowDown: place + 1,
      ArrowUp: place - 1,
      PageDown: place + page,
      PageUp: place - page,
      Home: 0,
      End: this.#items.length - 1,
    }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    this.#focusAt(Math.min(this.#items.length - 1, Math.max(0, target)));
  }

  /** @param {number} place */
  #focusAt(place) {
    const { rowHeight, key } = this.#how;
    const top = place * rowHeight;
    const { scrollTop, clientHeight } = this.#viewport;
    if (top < scrollTop) this.#viewport.scrollTop = top;
    if (top + rowHeight > scrollTop + clientHeight)
      this.#viewport.scrollTop = top + rowHeight - clientHeight;
    this.#current = key(this.#items[place]);
    this.render();
    this.#shown.get(this.#current)?.button.focus({ preventScroll: true });
  }
}
