/** The form of an event. It shows the event's members, and changes only those that are edited. */

import { field, fill, foreign, h } from "./elements.js";

/** The member of an event that holds a channel's content. */
const MEMBERS = {
  SMS: "sms",
  EMAIL: "email",
  VOICE: "voice",
  PUSH: "push",
  VIBER: "viber",
  LINE: "line",
  VKONTAKTE: "vKontakte",
  KAKAO_CHINGU: "kakaoChingu",
  KAKAO_ALIM: "kakaoAlim",
  WHATSAPP: "whatsApp",
};

const RECIPIENT_HINT =
  "The last four digits decide in the simulator: for 0002 the push fails, for 0003 every step, " +
  "and for 0005 the push stays silent.";

/** @typedef {{name: string, slug: string, flow: {channel: string, from?: string}[]}} Scenario */
/** @typedef {(string | number)[]} Path names of members, and positions in lists */
/** @typedef {{name: string, path: Path, input: HTMLInputElement, error: HTMLElement}} Field */

export class EventForm {
  /** @type {Field[]} */
  #fields = [];
  /** What the present fields were built for. */
  #shape = "";

  element = /** @type {HTMLFieldSetElement} */ (
    h("fieldset", { class: "form-fields", "aria-label": "Event as a form" })
  );

  /** @param {(path: Path, value: string | undefined) => void} onEdit undefined removes the member */
  constructor(onEdit) {
    this.#onEdit = onEdit;
  }

  #onEdit;

  /**
   * Show an event, or nothing that can be edited if there is none.
   *
   * @param {any} event null if the text is not a JSON object
   * @param {Scenario[]} scenarios
   */
  show(event, scenarios) {
    this.element.disabled = event === null;
    if (event === null) return;
    const scenario = scenarios.find((each) => [each.slug, each.name].includes(event.scenario));
    const channels = scenario
      ? [...new Set(scenario.flow.map((each) => each.channel))]
      : Object.keys(MEMBERS).filter((each) => memberOf(each) in event);
    const count = Array.isArray(event.destinations) ? event.destinations.length : 0;
    const options = scenarioOptions(event.scenario, scenarios, scenario);
    const shape = JSON.stringify([channels, count, options]);
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.#build(channels, count, options);
    }
    for (const { input, path } of this.#fields) {
      const isTyped = input === document.activeElement && input.tagName !== "SELECT";
      if (!isTyped) input.value = String(valueAt(event, path) ?? "");
    }
  }

  /**
   * Show a broken rule beside the field that it names, and nothing beside the others.
   *
   * @param {{field: string, rule: string}} [broken]
   */
  showBroken(broken) {
    const named =
      broken &&
      (this.#fields.find(({ name }) => name === broken.field) ??
        this.#fields.find(({ name }) => name.startsWith(`${broken.field}.`)));
    for (const each of this.#fields) {
      const isNamed = each === named;
      if (isNamed) each.input.setAttribute("aria-invalid", "true");
      else each.input.removeAttribute("aria-invalid");
      each.error.hidden = !isNamed;
      if (isNamed && broken) {
        fill(each.error, foreign(broken.field, "code"), " ", foreign(broken.rule));
      }
    }
  }

  /** @param {string[]} channels @param {number} count of destinations in a list @param {[string, string][]} options */
  #build(channels, count, options) {
    const focused = document.activeElement?.id ?? "";
    this.#fields = [];
    const [at, prefix] = count > 0 ? [["destinations", 0], "destinations[0]."] : [[], ""];
    const line = () => h("input", { autocomplete: "off", spellcheck: "false" });
    const select = h(
      "select",
      {},
      options.map(([value, label]) => h("option", { value }, label)),
    );
    const phone = h("input", { inputmode: "tel", autocomplete: "off" });
    const hasEmail = channels.includes("EMAIL");
    fill(
      this.element,
      this.#field("Scenario", "scenario", ["scenario"], select),
      this.#field("Message id", `${prefix}messageId`, [...at, "messageId"], line()),
      this.#field("Recipient", `${prefix}to.phoneNumber`, [...at, "to", "phoneNumber"], phone, {
        hint: RECIPIENT_HINT,
        class: "wide",
      }),
      hasEmail &&
        this.#field(
          "E-mail address",
          `${prefix}to.emailAddress`,
          [...at, "to", "emailAddress"],
          line(),
        ),
      hasEmail && this.#field("Subject of EMAIL", "email.subject", ["email", "subject"], line()),
      count > 1 &&
        h(
          "p",
          { class: "quiet small wide" },
          `The event has ${count} destinations. The form shows the first.`,
        ),
      channels.map((channel) => {
        const member = memberOf(channel);
        const text = h("textarea", { rows: "2", dir: "auto" });
        return this.#field(`Text of ${channel}`, `${member}.text`, [member, "text"], text, {
          class: "wide",
        });
      }),
    );
    // The field that was edited may be a new element now.
    if (focused.startsWith("event-") && !document.activeElement?.id) {
      document.getElementById(focused)?.focus();
    }
  }

  /**
   * @param {string} label
   * @param {string} name the field's name in the sender's errors
   * @param {Path} path
   * @param {HTMLElement} element
   * @param {{hint?: string, class?: string}} [more]
   */
  #field(label, name, path, element, more = {}) {
    const input = /** @type {HTMLInputElement} */ (element);
    input.id = `event-${label.toLowerCase().replaceAll(" ", "-")}`;
    const error = h("p", { class: "error", id: `${input.id}-error`, hidden: true });
    // What is empty is left out, so the event can lack what is optional.
    const edit = () => this.#onEdit(path, input.value === "" ? undefined : input.value);
    input.addEventListener(input.tagName === "SELECT" ? "change" : "input", edit);
    this.#fields.push({ name, path, input, error });
    return field(label, input, { ...more, error });
  }
}

/**
 * @param {unknown} named the scenario that the event names
 * @param {Scenario[]} scenarios
 * @param {Scenario | undefined} scenario the one of that name
 * @returns {[string, string][]} values with their labels
 */
function scenarioOptions(named, scenarios, scenario) {
  /** @type {[string, string][]} */
  const options = scenarios.map((each) => [
    each === scenario ? String(named) : each.slug,
    `${each.name}: ${each.flow.map((step) => step.channel).join(", ")}`,
  ]);
  options.unshift(["", "The account's default scenario"]);
  if (named !== undefined && !scenario) options.push([String(named), `${named} (not registered)`]);
  return options;
}

/** @param {any} event @param {Path} path */
function valueAt(event, path) {
  return path.reduce((at, part) => at?.[part], event);
}

/**
 * Return the member of an event that holds a channel's content.
 *
 * @param {string} channel
 */
export function memberOf(channel) {
  return MEMBERS[/** @type {keyof typeof MEMBERS} */ (channel)] ?? channel.toLowerCase();
}
