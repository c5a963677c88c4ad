/**
 * Builds and updates elements. Texts only ever become text nodes, so what a message holds is never
 * read as HTML.
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Build an element.
 *
 * @param {string} tag its name
 * @param {Record<string, any>} [properties] attributes; `on` holds listeners by event,
 *     `dataset` holds data attributes. null, undefined and false leave an attribute out, and true
 *     writes it without a value.
 * @param {...any} children nodes and texts that it holds, in lists of any depth; null, undefined and
 *     false are left out
 * @returns {HTMLElement}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value))
        element.addEventListener(event, listener);
    } else if (name === "dataset") {
      Object.assign(element.dataset, value);
    } else if (name === "value" || name === "disabled" || name === "checked" || name === "open") {
      /** @type {any} */ (element)[name] = value;
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  element.append(...nodes(children));
  return element;
}

/** @param {any[]} children children, in lists of any depth */
function nodes(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

/**
 * Build a button.
 *
 * @param {"primary" | "secondary" | "danger" | "link"} kind how it looks
 * @param {any} label
 * @param {() => void} act what it does
 * @param {Record<string, any>} [properties] further properties, as of `h`
 */
export function button(kind, label, act, properties = {}) {
  return h("button", { type: "button", class: kind, on: { click: act }, ...properties }, label);
}

/**
 * Build a field with its label, a hint, and a place for an error.
 *
 * @param {string} label
 * @param {HTMLElement} input with an id
 * @param {{hint?: string, error?: HTMLElement, class?: string}} [more]
 */
export function field(label, input, { hint, error, class: className = "" } = {}) {
  const hintId = `${input.id}-hint`;
  const described = [hint && hintId, error?.id].filter(Boolean).join(" ");
  if (described) input.setAttribute("aria-describedby", described);
  return h(
    "div",
    { class: `field ${className}` },
    h("label", { for: input.id }, label),
    input,
    hint && h("p", { class: "quiet small", id: hintId }, hint),
    error,
  );
}

/**
 * Show a text of unknown script and direction, so it cannot reorder what surrounds it.
 *
 * @param {unknown} text
 * @param {string} [className]
 */
export function foreign(text, className) {
  return h("bdi", { dir: "auto", class: className }, String(text ?? ""));
}

/**
 * Replace what an element holds.
 *
 * @param {Element} element
 * @param {...any} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
}

/**
 * Change a text only if it differs, so that nothing is laid out anew without need.
 *
 * @param {Element} element
 * @param {unknown} text
 */
export function setText(element, text) {
  const written = String(text ?? "");
  if (element.textContent !== written) element.textContent = written;
}

/**
 * Bring the children of a container in line with items: only what changed is built anew, and what
 * has the focus keeps it.
 *
 * @template T
 * @param {HTMLElement} container
 * @param {T[]} items
 * @param {{key: (item: T) => string, version: (item: T) => string, build: (item: T) => HTMLElement}} how
 *     `version` is a text that changes whenever the element has to be built anew
 */
export function reconcile(container, items, { key, version, build }) {
  const present = new Map();
  for (const child of [...container.children]) {
    present.set(/** @type {HTMLElement} */ (child).dataset.key, child);
  }
  let place = container.firstElementChild;
  for (const item of items) {
    const itemKey = key(item);
    const itemVersion = version(item);
    let element = present.get(itemKey);
    present.delete(itemKey);
    if (element === undefined || element.dataset.version !== itemVersion) {
      const fresh = build(item);
      fresh.dataset.key = itemKey;
      fresh.dataset.version = itemVersion;
      if (element !== undefined) {
        const hadFocus = element.contains(document.activeElement);
        keepOpen(element, fresh);
        if (place === element) place = fresh;
        element.replaceWith(fresh);
        if (hadFocus) focusable(fresh)?.focus({ preventScroll: true });
      }
      element = fresh;
    }
    if (place !== null && element === place) place = place.nextElementSibling;
    else container.insertBefore(element, place);
  }
  const focused = [...container.children].findIndex((each) =>
    each.contains(document.activeElement),
  );
  const hadFocus = focused >= 0;
  for (const leftover of present.values()) leftover.remove();
  if (hadFocus && !container.contains(document.activeElement)) {
    // The keyboard goes on in the neighbour of what is gone, or in the empty list.
    const near = /** @type {HTMLElement} */ (
      container.children[Math.min(focused, items.length - 1)] ?? container
    );
    container.tabIndex = -1;
    (focusable(near) ?? container).focus();
  }
}

/** @param {Element} old @param {Element} fresh */
function keepOpen(old, fresh) {
  const before = old.querySelectorAll("details");
  fresh.querySelectorAll("details").forEach((each, index) => {
    each.open = before[index]?.open ?? each.open;
  });
}

/** @param {HTMLElement} element @returns {HTMLElement | null} */
function focusable(element) {
  const selector = "button, [href], input, select, textarea, summary";
  return element.matches(selector) ? element : element.querySelector(selector);
}

/** What each icon draws, in a box of 24 by 24. */
const ICONS = {
  PUSH: "M12 3a6 6 0 0 0-6 6v4l-2 3v1h16v-1l-2-3V9a6 6 0 0 0-6-6Zm-2.5 16a2.5 2.5 0 0 0 5 0h-5Z",
  SMS: "M4 4h16a2 2 0 0 1 2 2v9a2 2 0 0 1-2 2h-8l-5 4v-4H4a2 2 0 0 1-2-2V6a2 2 0 0 1 2-2Zm3 5v2h10V9H7Zm0 3.5v1.5h6v-1.5H7Z",
  EMAIL:
    "M3 5h18a1 1 0 0 1 1 1v1l-10 6L2 7V6a1 1 0 0 1 1-1Zm-1 4 10 6 10-6v9a1 1 0 0 1-1 1H3a1 1 0 0 1-1-1V9Z",
  VOICE:
    "M6.6 2.8 9.5 7 8 9.5c1 2.300 3.200 4.500 5.500 5.500L16 13.500l5.200 2.900-.9 3.700c-.2.700-.8 1.200-1.500 1.200C10.300 21.300 2.700 13.700 2.700 5.200c0-.7.500-1.300 1.200-1.500l2.700-.9Z",
  CHAT: "M12 3c5.500 0 10 3.800 10 8.500S17.500 20 12 20c-1.200 0-2.400-.2-3.500-.5L3 21.500l1.600-4.200C3 15.800 2 13.700 2 11.500 2 6.800 6.500 3 12 3Z",
};

/**
 * Draw the icon of a channel, which is decoration.
 *
 * @param {string | null} channel
 */
export function icon(channel) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[/** @type {keyof typeof ICONS} */ (channel)] ?? ICONS.CHAT);
  svg.append(path);
  return svg;
}

/**
 * Show JSON as text that can be read, in a box that can be scrolled by keyboard.
 *
 * @param {unknown} value
 * @param {string} label its accessible name
 */
export function json(value, label) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return h(
    "pre",
    { class: "json", tabindex: "0", role: "group", "aria-label": label },
    foreign(text),
  );
}
