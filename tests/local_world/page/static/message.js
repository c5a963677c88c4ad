/** The tab of one message: its state with the evidence, its chain, and everything known of it. */

import { ApiError, get, invoke, post } from "./api.js";
import { button, fill, foreign, h, json, reconcile, setText } from "./elements.js";
import { entryText, facts, pulled, reconciled, requestText } from "./facts.js";
import { MEANINGS, story, tone } from "./formats.js";
import { throttled } from "./stream.js";
import { CONTENTS, runDown, timeline } from "./timeline.js";

export class MessageView {
  #id = "";
  /** @type {any} */
  #answer = null;
  /** How often the server was asked, and which of its answers is shown. */
  #asked = 0;
  #answered = 0;
  #title = h("h2", { class: "message-id" });
  #state = h("span", { class: "tag state", dataset: { testid: "state" } });
  #meaning = h("span", { class: "quiet" });
  #story = h("p", { class: "story" });
  #notice = h("div", { class: "notice", hidden: true });
  #facts = h("dl", { class: "facts-list" });
  #steps = h("ol", { class: "steps", role: "list", "aria-label": "Steps" });
  #endStep = /** @type {HTMLButtonElement} */ (
    this.#actionButton("This step's time is over", () => this.#end())
  );
  #said = h("p", { class: "said small", role: "status" });
  #attempts = this.#disclosure("Attempts", "Requests to Infobip that name this message");
  #reports = this.#disclosure("Reports", "Delivery reports in the table, as they came");
  #logRows = this.#disclosure("Log rows", "Rows of Infobip's logs in the table, as they came");
  #raw = this.#disclosure("As JSON", "What find_messages answers, and what the simulator knows");
  #content = h(
    "div",
    { class: "message" },
    h(
      "div",
      { class: "message-top" },
      this.#title,
      h("div", { class: "message-state" }, this.#state, this.#meaning),
    ),
    this.#story,
    this.#notice,
    h("h3", {}, "Steps"),
    this.#steps,
    h(
      "div",
      { class: "actions" },
      this.#endStep,
      this.#actionButton("Pull reports now", () => this.#run("pull_delivery_reports", pulled)),
      this.#actionButton("Search the logs now", () =>
        this.#run("reconcile_messages", (answer) =>
          reconciled(answer, this.#answer?.found?.message),
        ),
      ),
    ),
    this.#said,
    h("h3", {}, "In the table"),
    this.#facts,
    h("h3", {}, "On demand"),
    this.#attempts.details,
    this.#reports.details,
    this.#logRows.details,
    this.#raw.details,
  );

  /**
   * @param {HTMLElement} panel
   * @param {import("./stream.js").Store} store
   * @param {{onCompose: () => void, onOperate: () => void}} actions
   */
  constructor(panel, store, { onCompose, onOperate }) {
    this.#panel = panel;
    this.#store = store;
    this.#onCompose = onCompose;
    this.#onOperate = onOperate;
    this.#load = throttled(() => this.#fetch(), 500);
    store.addEventListener("change", (event) => {
      const { detail } = /** @type {CustomEvent} */ (event);
      if (
        this.#id &&
        (detail.isOutdated || detail.rows.some((/** @type {any} */ row) => row.id === this.#id))
      )
        this.#load();
      if (detail.clockJumped) runDown(this.#steps, store.now());
    });
    setInterval(() => {
      if (!document.hidden && this.#panel.offsetParent !== null) runDown(this.#steps, store.now());
    }, 500);
    this.#showEmpty();
  }

  #panel;
  #store;
  #onCompose;
  #onOperate;
  #load;

  /** @param {string} label @param {() => Promise<string>} act returns what is said about it */
  #actionButton(label, act) {
    const run = async () => {
      const id = this.#id;
      action.setAttribute("aria-busy", "true");
      setText(this.#said, "Running…");
      try {
        const sentence = await act();
        if (id === this.#id) setText(this.#said, sentence);
        this.#load();
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        if (id === this.#id) setText(this.#said, error.message);
      } finally {
        action.removeAttribute("aria-busy");
      }
    };
    const action = button("secondary", label, run);
    return action;
  }

  /** @param {string} name @param {string} explanation */
  #disclosure(name, explanation) {
    const count = h("span", { class: "count" });
    const body = h("div", { class: "disclosed" });
    const details = h(
      "details",
      {},
      h("summary", {}, h("span", {}, name), " ", count),
      h("p", { class: "quiet small" }, explanation),
      body,
    );
    return { details, count, body };
  }

  #showEmpty() {
    fill(
      this.#panel,
      h(
        "div",
        { class: "empty" },
        h("h2", {}, "No message is selected"),
        h("p", { class: "quiet" }, "Choose one on a phone, or send one."),
        button("primary", "Compose one", this.#onCompose),
      ),
    );
  }

  /** @param {string} messageId */
  select(messageId) {
    if (messageId === this.#id) return;
    this.#id = messageId;
    this.#answer = null;
    fill(this.#title, foreign(messageId));
    setText(this.#said, "");
    this.#notice.hidden = true;
    this.#endStep.disabled = true;
    for (const each of [this.#steps, this.#facts]) fill(each);
    for (const { count, body } of [this.#attempts, this.#reports, this.#logRows, this.#raw]) {
      setText(count, "");
      fill(body);
    }
    this.#renderState();
    fill(this.#panel, this.#content);
    this.#panel.scrollTop = 0;
    this.#fetch();
  }

  async #fetch() {
    const id = this.#id;
    const asked = (this.#asked += 1);
    try {
      const answer = await get(`/api/messages/${encodeURIComponent(id)}`);
      if (id !== this.#id || asked < this.#answered) return;
      [this.#answer, this.#answered] = [answer, asked];
      this.#render();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (id === this.#id) this.#showNotice("bad", error.message);
    }
  }

  #renderState() {
    const row = this.#store.rows.get(this.#id);
    const state = this.#answer?.found?.message?.state ?? row?.state ?? null;
    const closed = Boolean(this.#answer?.found?.message?.closedAt ?? row?.closed);
    setText(this.#state, state ?? "Not in the table");
    this.#state.dataset.tone = tone(state);
    setText(
      this.#meaning,
      closed
        ? "An operator has closed it."
        : (MEANINGS[/** @type {keyof typeof MEANINGS} */ (state)] ?? ""),
    );
    setText(this.#story, story(this.#answer?.simulated?.steps ?? row?.steps ?? []));
  }

  #render() {
    const { simulated, found, requests } = this.#answer;
    this.#renderState();
    reconcile(this.#steps, timeline(simulated, found), {
      key: (each) => each.key,
      version: (each) => each.version,
      build: (each) => each.build(),
    });
    if (this.#steps.children.length === 0)
      fill(
        this.#steps,
        h(
          "li",
          { class: "quiet", dataset: { key: "none" } },
          "Infobip has not accepted it, so no step has begun.",
        ),
      );
    runDown(this.#steps, this.#store.now());
    this.#endStep.disabled = !(simulated?.steps ?? []).some(
      (/** @type {any} */ step) => step.groupName === "PENDING",
    );
    fill(
      this.#facts,
      facts(simulated, found).flatMap(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]),
    );
    this.#renderNotice(found);
    showEntries(this.#attempts, requests ?? [], (request) => [requestText(request), request]);
    const history = (found?.history ?? []).filter((/** @type {any} */ entry) =>
      CONTENTS.some((kind) => kind in entry),
    );
    const isRow = (/** @type {any} */ entry) => "row" in entry;
    showEntries(
      this.#reports,
      history.filter((/** @type {any} */ entry) => !isRow(entry)),
      (entry) => [entryText(entry), entry.report ?? entry.raw],
    );
    showEntries(this.#logRows, history.filter(isRow), (entry) => [entryText(entry), entry.row]);
    showEntries(
      this.#raw,
      [
        ["find_messages", found],
        ["The simulator", simulated],
      ].filter(([, value]) => value),
      ([name, value]) => [name, value],
    );
    setText(this.#raw.count, "");
  }

  /** @param {any} found */
  #renderNotice(found) {
    const [refused] = found?.refused ?? [];
    if (found?.message?.state === "QUARANTINED" && !found.message.closedAt) {
      this.#showNotice(
        "warn",
        "It needs a decision.",
        button("link", "Release or close it under Operate", this.#onOperate),
      );
    } else if (refused) {
      const why = [refused.reason, refused.field && `${refused.field}: ${refused.rule}`]
        .filter(Boolean)
        .join(", ");
      this.#showNotice(
        "bad",
        ["A record with this id was dead-lettered: ", foreign(why), "."],
        button("link", "See it under Operate", this.#onOperate),
      );
    } else if (found?.hint) {
      this.#showNotice("warn", found.hint);
    } else {
      this.#notice.hidden = true;
    }
  }

  /** @param {string} kind @param {any} sentence @param {HTMLElement} [action] */
  #showNotice(kind, sentence, action) {
    this.#notice.dataset.tone = kind;
    fill(this.#notice, h("p", {}, sentence), action);
    this.#notice.hidden = false;
  }

  async #end() {
    await post(`/api/messages/${encodeURIComponent(this.#id)}/end-step`);
    return "Infobip's clock is now at the end of this step's time.";
  }

  /** @param {string} name @param {(answer: any) => string} describe */
  async #run(name, describe) {
    return describe(await invoke(name));
  }
}

/**
 * Show entries, each with its JSON on demand.
 *
 * @param {{details: HTMLElement, count: HTMLElement, body: HTMLElement}} disclosure
 * @param {any[]} items
 * @param {(item: any) => [string, unknown]} describe
 */
function showEntries({ count, body }, items, describe) {
  setText(count, items.length);
  if (items.length === 0) {
    fill(body, h("p", { class: "quiet small" }, "None yet."));
    return;
  }
  const described = items.map((item, index) => ({ item: describe(item), index }));
  if (body.firstElementChild?.tagName === "P") fill(body);
  reconcile(body, described, {
    key: ({ index }) => String(index),
    version: ({ item }) => JSON.stringify(item),
    build: ({ item: [title, value] }) =>
      h("details", { class: "entry" }, h("summary", {}, foreign(title)), json(value, title)),
  });
}
