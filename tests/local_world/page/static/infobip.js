/** The tab with the switches for trouble at Infobip. */

import { ApiError, get, post } from "./api.js";
import { button, field, fill, h, setText } from "./elements.js";
import { duration, plural } from "./formats.js";

const SWITCHES = [
  [
    "rate-limit",
    "429 Too many requests",
    "Infobip refuses each send for its rate. Messages wait, and are sent afterwards.",
  ],
  [
    "server-error",
    "500 Server error",
    "Each send fails with status 500, so whether it was sent is unknown.",
  ],
  [
    "lost-answers",
    "Lost answers",
    "Infobip accepts each send, and the connection breaks before the answer arrives. The logs tell whether it was sent.",
  ],
  [
    "cut-reports",
    "Cut reports",
    "Each page of reports breaks off in the middle. Infobip gives no report a second time, so the logs settle its messages.",
  ],
  ["log-lag", "Slow logs", "The logs show a message a minute after it was accepted."],
  ["no-credit", "Out of credit", "Infobip refuses each message: REJECTED_NOT_ENOUGH_CREDITS."],
];
const OUTAGE = "outage";

export class InfobipView {
  /** @type {Map<string, HTMLElement>} */
  #switches = new Map();
  #timer = 0;
  /** How often the server was asked, and how many of its answers are still to come. */
  #asked = 0;
  #pending = 0;
  /** Whether the error that is shown is about what the user did, and not about the connection. */
  #isUsersError = false;

  /** @param {HTMLElement} panel */
  constructor(panel) {
    this.#error = h("p", { class: "error", role: "alert", hidden: true });
    this.#pace = h("p", { class: "quiet" });
    this.#seconds = /** @type {HTMLInputElement} */ (
      h("input", {
        id: "outage-seconds",
        type: "number",
        min: "1",
        max: "3600",
        value: "30",
        inputmode: "numeric",
      })
    );
    this.#outage = button("secondary", "Outage", () => this.#toggleOutage(), {
      "aria-describedby": "outage-text",
    });
    this.#outageText = h("p", { id: "outage-text", class: "quiet small" });
    fill(
      panel,
      h(
        "div",
        { class: "infobip" },
        h("h2", {}, "Trouble at Infobip"),
        h(
          "p",
          { class: "quiet" },
          "Each switch holds for all messages until it is switched off. What was accepted before keeps its course.",
        ),
        this.#error,
        h(
          "ul",
          { class: "switches", role: "list" },
          SWITCHES.map(([name, label, text]) =>
            h(
              "li",
              { class: "switch-row" },
              this.#switch(name, label),
              h("p", { class: "quiet small", id: `about-${name}` }, text),
            ),
          ),
          h(
            "li",
            { class: "switch-row" },
            h("div", { class: "outage" }, field("Seconds", this.#seconds), this.#outage),
            this.#outageText,
          ),
        ),
        h("h3", {}, "Pace"),
        this.#pace,
      ),
    );
  }

  #error;
  #pace;
  #seconds;
  #outage;
  #outageText;
  #left = 0;

  /** Keep the switches up to date while the tab is open. @param {boolean} isOpen */
  show(isOpen) {
    clearInterval(this.#timer);
    if (!isOpen) return;
    this.#poll();
    // The simulator's own control interface moves the same switches.
    this.#timer = window.setInterval(() => {
      if (!document.hidden && this.#pending === 0) this.#poll();
    }, 1000);
  }

  /** @param {string} name @param {string} label */
  #switch(name, label) {
    const button = h(
      "button",
      {
        type: "button",
        role: "switch",
        class: "switch",
        "aria-checked": "false",
        "aria-describedby": `about-${name}`,
        on: {
          click: () =>
            this.#call(() =>
              post("/api/infobip", {
                switch: name,
                on: button.getAttribute("aria-checked") !== "true",
              }),
            ),
        },
      },
      h(
        "span",
        { class: "switch-track", "aria-hidden": "true" },
        h("span", { class: "switch-thumb" }),
      ),
      h("span", {}, label),
    );
    this.#switches.set(name, button);
    return button;
  }

  #toggleOutage() {
    const isOn = this.#left > 0;
    const seconds = Number(this.#seconds.value);
    if (!isOn && !(seconds > 0)) {
      this.#isUsersError = true;
      this.#fail("Seconds must be a number greater than 0.");
      this.#seconds.focus();
      return;
    }
    this.#call(() =>
      post(
        "/api/infobip",
        isOn ? { switch: OUTAGE, on: false } : { switch: OUTAGE, on: true, seconds },
      ),
    );
  }

  #poll() {
    return this.#call(() => get("/api/infobip"), false);
  }

  /** @param {() => Promise<any>} ask @param {boolean} [byUser] whether it changes something */
  async #call(ask, byUser = true) {
    const asked = (this.#asked += 1);
    this.#pending += 1;
    try {
      const answer = await ask();
      // An earlier answer may hold what was so before a change.
      if (asked === this.#asked) this.#render(answer);
      if (byUser || !this.#isUsersError) this.#error.hidden = true;
      if (byUser) this.#isUsersError = false;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (byUser) this.#isUsersError = true;
      if (byUser || !this.#isUsersError) this.#fail(error.message);
    } finally {
      this.#pending -= 1;
    }
  }

  /** @param {string} sentence */
  #fail(sentence) {
    setText(this.#error, sentence);
    this.#error.hidden = false;
  }

  /** @param {any} answer */
  #render({ switches, validitySeconds, stepSeconds }) {
    for (const [name, button] of this.#switches)
      button.setAttribute("aria-checked", String(Boolean(switches[name])));
    this.#left = switches[OUTAGE] ?? 0;
    setText(this.#outage, this.#left > 0 ? "End the outage" : "Outage");
    setText(
      this.#outageText,
      this.#left > 0
        ? `No call reaches Infobip for ${plural(Math.ceil(this.#left), "more second", "more seconds")}.`
        : "For so long, each connection to Infobip breaks. Messages wait, and are sent afterwards.",
    );
    setText(
      this.#pace,
      `A step takes ${duration(stepSeconds)}. One that stays silent ends after ${duration(validitySeconds)}, unless its content has a validity period.`,
    );
  }
}
