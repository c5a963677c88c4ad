/** The tab that composes an event: as a form and as JSON, which follow each other. */

import { ApiError, get, invoke, post } from "./api.js";
import { fill, foreign, h, setText } from "./elements.js";
import { change, JsonTextError, read } from "./json_text.js";

/** Milliseconds after the last change, when the event is checked. */
const CHECK_AFTER = 250;
/** The member of an event that holds a channel's content. */
const MEMBERS = {
  SMS: "sms", EMAIL: "email", VOICE: "voice", PUSH: "push", VIBER: "viber", LINE: "line", VKONTAKTE: "vKontakte",
  KAKAO_CHINGU: "kakaoChingu", KAKAO_ALIM: "kakaoAlim", WHATSAPP: "whatsApp",
};
const EXAMPLE_SCENARIO = {
  name: "Order updates",
  flow: [{ from: "acme-mobile-app", channel: "PUSH" }, { from: "Acme", channel: "SMS" }],
};
/** Recipients whose last four digits decide in the simulator how their messages fare. */
const RECIPIENTS = {
  "385915550101": "the first step delivers",
  "385915550002": "the push fails, the next step delivers",
  "385915550003": "every step fails",
  "385915550004": "refused immediately",
  "385915550005": "the push stays silent until its time is over",
  "385915550007": "every step stays silent",
};
const TEXT = "Your parcel is on its way.";

/** @typedef {{name: string, slug: string, flow: {channel: string, from?: string}[]}} Scenario */
/** @typedef {{path: string, get: (event: any) => unknown, set: (value: string) => void, input: HTMLInputElement, error: HTMLElement}} Field */

export class Compose {
  /** @type {Scenario[]} */
  #scenarios = [];
  /** @type {Field[]} */
  #fields = [];
  /** The event as the text has it; null while the text is not a JSON object. @type {any} */
  #event = null;
  #freshId = "";
  #channels = "";
  #timer = 0;
  #checks = 0;
  /** The answer to the last check, if it is about the present text. @type {any} */
  #checked = null;

