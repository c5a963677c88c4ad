/** The list of phones: newest first, searched and filtered, with what is unread. */

import { fill, foreign, h, icon, setText } from "./elements.js";
import { address, shortClock, story, tone } from "./formats.js";
import { nextFrame } from "./stream.js";
import { VirtualList } from "./virtual_list.js";

/** @typedef {import("./stream.js").Phone} Phone */

const ROW_HEIGHT = 68;

export class PhoneList {
  /** All phones, newest first. @type {Phone[]} */
  #sorted = [];
  /** The phones whose place may have changed. @type {Set<Phone>} */
  #changed = new Set();
  #search = "";
  /** @type {string | null} */
  #state = null;
  #selected = "";

  /**
   * @param {import("./stream.js").Store} store
   * @param {(phone: Phone) => void} onChoose
   */
  constructor(store, onChoose) {
    this.#store = store;
    this.#count = /** @type {HTMLElement} */ (document.querySelector("#phones-count"));
    const viewport = /** @type {HTMLElement} */ (document.querySelector("#phones-list"));
    this.#empty = h("div", { class: "empty", hidden: true });
    viewport.before(this.#empty);
    this.#list = new VirtualList(viewport, {
      rowHeight: ROW_HEIGHT,
      label: "Phones, newest first",
      key: (phone) => phone.phone,
      build: buildRow,
      fill: (button, phone) => fillRow(button, phone, phone.phone === this.#selected),
      choose: onChoose,
    });
    const search = /** @type {HTMLInputElement} */ (document.querySelector("#search"));
    search.addEventListener("input", () => {
      this.#search = search.value
        .trim()
        .toLowerCase()
        .replace(/^\+(?=\d)/, "");
      nextFrame(this.#render);
    });
    search.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowDown") return;
      event.preventDefault();
      this.#list.focus();
    });
    store.addEventListener("change", (event) => this.#onChange(/** @type {CustomEvent} */ (event)));
  }

  #store;
  #list;
  #count;
  #empty;

  /** Show only phones with a message in this state; null shows all. @param {string | null} state */
  filterBy(state) {
    this.#state = state;
    nextFrame(this.#render);
  }

  /** Mark the selected phone. @param {string} phone */
  select(phone) {
    this.#selected = phone;
    nextFrame(this.#render);
  }

  /** The newest phone, if there is any. */
  newest() {
    this.#sort();
    return this.#sorted[0];
  }

  /** @param {CustomEvent} event */
  #onChange({ detail }) {
    if (detail.reset) {
      this.#sorted = [];
      this.#changed.clear();
    }
    for (const phone of detail.phones) this.#changed.add(phone);
    nextFrame(this.#render);
  }

  /** Move the phones that changed to their new places. */
  #sort() {
    if (this.#changed.size === 0) return;
    const rest = this.#sorted.filter((phone) => !this.#changed.has(phone));
    const moved = [...this.#changed]
      .filter((phone) => this.#store.phones.get(phone.phone) === phone)
      .sort((one, two) => two.latest.at - one.latest.at);
    this.#changed.clear();
    const merged = [];
    let next = 0;
    for (const phone of moved) {
      while (next < rest.length && rest[next].latest.at > phone.latest.at)
        merged.push(rest[next++]);
      merged.push(phone);
    }
    this.#sorted = merged.concat(rest.slice(next));
  }

  #render = () => {
    this.#sort();
    const [search, state] = [this.#search, this.#state];
    const shown =
      search === "" && state === null
        ? this.#sorted
        : this.#sorted.filter(
            (phone) =>
              (state === null || (phone.states.get(state) ?? 0) > 0) && matches(phone, search),
          );
    this.#list.setItems(shown);
    const isAll = shown.length === this.#sorted.length;
    setText(this.#count, isAll ? shown.length || "" : `${shown.length} of ${this.#sorted.length}`);
    this.#empty.hidden = shown.length > 0;
    if (shown.length === 0) {
      const isEmpty = this.#sorted.length === 0;
      fill(
        this.#empty,
        h("p", {}, isEmpty ? "No phone has a message yet." : "No phone matches."),
        h(
          "p",
          { class: "quiet" },
          isEmpty
            ? "Compose one, or put an event on the queue with make send."
            : "Clear the search, or choose All above.",
        ),
      );
    }
  };
}

/** @param {Phone} phone @param {string} search */
function matches(phone, search) {
  if (search === "" || phone.phone.toLowerCase().includes(search)) return true;
  for (const row of phone.rows.values()) {
    if (row.id.toLowerCase().includes(search) || (row.preview ?? "").toLowerCase().includes(search))
      return true;
  }
  return false;
}

function buildRow() {
  return h(
    "button",
    { type: "button", class: "phone-row" },
    h("span", { class: "dot" }),
    h(
      "span",
      { class: "phone-row-main" },
      h(
        "span",
        { class: "phone-row-top" },
        foreign("", "phone-row-address"),
        h("time", { class: "quiet" }),
      ),
      h("span", { class: "chain" }),
      foreign("", "phone-row-preview quiet"),
    ),
    h("span", { class: "badge" }),
  );
}

/** @param {HTMLElement} button @param {Phone} phone @param {boolean} isSelected */
function fillRow(button, phone, isSelected) {
  const { latest, unread } = phone;
  button.setAttribute("aria-current", String(isSelected));
  const version = `${phone.phone} ${latest.id} ${latest.version} ${unread}`;
  if (button.dataset.version === version) return;
  button.dataset.version = version;
  button.setAttribute("aria-label", `${phone.phone || "Unknown recipient"}, ${unread} unread`);
  button.setAttribute(
    "aria-description",
    [latest.state, story(latest.steps), latest.preview].filter(Boolean).join(". "),
  );
  const at = (/** @type {string} */ selector) =>
    /** @type {HTMLElement} */ (button.querySelector(selector));
  at(".dot").dataset.tone = tone(latest.state);
  setText(at(".phone-row-address"), address(phone.phone));
  setText(at("time"), shortClock(latest.at));
  setText(at(".phone-row-preview"), latest.preview || latest.id);
  setText(at(".badge"), unread > 999 ? "999+" : unread || "");
  fill(at(".chain"), chain(latest));
}

/** Draw the steps of a message as a row of marks. @param {import("./stream.js").Row} row */
function chain(row) {
  if (row.steps.length === 0) return h("span", { class: "quiet" }, row.state ?? "");
  return row.steps
    .slice(-4)
    .map((step) =>
      h(
        "span",
        { class: "mark", dataset: { tone: tone(step.group) } },
        icon(step.channel),
        sign(step.group),
      ),
    );
}

/** @param {string} group */
function sign(group) {
  return group === "DELIVERED" ? "✓" : group === "PENDING" ? "…" : "✕";
}
