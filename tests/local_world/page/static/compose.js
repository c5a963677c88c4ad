/** The tab that composes an event: as a form and as JSON, which follow each other. */

import { ApiError, get, invoke, post } from "./api.js";
import { EventForm, memberOf } from "./compose_form.js";
import { button, field, fill, foreign, h, setText } from "./elements.js";
import { change, JsonTextError, read } from "./json_text.js";

/** Milliseconds after the last change, when the event is checked. */
const CHECK_AFTER = 250;
const TEXT = "Your parcel is on its way.";

export class Compose {
  /** @type {import("./compose_form.js").Scenario[]} */
  #scenarios = [];
  /** What is offered while no scenario is registered. @type {any} */
  #exampleScenario = null;
  /** @type {{name: string, text: string}[]} */
  #examples = [];
  /** The event as the text has it; null while the text is not a JSON object. @type {any} */
  #event = null;
  /** The id that the page has made up for the next message. */
  #freshId = "";
  /** The text as it was before anything was edited. */
  #untouched = "";
  #timer = 0;
  /** How often the text has changed, so a late answer about an earlier one is ignored. */
  #edits = 0;
  /** The answer to the last check, if it is about the present text. @type {any} */
  #checked = null;

  /**
   * @param {HTMLElement} panel
   * @param {{
   *   onSent: (sent: {messageIds: string[], phones: string[]}) => void,
   *   onPhone: (address: string) => void,
   * }} actions
   */
  constructor(panel, { onSent, onPhone }) {
    this.#onSent = onSent;
    // Before its first message, a phone is in no list, and its behaviour may matter for that one.
    this.#showPhone = button("secondary", "Show its phone", () =>
      onPhone(this.#checked.phones[0]),
    );
    this.#start = /** @type {HTMLSelectElement} */ (
      h("select", { id: "start-from", on: { change: () => this.#startFrom() } })
    );
    this.#notice = h("div", { class: "notice", dataset: { tone: "info" }, hidden: true });
    this.#form = new EventForm((path, value) => this.#edit(path, value));
    this.#text = /** @type {HTMLTextAreaElement} */ (
      h("textarea", {
        id: "event-json",
        class: "code-area",
        rows: "14",
        spellcheck: "false",
        autocomplete: "off",
        dir: "ltr",
        on: {
          input: () => this.#onText(),
          keydown: (/** @type {KeyboardEvent} */ event) => this.#onKey(event),
        },
      })
    );
    this.#check = h("div", {
      id: "check",
      class: "check",
      role: "status",
      dataset: { testid: "check", tone: "quiet" },
    });
    this.#send = button("primary", "Put it on the queue", () => this.#put());
    this.#said = h("p", { class: "said small", role: "status" });
    const note = "It goes on the queue unchanged, even if it breaks a rule.";
    fill(
      panel,
      h(
        "div",
        { class: "form" },
        h(
          "div",
          { class: "pane-title" },
          h("h2", {}, "Compose an event"),
          field("Start from", this.#start, { class: "start-from" }),
        ),
        this.#notice,
        this.#form.element,
        field("Event as JSON", this.#text, { error: this.#check }),
        h(
          "div",
          { class: "actions" },
          this.#send,
          button("secondary", "New id", () => this.#renew()),
          this.#showPhone,
          h("span", { class: "quiet small" }, note),
        ),
        this.#said,
      ),
    );
  }

  #onSent;
  #showPhone;
  #start;
  #notice;
  #form;
  #text;
  #check;
  #send;
  #said;

  /** Load the scenarios and the examples, and begin with an event that can be sent. */
  async start() {
    try {
      const { scenarios, exampleScenario, examples } = await get("/api/compose");
      [this.#scenarios, this.#examples] = [scenarios, examples];
      this.#exampleScenario = exampleScenario;
    } catch (error) {
      this.#fail(error, "Try again", () => this.start());
      return;
    }
    this.#notice.hidden = this.#scenarios.length > 0;
    if (this.#scenarios.length === 0) this.#offerScenario();
    fill(
      this.#start,
      h("option", { value: "-1" }, "A new event"),
      this.#examples.map((each, index) => h("option", { value: index }, each.name)),
    );
    if (this.#text.value === "" || this.#text.value === this.#untouched)
      this.#setText(this.#defaultText());
    else this.#onText();
  }

  #offerScenario() {
    this.#notice.dataset.tone = "info";
    const sentence =
      "No scenario is registered yet. A scenario holds the flow of channels, such as PUSH, then SMS.";
    fill(
      this.#notice,
      h("p", {}, sentence),
      button("primary", "Create the example scenario", () => this.#createScenario()),
    );
  }

  async #createScenario() {
    try {
      const { name, flow } = this.#exampleScenario;
      await invoke("create_scenario", { name, flow });
      const hadFocus = this.#notice.contains(document.activeElement);
      await this.start();
      if (hadFocus && this.#notice.hidden) this.#start.focus();
    } catch (error) {
      this.#fail(error, "Create the example scenario", () => this.#createScenario());
    }
  }

  /** @param {unknown} error @param {string} label @param {() => void} again */
  #fail(error, label, again) {
    if (!(error instanceof ApiError)) throw error;
    this.#notice.dataset.tone = "bad";
    fill(this.#notice, h("p", {}, error.message), button("secondary", label, again));
    this.#notice.hidden = false;
  }

  // --- The text ---------------------------------------------------------------------------------

  #defaultText() {
    this.#freshId = newId();
    const { slug, flow } = this.#scenarios[0] ?? this.#exampleScenario;
    const contents = flow.map((/** @type {{channel: string}} */ { channel }) => [
      memberOf(channel),
      { text: channel === "PUSH" ? TEXT : `Acme: ${TEXT[0].toLowerCase()}${TEXT.slice(1)}` },
    ]);
    const event = {
      scenario: slug,
      messageId: this.#freshId,
      to: { phoneNumber: "385915550101" },
      ...Object.fromEntries(contents),
    };
    // Small objects stay on one line, as in the files of events.
    return JSON.stringify(event, null, 2).replace(/\{\n {4}([^\n{}]*)\n {2}\}/g, "{ $1 }");
  }

  #startFrom() {
    const example = this.#examples[Number(this.#start.value)];
    this.#setText(example ? indented(example.text) : this.#defaultText());
  }

  /** @param {string} text */
  #setText(text) {
    this.#text.value = text;
    this.#untouched = text;
    this.#onText();
  }

  /** @param {(string | number)[]} path @param {unknown} value */
  #edit(path, value) {
    this.#text.value = change(this.#text.value, path, value);
    this.#onText();
  }

  #onText() {
    const text = this.#text.value;
    clearTimeout(this.#timer);
    this.#checked = null;
    this.#showPhone.toggleAttribute("disabled", true);
    this.#edits += 1;
    setText(this.#said, "");
    this.#send.toggleAttribute("disabled", text.trim() === "");
    try {
      const isObject = read(text).kind === "object";
      this.#event = isObject ? JSON.parse(text) : null;
    } catch (error) {
      if (!(error instanceof JsonTextError)) throw error;
      this.#event = null;
      this.#form.show(null, this.#scenarios);
      this.#show("bad", error.message);
      this.#text.setAttribute("aria-invalid", "true");
      return;
    }
    this.#text.removeAttribute("aria-invalid");
    this.#form.show(this.#event, this.#scenarios);
    this.#timer = window.setTimeout(() => this.#ask(), CHECK_AFTER);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const isSend = event.key === "Enter" && (event.ctrlKey || event.metaKey);
    if (isSend && !event.repeat) this.#put();
  }

  // --- Checking and sending -----------------------------------------------------------------------

  async #ask() {
    const asked = this.#edits;
    let answer;
    try {
      answer = await post("/api/check", { text: this.#text.value });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (asked === this.#edits) this.#show("bad", error.message);
      return;
    }
    if (asked !== this.#edits) return;
    this.#checked = answer;
    this.#showPhone.toggleAttribute("disabled", !answer.ok);
    if (answer.ok) this.#show("good", "It follows every rule of the sender.");
    else this.#show("bad", [foreign(answer.field, "code"), " ", foreign(answer.rule)], answer);
  }

  /** @param {string} tone @param {any} content @param {{field: string, rule: string}} [broken] */
  #show(tone, content, broken) {
    this.#check.dataset.tone = tone;
    fill(this.#check, content);
    this.#form.showBroken(broken);
  }

  async #put() {
    const text = this.#text.value;
    if (text.trim() === "" || this.#send.ariaBusy === "true") return;
    this.#send.setAttribute("aria-busy", "true");
    try {
      const checked = this.#checked ?? (await post("/api/check", { text }).catch(() => null));
      const { recordId, messageIds } = await post("/api/send", { text });
      const fate =
        checked?.ok === false ? " It breaks a rule, so it will be dead-lettered: see Operate." : "";
      setText(this.#said, `On the queue as SQS message ${recordId}.${fate}`);
      if (checked?.ok) this.#onSent({ messageIds, phones: checked.phones });
      // The next event is another message, unless its author has chosen the id.
      if (this.#event?.messageId === this.#freshId) this.#renew();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setText(this.#said, error.message);
    } finally {
      this.#send.removeAttribute("aria-busy");
    }
  }

  /** Make the event another message, by an id that is not used yet. */
  #renew() {
    if (this.#event === null) return;
    const said = this.#said.textContent;
    this.#freshId = newId();
    const isList = Array.isArray(this.#event.destinations);
    this.#edit(isList ? ["destinations", 0, "messageId"] : ["messageId"], this.#freshId);
    setText(this.#said, said);
  }
}

/** Return a text of one line, such as a record's body, in several lines. @param {string} text */
function indented(text) {
  return text.includes("\n") ? text : JSON.stringify(JSON.parse(text), null, 2);
}

function newId() {
  return `order-${Date.now().toString(36)}`;
}
