/** The tabs, of which a narrow page has two more: the list of phones, and the phone. */

const NARROW = window.matchMedia("(max-width: 64rem)");
const NARROW_TABS = new Set(["phones", "phone"]);

export class Tabs {
  /** The tab that is open. */
  current = "message";

  /** @param {(tab: string) => void} onOpen */
  constructor(onOpen) {
    this.#onOpen = onOpen;
    this.#main = /** @type {HTMLElement} */ (document.querySelector("#main"));
    this.#list = /** @type {HTMLElement} */ (document.querySelector("#tabs"));
    this.#list.addEventListener("click", (event) => {
      const tab = /** @type {Element} */ (event.target).closest("[role=tab]");
      if (tab) this.open(/** @type {HTMLElement} */ (tab).dataset.tab ?? "message");
    });
    this.#list.addEventListener("keydown", (event) => this.#onKey(event));
    NARROW.addEventListener("change", () => this.open(this.current));
  }

  #onOpen;
  #main;
  #list;

  /** @param {string} tab */
  open(tab) {
    const isWide = !NARROW.matches;
    // The order in which the keyboard reaches the tabs follows where they are drawn.
    const before = isWide ? this.#main.querySelector("#phone") : null;
    // A move takes the focus from the tabs, so there is none without need.
    if (this.#list.previousElementSibling !== before) {
      if (before) before.after(this.#list);
      else this.#main.prepend(this.#list);
    }
    const left = document.activeElement?.closest("#main > section");
    const known = this.#tabs().some((each) => each.dataset.tab === tab);
    this.current = !known || (isWide && NARROW_TABS.has(tab)) ? "message" : tab;
    this.#main.dataset.tab = this.current;
    for (const each of this.#tabs()) {
      const isOpen = each.dataset.tab === this.current;
      each.setAttribute("aria-selected", String(isOpen));
      each.tabIndex = isOpen ? 0 : -1;
      // What had the focus is hidden now, and the keyboard would begin at the top of the page.
      if (isOpen && left && !left.checkVisibility()) each.focus();
    }
    this.#onOpen(this.current);
  }

  /** Open a tab that only a narrow page has; a wide page shows it anyway. @param {string} tab */
  reveal(tab) {
    if (NARROW.matches) this.open(tab);
  }

  /** @returns {HTMLElement[]} */
  #tabs() {
    return [...this.#list.querySelectorAll("[role=tab]")].map(
      (each) => /** @type {HTMLElement} */ (each),
    );
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const tabs = this.#tabs().filter(
      (each) => NARROW.matches || !NARROW_TABS.has(each.dataset.tab ?? ""),
    );
    const place = tabs.findIndex((each) => each === document.activeElement);
    const target = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: tabs.length - 1 }[
      event.key
    ];
    if (place < 0 || target === undefined) return;
    event.preventDefault();
    const next = tabs[(target + tabs.length) % tabs.length];
    this.open(next.dataset.tab ?? "message");
    next.focus();
  }
}
