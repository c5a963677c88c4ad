/** The tab of an operator: the queue, dead-lettered records, and messages that need a decision. */

import { ApiError, invoke, post } from "./api.js";
import { mover, quarantinedItem, recordItem, unresolvedItem } from "./decisions.js";
import { button, field, fill, h, reconcile, setText } from "./elements.js";
import { throttled } from "./stream.js";

/** How many entries each list asks for. */
const LIMIT = 100;

export class OperateView {
  #isOpen = false;
  #deadLettered = -1;
  #undecided = -1;

  /**
   * @param {HTMLElement} panel
   * @param {import("./stream.js").Store} store
   * @param {{onChoose: (messageId: string) => void}} actions
   */
  constructor(panel, store, { onChoose }) {
    this.#store = store;
    this.#actions = {
      onChoose,
      onDone: (/** @type {string} */ sentence) => {
        setText(this.#said, sentence);
        this.#load();
      },
    };
    this.#load = throttled(() => this.#fetch(), 1500);
    this.#waiting = h("dd", {});
    this.#dead = h("dd", {});
    this.#schedules = h(
      "fieldset",
      { class: "choices" },
      h("legend", {}, "Pull reports and search the logs"),
      this.#choice("2-seconds", "Every 2 s while this page is open"),
      this.#choice("minute", "Every minute, as deployed"),
    );
    this.#records = section("Dead-lettered records");
    this.#quarantined = section("Quarantined messages");
    this.#unresolved = section("Unresolved messages");
    this.#all = h("div", { class: "all" });
    this.#by = /** @type {HTMLInputElement} */ (
      h("input", { id: "decision-by", autocomplete: "off", maxlength: "200" })
    );
    this.#why = /** @type {HTMLInputElement} */ (
      h("input", { id: "decision-why", autocomplete: "off", maxlength: "1000" })
    );
    this.#decision = h(
      "div",
      { class: "decision" },
      field("Your name", this.#by),
      field("Reason", this.#why),
    );
    this.#quarantined.list.before(this.#decision);
    this.#error = h("p", { class: "error", role: "alert", hidden: true });
    this.#said = h("p", { class: "said small", role: "status" });
    fill(
      panel,
      h(
        "div",
        { class: "operate" },
        h(
          "div",
          { class: "pane-title" },
          h("h2", {}, "Operate"),
          button("secondary", "Refresh", () => this.#load()),
        ),
        h("p", { class: "quiet" }, "Everything here is done by the deployed functions."),
        this.#error,
        this.#said,
        h(
          "dl",
          { class: "figures" },
          h("div", {}, h("dt", {}, "On the send queue"), this.#waiting),
          h("div", {}, h("dt", {}, "Dead-lettered"), this.#dead),
        ),
        this.#schedules,
        this.#records.section,
        this.#all,
        this.#quarantined.section,
        this.#unresolved.section,
      ),
    );
    this.#records.list.after(this.#all);
    store.addEventListener("change", () => this.#onChange());
  }

  #store;
  #actions;
  #load;
  #waiting;
  #dead;
  #schedules;
  #records;
  #quarantined;
  #unresolved;
  #all;
  #by;
  #why;
  #decision;
  #error;
  #said;

  /** Load the lists whenever the tab is opened. @param {boolean} isOpen */
  show(isOpen) {
    if (isOpen && !this.#isOpen) this.#load();
    this.#isOpen = isOpen;
  }

  #onChange() {
    const { queue, schedules, states } = this.#store;
    setText(this.#waiting, queue.waiting);
    setText(this.#dead, queue.deadLettered);
    for (const each of this.#schedules.querySelectorAll("input"))
      each.checked = schedules === `every-${each.value}`;
    const undecided = states.get("QUARANTINED") ?? 0;
    const isChanged = queue.deadLettered !== this.#deadLettered || undecided !== this.#undecided;
    [this.#deadLettered, this.#undecided] = [queue.deadLettered, undecided];
    if (isChanged && this.#isOpen) this.#load();
  }

  /** @param {string} every @param {string} label */
  #choice(every, label) {
    const input = h("input", {
      type: "radio",
      name: "schedules",
      value: every,
      on: {
        change: async () => {
          try {
            await post("/api/schedules", { every });
          } catch (error) {
            this.#fail(error);
            this.#onChange();
          }
        },
      },
    });
    return h("label", {}, input, label);
  }

  async #fetch() {
    const lists = await Promise.allSettled([
      invoke("redrive_messages", { action: "list", limit: LIMIT, showContent: true }),
      invoke("find_messages", { quarantined: true, showRecipients: true, limit: LIMIT }),
      invoke("find_messages", { unresolved: true, showRecipients: true, limit: LIMIT }),
    ]);
    const failure = lists.find((each) => each.status === "rejected");
    this.#error.hidden = failure === undefined;
    if (failure?.status === "rejected") this.#fail(failure.reason);
    const [records, quarantined, unresolved] = lists.map((each) =>
      each.status === "fulfilled" ? each.value : null,
    );
    if (records) this.#renderRecords(records);
    if (quarantined) {
      const open = quarantined.messages.filter((/** @type {any} */ each) => !each.closedAt);
      this.#decision.hidden = open.length === 0;
      this.#renderList(
        this.#quarantined,
        open,
        (message) => quarantinedItem(message, { by: this.#by, why: this.#why }, this.#actions),
        "No message needs a decision.",
        quarantined.nextToken,
      );
    }
    if (unresolved) {
      this.#renderList(
        this.#unresolved,
        unresolved.messages,
        (message) => unresolvedItem(message, this.#actions),
        "The logs still hold the outcome of every message.",
        unresolved.nextToken,
      );
    }
  }

  /** @param {any} answer */
  #renderRecords({ records, hints, complete }) {
    this.#renderList(
      this.#records,
      records.map((/** @type {any} */ record) => ({ ...record, hint: hints?.[record.reason] })),
      (record) => recordItem(record, this.#actions),
      "No record is dead-lettered. Put an event that breaks a rule on the queue to practise.",
      !complete,
    );
    const movable = records.filter(
      (/** @type {any} */ record) => !("quarantinedMessageIds" in record),
    );
    const all = { action: "redrive", limit: 1000 };
    // What was begun is kept: its dry run may wait for the confirmation.
    if (movable.length < 2) fill(this.#all);
    else if (this.#all.children.length === 0)
      fill(this.#all, mover("Put all back", all, this.#actions));
  }

  /**
   * @param {{list: HTMLElement, count: HTMLElement, note: HTMLElement}} section
   * @param {any[]} items
   * @param {(item: any) => HTMLElement} build
   * @param {string} emptyText
   * @param {unknown} hasMore
   */
  #renderList({ list, count, note }, items, build, emptyText, hasMore) {
    setText(count, items.length || "");
    setText(
      note,
      items.length === 0
        ? emptyText
        : hasMore
          ? "There are more; refresh once these are dealt with."
          : "",
    );
    reconcile(list, items, {
      key: (item) => item.recordId ?? item.messageId,
      version: ({ ageSeconds, ...item }) => JSON.stringify(item),
      build,
    });
  }

  /** @param {unknown} error */
  #fail(error) {
    if (!(error instanceof ApiError)) throw error;
    setText(this.#error, error.message);
    this.#error.hidden = false;
  }
}

/** @param {string} name */
function section(name) {
  const count = h("span", { class: "count" });
  const list = h("ul", { role: "list", class: "cards", "aria-label": name });
  const note = h("p", { class: "quiet small" }, "Loading…");
  return {
    section: h("div", { class: "operate-section" }, h("h3", {}, name, " ", count), list, note),
    list,
    count,
    note,
  };
}