  /** @param {HTMLElement} panel @param {{onSent: (sent: {messageIds: string[], phones: string[]}) => void}} actions */
  constructor(panel, { onSent }) {
    this.#onSent = onSent;
    this.#start = /** @type {HTMLSelectElement} */ (h("select", { id: "start-from", on: { change: () => this.#startFrom() } }));
    this.#notice = h("div", { class: "notice", dataset: { tone: "info" }, hidden: true });
    this.#form = /** @type {HTMLFieldSetElement} */ (h("fieldset", { class: "form-fields", "aria-label": "Event as a form" }));
    this.#text = /** @type {HTMLTextAreaElement} */ (h("textarea", {
      id: "event-json", class: "code-area", rows: "14", spellcheck: "false", autocomplete: "off", "aria-describedby": "check", dir: "ltr",
      on: { input: () => this.#onText(), keydown: (/** @type {KeyboardEvent} */ event) => this.#onKey(event) },
    }));
    this.#check = h("div", { id: "check", class: "check", role: "status", dataset: { testid: "check", tone: "quiet" } });
    this.#send = h("button", { type: "button", class: "primary", on: { click: () => this.#put() } }, "Put it on the queue");
    this.#said = h("p", { class: "said small", role: "status" });
    fill(panel, h("div", { class: "form" },
      h("div", { class: "pane-title" }, h("h2", {}, "Compose an event"),
        h("div", { class: "field start-from" }, h("label", { for: "start-from" }, "Start from"), this.#start)),
      this.#notice,
      this.#form,
      h("div", { class: "field" }, h("label", { for: "event-json" }, "Event as JSON"), this.#text),
      this.#check,
      h("div", { class: "actions" }, this.#send, h("span", { class: "quiet small" }, "It goes on the queue unchanged, even if it breaks a rule.")),
      this.#said));
  }

  #onSent;
  #start;
  #notice;
  #form;
  #text;
  #check;
  #send;
  #said;
  /** @type {{name: string, text: string}[]} */
  #examples = [];

  /** Load the scenarios and the examples, and begin with an event that can be sent. */
  async start() {
    try {
      const { scenarios, examples } = await get("/api/compose");
      [this.#scenarios, this.#examples] = [scenarios, examples];
    } catch (error) {
      this.#fail(error, "Try again", () => this.start());
      return;
    }
    this.#notice.hidden = this.#scenarios.length > 0;
    if (this.#scenarios.length === 0) this.#offerScenario();
    fill(this.#start, h("option", { value: "-1" }, "A new event"), this.#examples.map((each, index) => h("option", { value: index }, each.name)));
    if (this.#text.value === "" || this.#text.value === this.#untouched) this.#setText(this.#defaultText());
    else this.#onText();
  }

  #untouched = "";

  #offerScenario() {
    this.#notice.dataset.tone = "info";
    fill(this.#notice,
      h("p", {}, "No scenario is registered yet. A scenario holds the flow of channels, such as PUSH, then SMS."),
      h("button", { type: "button", class: "primary", on: { click: () => this.#createScenario() } }, "Create the example scenario"));
  }

  async #createScenario() {
    try {
      await invoke("create_scenario", EXAMPLE_SCENARIO);
      await this.start();
    } catch (error) {
      this.#fail(error, "Create the example scenario", () => this.#createScenario());
    }
  }

  /** @param {unknown} error @param {string} label @param {() => void} again */
  #fail(error, label, again) {
    if (!(error instanceof ApiError)) throw error;
    this.#notice.dataset.tone = "bad";
    fill(this.#notice, h("p", {}, error.message), h("button", { type: "button", class: "secondary", on: { click: again } }, label));
    this.#notice.hidden = false;
  }

  // --- The text ---------------------------------------------------------------------------------

  #defaultText() {
    this.#freshId = newId();
    const [scenario] = this.#scenarios;
    const contents = (scenario?.flow ?? EXAMPLE_SCENARIO.flow).map(({ channel }) => [memberOf(channel), { text: channel === "PUSH" ? TEXT : `Acme: ${TEXT[0].toLowerCase()}${TEXT.slice(1)}` }]);
    const event = { scenario: scenario?.slug ?? "order-updates", messageId: this.#freshId, to: { phoneNumber: "385915550101" }, ...Object.fromEntries(contents) };
    // Small objects stay on one line, as in the files of events.
    return JSON.stringify(event, null, 2).replace(/\{\n {4}([^\n{}]*)\n {2}\}/g, "{ $1 }");
  }

  #startFrom() {
    const example = this.#examples[Number(this.#start.value)];
    if (!example) this.#setText(this.#defaultText());
    else this.#setText(example.text.includes("\n") ? example.text : JSON.stringify(JSON.parse(example.text), null, 2));
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
    this.#checks += 1;
    setText(this.#said, "");
    this.#send.toggleAttribute("disabled", text.trim() === "");
    try {
      const isObject = read(text).kind === "object";
      this.#event = isObject ? JSON.parse(text) : null;
    } catch (error) {
      if (!(error instanceof JsonTextError)) throw error;
      this.#event = null;
      this.#form.disabled = true;
      this.#show("bad", error.message);
      this.#text.setAttribute("aria-invalid", "true");
      return;
    }
    this.#text.removeAttribute("aria-invalid");
    this.#form.disabled = this.#event === null;
    if (this.#event !== null) this.#showForm();
    this.#timer = window.setTimeout(() => this.#ask(), CHECK_AFTER);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#put();
  }

  // --- The form ---------------------------------------------------------------------------------

  #scenario() {
    const { scenario } = this.#event;
    return this.#scenarios.find((each) => each.slug === scenario || each.name === scenario);
  }

  #showForm() {
    const scenario = this.#scenario();
    const channels = scenario ? scenario.flow.map((each) => each.channel) : Object.keys(MEMBERS).filter((each) => memberOf(each) in this.#event);
    const isList = Array.isArray(this.#event.destinations);
    const shape = JSON.stringify([[...new Set(channels)], isList, this.#scenarios, scenario ? "" : this.#event.scenario]);
    if (shape !== this.#channels) {
      this.#channels = shape;
      this.#buildForm([...new Set(channels)], isList);
    }
    for (const field of this.#fields) {
      const value = String(field.get(this.#event) ?? "");
      if (field.input !== document.activeElement || field.input.tagName === "SELECT") field.input.value = value;
    }
  }

  /** @param {string[]} channels @param {boolean} isList */
  #buildForm(channels, isList) {
    const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.id;
    this.#fields = [];
    const destination = isList ? ["destinations", 0] : [];
    const prefix = isList ? "destinations[0]." : "";
    const many = isList ? this.#event.destinations.length : 1;
    fill(this.#form,
      this.#field("scenario", "Scenario", ["scenario"], h("select", {}, this.#scenarioOptions()), "scenario"),
      this.#field("message-id", "Message id", [...destination, "messageId"], h("input", { autocomplete: "off", spellcheck: "false" }), `${prefix}messageId`),
      this.#field("recipient", "Recipient", [...destination, "to", "phoneNumber"], h("input", { inputmode: "tel", autocomplete: "off", list: "recipients" }), `${prefix}to.phoneNumber`,
        "The last four digits decide in the simulator: for 0002 the push fails, for 0003 every step, and for 0005 the push stays silent.", "wide"),
      h("datalist", { id: "recipients" }, Object.entries(RECIPIENTS).map(([value, label]) => h("option", { value }, label))),
      channels.includes("EMAIL") && this.#field("email-address", "E-mail address", [...destination, "to", "emailAddress"], h("input", { autocomplete: "off" }), `${prefix}to.emailAddress`),
      many > 1 && h("p", { class: "quiet small wide" }, `The event has ${many} destinations. The form shows the first.`),
      channels.includes("EMAIL") && this.#field("subject", "Subject of EMAIL", ["email", "subject"], h("input", { autocomplete: "off" }), "email.subject"),
      channels.map((channel) => this.#field(`text-${channel}`, `Text of ${channel}`, [memberOf(channel), "text"], h("textarea", { rows: "2", dir: "auto" }), `${memberOf(channel)}.text`, "", "wide")));
    if (focused && focused !== "event-json") document.getElementById(focused)?.focus();
  }

  #scenarioOptions() {
    const { scenario } = this.#event;
    const known = this.#scenarios.map((each) => h("option", { value: scenario === each.name ? each.name : each.slug }, `${each.name}: ${each.flow.map((step) => step.channel).join(", ")}`));
    const isKnown = scenario === undefined || this.#scenario();
    return [h("option", { value: "" }, "The account's default scenario"), ...known, !isKnown && h("option", { value: String(scenario) }, `${scenario} (not registered)`)];
  }

  /**
   * @param {string} id
   * @param {string} label
   * @param {(string | number)[]} path
   * @param {HTMLElement} element
   * @param {string} name the field's name in the sender's errors
   * @param {string} [hint]
   * @param {string} [width]
   */
  #field(id, label, path, element, name, hint, width = "") {
    const input = /** @type {HTMLInputElement} */ (element);
    input.id = id;
    const error = h("p", { class: "error", id: `${id}-error`, hidden: true });
    const described = [hint && `${id}-hint`, `${id}-error`].filter(Boolean).join(" ");
    input.setAttribute("aria-describedby", described);
    /** @type {Field} */
    const field = {
      path: name,
      input,
      error,
      get: (event) => path.reduce((/** @type {any} */ at, part) => at?.[part], event),
      // What is empty is left out, so the event can lack what is optional.
      set: (value) => this.#edit(path, value === "" ? undefined : value),
    };
    input.addEventListener(input.tagName === "SELECT" ? "change" : "input", () => field.set(input.value));
    this.#fields.push(field);
    return h("div", { class: `field ${width}` }, h("label", { for: id }, label), input, hint && h("p", { class: "quiet small", id: `${id}-hint` }, hint), error);
  }

  // --- Checking and sending -----------------------------------------------------------------------

  async #ask() {
    const asked = this.#checks;
    let answer;
    try {
      answer = await post("/api/check", { text: this.#text.value });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (asked === this.#checks) this.#show("bad", error.message);
      return;
    }
    if (asked !== this.#checks) return;
    this.#checked = answer;
    if (answer.ok) this.#show("good", "It follows every rule of the sender.");
    else this.#show("bad", [foreign(answer.field, "code"), " ", foreign(answer.rule)], answer);
  }

  /** @param {string} tone @param {any} content @param {{field: string, rule: string}} [broken] */
  #show(tone, content, broken) {
    this.#check.dataset.tone = tone;
    fill(this.#check, content);
    const named = broken && (this.#fields.find(({ path }) => path === broken.field) ?? this.#fields.find(({ path }) => path.startsWith(`${broken.field}.`)));
    for (const field of this.#fields) {
      const isNamed = field === named;
      field.input.toggleAttribute("aria-invalid", false);
      if (isNamed) field.input.setAttribute("aria-invalid", "true");
      field.error.hidden = !isNamed;
      if (isNamed && broken) fill(field.error, foreign(broken.field, "code"), " ", foreign(broken.rule));
    }
  }

  async #put() {
    const text = this.#text.value;
    this.#send.setAttribute("aria-busy", "true");
    try {
      const checked = this.#checked ?? (await post("/api/check", { text }).catch(() => null));
      const { recordId, messageIds } = await post("/api/send", { text });
      setText(this.#said, checked?.ok
        ? `On the queue as SQS message ${recordId}.`
        : `On the queue as SQS message ${recordId}. It breaks a rule, so it will be listed under Operate as dead-lettered.`);
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

  #renew() {
    const said = this.#said.textContent;
    this.#freshId = newId();
    this.#edit(["messageId"], this.#freshId);
    setText(this.#said, said);
  }
}

/** @param {string} channel */
function memberOf(channel) {
  return MEMBERS[/** @type {keyof typeof MEMBERS} */ (channel)] ?? channel.toLowerCase();
}

function newId() {
  return `order-${Date.now().toString(36)}`;
}
