/** The tab of an operator: the queue, dead-lettered records, and messages that need a decision. */

import { ApiError, invoke, post } from "./api.js";
import { fill, foreign, h, json, reconcile, setText } from "./elements.js";
import { address, clock, duration, plural } from "./formats.js";
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
    this.#onChoose = onChoose;
    this.#load = throttled(() => this.#fetch(), 1500);
    this.#waiting = h("dd", {});
    this.#dead = h("dd", {});
    this.#schedules = h("fieldset", { class: "choices" }, h("legend", {}, "Pull reports and search the logs"),
      this.#choice("2-seconds", "Every 2 s while this page is open"), this.#choice("minute", "Every minute, as deployed"));
    this.#records = section("Dead-lettered records");
    this.#quarantined = section("Quarantined messages");
    this.#unresolved = section("Unresolved messages");
    this.#all = h("div", { class: "all" });
    this.#by = /** @type {HTMLInputElement} */ (h("input", { id: "decision-by", autocomplete: "off", maxlength: "200" }));
    this.#why = /** @type {HTMLInputElement} */ (h("input", { id: "decision-why", autocomplete: "off", maxlength: "1000" }));
    this.#decision = h("div", { class: "decision" },
      h("div", { class: "field" }, h("label", { for: "decision-by" }, "Your name"), this.#by),
      h("div", { class: "field" }, h("label", { for: "decision-why" }, "Reason"), this.#why));
    this.#quarantined.list.before(this.#decision);
    this.#error = h("p", { class: "error", role: "alert", hidden: true });
    fill(panel, h("div", { class: "operate" },
      h("div", { class: "pane-title" }, h("h2", {}, "Operate"),
        h("button", { type: "button", class: "secondary", on: { click: () => this.#load() } }, "Refresh")),
      h("p", { class: "quiet" }, "Everything here invokes the deployed functions, as an operator would."),
      this.#error,
      h("dl", { class: "figures" }, h("div", {}, h("dt", {}, "On the send queue"), this.#waiting), h("div", {}, h("dt", {}, "Dead-lettered"), this.#dead)),
      this.#schedules,
      this.#records.section, this.#all, this.#quarantined.section, this.#unresolved.section));
    this.#records.list.after(this.#all);
    store.addEventListener("change", () => this.#onChange());
  }

  #store;
  #onChoose;
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

  /** Load the lists whenever the tab is opened. @param {boolean} isOpen */
  show(isOpen) {
    if (isOpen && !this.#isOpen) this.#load();
    this.#isOpen = isOpen;
  }

  #onChange() {
    const { queue, schedules, states } = this.#store;
    setText(this.#waiting, queue.waiting);
    setText(this.#dead, queue.deadLettered);
    for (const each of this.#schedules.querySelectorAll("input")) each.checked = schedules === `every-${each.value}`;
    const undecided = states.get("QUARANTINED") ?? 0;
    const isChanged = queue.deadLettered !== this.#deadLettered || undecided !== this.#undecided;
    [this.#deadLettered, this.#undecided] = [queue.deadLettered, undecided];
    if (isChanged && this.#isOpen) this.#load();
  }

  /** @param {string} every @param {string} label */
  #choice(every, label) {
    const input = h("input", { type: "radio", name: "schedules", value: every, on: {
      change: async () => {
        try {
          await post("/api/schedules", { every });
        } catch (error) {
          this.#fail(error);
          this.#onChange();
        }
      },
    } });
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
    const [records, quarantined, unresolved] = lists.map((each) => (each.status === "fulfilled" ? each.value : null));
    if (records) this.#renderRecords(records);
    if (quarantined) {
      const open = quarantined.messages.filter((/** @type {any} */ each) => !each.closedAt);
      this.#decision.hidden = open.length === 0;
      this.#renderList(this.#quarantined, open, (message) => this.#quarantinedItem(message), "No message needs a decision.", quarantined.nextToken);
    }
    if (unresolved) {
      this.#renderList(this.#unresolved, unresolved.messages, (message) => this.#unresolvedItem(message), "The logs still hold the outcome of every message.", unresolved.nextToken);
    }
  }

  /** @param {any} answer */
  #renderRecords({ records, hints, complete }) {
    this.#renderList(this.#records, records.map((/** @type {any} */ record) => ({ ...record, hint: hints?.[record.reason] })), (record) => this.#recordItem(record),
      "No record is dead-lettered. Put an event that breaks a rule on the queue to practise.", !complete);
    const movable = records.filter((/** @type {any} */ record) => !("quarantinedMessageIds" in record));
    fill(this.#all, movable.length > 1 && this.#mover("Put all back", { action: "redrive", limit: 1000 }));
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
    setText(note, items.length === 0 ? emptyText : hasMore ? "There are more; refresh once these are dealt with." : "");
    reconcile(list, items, {
      key: (item) => item.recordId ?? item.messageId,
      version: ({ ageSeconds, ...item }) => JSON.stringify(item),
      build,
    });
  }

  /** @param {any} record */
  #recordItem(record) {
    const ids = record.messageIds ?? [];
    const isUndecided = "quarantinedMessageIds" in record;
    return h("li", { class: "card" },
      h("div", { class: "card-head" },
        h("span", { class: "tag", dataset: { tone: isUndecided ? "warn" : "bad" } }, record.reason),
        h("span", { class: "quiet small" }, `${duration(record.ageSeconds)} ago`)),
      record.field && h("p", {}, foreign(record.field, "code"), " ", foreign(record.rule)),
      !record.field && record.rule && h("p", {}, foreign(record.rule)),
      h("p", { class: "small" }, ids.length === 0 ? "Its message ids cannot be read." : [`${plural(ids.length, "message")}: `, ids.slice(0, 5).flatMap((/** @type {string} */ id) => [this.#link(id), " "]), ids.length > 5 ? "…" : ""]),
      record.hint && h("p", { class: "quiet small" }, record.hint),
      record.body !== undefined && h("details", {}, h("summary", {}, "Its body"), json(pretty(record.body), "Body of the record")),
      !isUndecided && this.#mover("Redrive", { action: "redrive", originalMessageId: record.originalMessageId, limit: 1 }));
  }

  /** Move records in two steps: a dry run that says what would happen, then the confirmation. */
  /** @param {string} label @param {any} command */
  #mover(label, command) {
    const said = h("p", { class: "small", role: "status" });
    const buttons = h("div", { class: "actions" });
    const run = async (/** @type {boolean} */ dryRun) => {
      try {
        const answer = await invoke("redrive_messages", { ...command, dryRun });
        const counts = Object.entries(answer.found).map(([reason, count]) => `${count} ${reason}`).join(", ");
        if (dryRun && !counts) setText(said, "The record is not in the dead-letter queue now. Refresh in a moment.");
        else if (dryRun) setText(said, `Dry run: ${counts} would be put back on the send queue.`);
        else setText(said, `${plural(answer.redriven, "record")} put back on the send queue${answer.failed ? `, ${answer.failed} failed` : ""}.`);
        if (dryRun && counts) confirm();
        else begin();
        if (!dryRun) this.#load();
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        setText(said, error.message);
        begin();
      }
    };
    const begin = () => fill(buttons, h("button", { type: "button", class: "secondary", on: { click: () => run(true) } }, label));
    const confirm = () => {
      const yes = h("button", { type: "button", class: "primary", on: { click: () => run(false) } }, `Confirm: ${label.toLowerCase()}`);
      fill(buttons, yes, h("button", { type: "button", class: "secondary", on: { click: () => { setText(said, ""); begin(); } } }, "Cancel"));
      yes.focus();
    };
    begin();
    return h("div", {}, buttons, said);
  }

  /** @param {any} message */
  #quarantinedItem(message) {
    const said = h("p", { class: "small error", role: "alert" });
    const decide = (/** @type {string} */ action) => async () => {
      try {
        if (!this.#by.value.trim() || !this.#why.value.trim()) {
          setText(said, "Fill in Your name and Reason first: both are kept with the message.");
          (this.#by.value.trim() ? this.#why : this.#by).focus();
          return;
        }
        await invoke("redrive_messages", { action, messageId: message.messageId, by: this.#by.value, why: this.#why.value });
        this.#why.value = "";
        setText(said, "");
        this.#load();
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        setText(said, error.message);
      }
    };
    return h("li", { class: "card" },
      h("div", { class: "card-head" }, this.#link(message.messageId), h("span", { class: "quiet small" }, message.deadLetterReason ?? "")),
      this.#about(message),
      h("div", { class: "actions" },
        h("button", { type: "button", class: "secondary", title: "Send it again, at the risk that the recipient receives it twice", on: { click: decide("release") } }, "Release"),
        h("button", { type: "button", class: "danger", title: "Give it up, at the risk that the recipient never receives it", on: { click: decide("close") } }, "Close"),
        h("span", { class: "quiet small" }, "Release sends it again, perhaps twice. Close gives it up, perhaps unsent.")),
      said);
  }

  /** @param {any} message */
  #unresolvedItem(message) {
    return h("li", { class: "card" },
      h("div", { class: "card-head" }, this.#link(message.messageId), h("span", { class: "tag" }, message.state)),
      this.#about(message),
      h("p", { class: "quiet small" }, `Since ${clock(message.unresolvedAt)} the logs no longer hold its outcome. A late report may still settle it.`));
  }

  /** @param {any} message */
  #about(message) {
    const recipients = Object.values(message.to ?? {}).map((each) => address(String(each))).join(", ");
    return h("p", { class: "small" }, foreign(recipients), ` · ${plural(message.attempts ?? 0, "attempt")}`, message.unknownAt && ` · unknown since ${clock(message.unknownAt)}`);
  }

  /** @param {string} messageId */
  #link(messageId) {
    return h("button", { type: "button", class: "link", on: { click: () => this.#onChoose(messageId) } }, foreign(messageId));
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
  return { section: h("div", { class: "operate-section" }, h("h3", {}, name, " ", count), list, note), list, count, note };
}

/** @param {string} body */
function pretty(body) {
  try {
    return JSON.parse(body);
  } catch {
    return body;
  }
}
