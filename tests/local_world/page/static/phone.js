/** The selected phone as a device: push banners, SMS bubbles, and the other channels. */

import { ApiError, get, post } from "./api.js";
import { fill, foreign, h, icon, reconcile, setText } from "./elements.js";
import { address, clock, plural, priceText } from "./formats.js";
import { throttled } from "./stream.js";

const BEHAVIOURS = {
  normal: "Normal",
  "push-off": "Push is switched off",
  "no-app": "The app is not installed",
  unreachable: "Unreachable",
  slow: "Slow: each step takes 5 s",
  "opens-late": "Opens messages after 5 s",
};
/** Messages that Infobip has not accepted yet, of which only so many are shown. */
const MOST_WAITING = 20;

export class PhoneView {
  #phone = "";
  #messageId = "";
  /** @type {any} */
  #answer = null;
  /** How often the server was asked, and which of its answers is shown. */
  #asked = 0;
  #answered = 0;

  /**
   * @param {import("./stream.js").Store} store
   * @param {(messageId: string) => void} onChoose
   */
  constructor(store, onChoose) {
    this.#store = store;
    this.#onChoose = onChoose;
    this.#title = /** @type {HTMLElement} */ (document.querySelector("#phone-address"));
    this.#body = /** @type {HTMLElement} */ (document.querySelector("#phone-body"));
    this.#screen = h("div", { class: "screen-items" });
    this.#note = h("p", { class: "screen-note", hidden: true });
    this.#error = h("p", { class: "error", role: "alert", hidden: true });
    this.#scroller = h(
      "div",
      {
        class: "screen-scroller",
        tabindex: "0",
        role: "group",
        "aria-label": "Messages on this phone",
      },
      this.#note,
      this.#screen,
    );
    this.#clock = h("span", {});
    this.#select = h("select", { id: "behaviour", on: { change: () => this.#change() } });
    this.#hint = h(
      "p",
      { class: "quiet small" },
      "It holds for messages that Infobip accepts from now on.",
    );
    this.#device = h(
      "div",
      { class: "device" },
      h(
        "div",
        { class: "device-bar", "aria-hidden": "true" },
        this.#clock,
        h("span", { class: "device-camera" }),
        h("span", { class: "device-signal" }),
      ),
      this.#scroller,
      h("div", { class: "device-home", "aria-hidden": "true" }),
    );
    this.#controls = h(
      "div",
      { class: "field behaviour" },
      h("label", { for: "behaviour" }, "Behaviour of this phone"),
      this.#select,
      this.#hint,
      this.#error,
    );
    this.#load = throttled(() => this.#fetch(), 500);
    store.addEventListener("change", (event) => {
      const { detail } = /** @type {CustomEvent} */ (event);
      const concerns =
        detail.isOutdated ||
        detail.rows.some((/** @type {any} */ row) => (row.phone ?? "") === this.#phone);
      if (this.#isSelected && concerns) this.#load();
    });
    setInterval(() => this.#tick(), 1000);
    this.#showEmpty();
  }

  #store;
  #onChoose;
  #title;
  #body;
  #screen;
  #note;
  #error;
  #scroller;
  #clock;
  #select;
  #hint;
  #device;
  #controls;
  #load;
  #isSelected = false;

  /** @param {string} phone empty for messages whose recipient is unknown */
  select(phone) {
    if (this.#isSelected && phone === this.#phone) return;
    this.#phone = phone;
    this.#isSelected = true;
    this.#answer = null;
    /** @type {HTMLSelectElement} */ (this.#select).value = "";
    fill(this.#title, foreign(address(phone)));
    fill(this.#screen);
    this.#error.hidden = true;
    this.#controls.hidden = phone === "";
    fill(this.#body, this.#device, this.#controls);
    this.#tick();
    this.#fetch();
  }

  /** Mark the message that is shown beside the phone. @param {string} messageId */
  markMessage(messageId) {
    this.#messageId = messageId;
    this.#showMark();
  }

  #showEmpty() {
    fill(
      this.#body,
      h(
        "div",
        { class: "empty" },
        h("p", {}, "No phone is selected."),
        h("p", { class: "quiet" }, "Choose one in the list, or compose a message to one."),
      ),
    );
  }

  #tick() {
    if (this.#isSelected && !document.hidden)
      setText(this.#clock, clock(this.#store.now() / 1000).slice(-8, -3));
  }

  async #fetch() {
    const phone = this.#phone;
    if (phone === "") {
      this.#answer = { messages: [], behaviour: "normal", more: false };
      this.#render();
      return;
    }
    const asked = (this.#asked += 1);
    try {
      const answer = await get(`/api/phones/${encodeURIComponent(phone)}`);
      if (phone !== this.#phone || asked < this.#answered) return;
      [this.#answer, this.#answered] = [answer, asked];
      this.#error.hidden = true;
      this.#render();
    } catch (error) {
      if (phone === this.#phone) this.#fail(error);
    }
  }

  #render() {
    const { messages, behaviour, more } = this.#answer;
    const known = new Set(messages.map((/** @type {any} */ each) => each.id));
    const rows = [...(this.#store.phones.get(this.#phone)?.rows.values() ?? [])];
    const waiting = rows
      .filter((row) => row.steps.length === 0 && !known.has(row.id))
      .slice(-MOST_WAITING);
    const items = [
      ...messages.flatMap((/** @type {any} */ message) =>
        message.steps.map((/** @type {any} */ step, /** @type {number} */ index) => ({
          id: message.id,
          index,
          step,
        })),
      ),
      ...waiting.map((row) => ({ id: row.id, index: -1, row })),
    ];
    const wasAtEnd =
      this.#scroller.scrollHeight - this.#scroller.scrollTop - this.#scroller.clientHeight < 40;
    reconcile(this.#screen, items, {
      key: (item) => `${item.id} ${item.index}`,
      version: (item) => JSON.stringify(item),
      build: (item) => (item.row ? this.#waiting(item.row) : this.#item(item)),
    });
    this.#note.hidden = items.length > 0 && !more;
    fill(
      this.#note,
      items.length === 0 ? "Nothing has arrived here." : "Only the newest 100 messages are shown.",
    );
    this.#showMark();
    this.#showBehaviour(behaviour);
    if (wasAtEnd) this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #showMark() {
    for (const each of this.#screen.children) {
      const isShown = /** @type {HTMLElement} */ (each).dataset.id === this.#messageId;
      each.classList.toggle("is-shown", isShown);
    }
  }

  /** @param {any} behaviour */
  #showBehaviour(behaviour) {
    const options = Object.entries(BEHAVIOURS).map(([value, label]) =>
      h("option", { value }, label),
    );
    if (!(behaviour in BEHAVIOURS))
      options.push(h("option", { value: "custom", disabled: true }, "Custom, set elsewhere"));
    if (this.#select.children.length !== options.length) fill(this.#select, options);
    const select = /** @type {HTMLSelectElement} */ (this.#select);
    if (document.activeElement !== select || select.value === "")
      select.value = behaviour in BEHAVIOURS ? behaviour : "custom";
  }

  /** @param {{id: string, index: number, step: any}} item */
  #item({ id, step }) {
    const isDelivered = step.groupName === "DELIVERED";
    const canOpen = isDelivered && !step.openedAt;
    const kind = isDelivered ? kindOf(step.channel) : "ghost";
    const button = h(
      "button",
      {
        type: "button",
        class: `item ${kind}`,
        dataset: { id, channel: step.channel, unread: String(canOpen) },
        on: { click: () => this.#choose(id, canOpen) },
      },
      isDelivered ? delivered(step) : missing(step),
    );
    return button;
  }

  /** @param {import("./stream.js").Row} row */
  #waiting(row) {
    return h(
      "button",
      {
        type: "button",
        class: "item ghost",
        dataset: { id: row.id },
        on: { click: () => this.#onChoose(row.id) },
      },
      h("span", { class: "item-head" }, row.state ?? "Not in the table"),
      h("span", { class: "item-text" }, "Infobip has not accepted ", foreign(row.id), "."),
    );
  }

  /** @param {string} id @param {boolean} canOpen */
  async #choose(id, canOpen) {
    this.#onChoose(id);
    if (!canOpen) return;
    const phone = this.#phone;
    try {
      await post(`/api/messages/${encodeURIComponent(id)}/open`);
      this.#load();
    } catch (error) {
      if (phone === this.#phone) this.#fail(error);
    }
  }

  async #change() {
    const select = /** @type {HTMLSelectElement} */ (this.#select);
    const phone = this.#phone;
    try {
      const { behaviour } = await post(`/api/phones/${encodeURIComponent(phone)}`, {
        behaviour: select.value,
      });
      if (phone !== this.#phone) return;
      if (this.#answer) this.#answer.behaviour = behaviour;
      this.#error.hidden = true;
      // An answer that is still on its way may hold the behaviour before the change.
      this.#answered = this.#asked + 1;
      this.#load();
    } catch (error) {
      if (phone !== this.#phone) return;
      if (this.#answer) this.#showBehaviour(this.#answer.behaviour);
      this.#fail(error);
    }
  }

  /** @param {unknown} error */
  #fail(error) {
    if (!(error instanceof ApiError)) throw error;
    fill(this.#error, error.message);
    this.#error.hidden = false;
  }
}

/** @param {string} channel */
function kindOf(channel) {
  if (channel === "PUSH") return "banner";
  return channel === "SMS" ? "bubble" : "transcript";
}

/** What a step that was delivered looks like on the phone. @param {any} step */
function delivered(step) {
  const title = step.content?.notificationOptions?.title ?? step.content?.subject;
  const extras = [
    step.channel === "SMS" && plural(step.messageCount ?? 1, "part"),
    step.channel !== "PUSH" &&
      priceText(step.price, step.channel === "SMS" ? step.messageCount : 1),
  ].filter(Boolean);
  return [
    h(
      "span",
      { class: "item-head" },
      h("span", { class: "app", dataset: { channel: step.channel } }, icon(step.channel)),
      foreign(step.from ?? step.channel, "item-sender"),
      h("span", { class: "item-channel" }, step.channel),
      h("time", {}, clock(step.endedAt ?? step.startedAt)),
    ),
    title && foreign(title, "item-title"),
    foreign(step.text || otherContent(step), `item-text${isLong(step.text) ? " is-long" : ""}`),
    h(
      "span",
      { class: "item-foot" },
      h("span", {}, step.openedAt ? `Opened ${clock(step.openedAt)}` : "Delivered, unread"),
      extras.length > 0 && h("span", {}, extras.join(" · ")),
    ),
  ];
}

/** What a step that has not arrived looks like, which a real phone would not show. @param {any} step */
function missing(step) {
  const isRunning = step.groupName === "PENDING";
  return [
    h(
      "span",
      { class: "item-head" },
      h("span", { class: "app", dataset: { channel: step.channel } }, icon(step.channel)),
      h(
        "span",
        { class: "item-sender" },
        isRunning ? `${step.channel} on its way` : `${step.channel} did not arrive`,
      ),
      h("time", {}, clock(step.endedAt ?? step.startedAt)),
    ),
    h("span", { class: "item-text reason" }, isRunning ? "" : step.status),
  ];
}

/** Whether the phone shows only the beginning of a text; its timeline shows all. @param {string | null} text */
function isLong(text) {
  return text !== null && (text.length > 320 || text.split("\n").length > 10);
}

/** @param {any} step */
function otherContent(step) {
  const content = step.content ?? {};
  return (
    content.templateName ??
    content.imageUrl ??
    content.imageURL ??
    content.url ??
    content.altText ??
    `${step.channel} without text`
  );
}
