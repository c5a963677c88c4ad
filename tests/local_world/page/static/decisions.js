/** The entries of an operator's lists: dead-lettered records, and messages to decide about. */

import { ApiError, invoke } from "./api.js";
import { button, fill, foreign, h, json, setText } from "./elements.js";
import { address, clock, duration, plural } from "./formats.js";

/** Ids that an entry shows of its record, which may have hundreds. */
const MOST_IDS = 5;

/**
 * @typedef {object} Actions
 * @property {(messageId: string) => void} onChoose shows a message
 * @property {(sentence: string) => void} onDone says what was done, and loads the lists anew
 */

/**
 * Build the entry of a dead-lettered record.
 *
 * @param {any} record as redrive_messages lists it, with the `hint` for its reason
 * @param {Actions} actions
 */
export function recordItem(record, actions) {
  const isUndecided = "quarantinedMessageIds" in record;
  const tone = isUndecided ? "warn" : "bad";
  const { originalMessageId } = record;
  return card(
    [
      h("span", { class: "tag", dataset: { tone } }, record.reason),
      h("span", { class: "quiet small" }, `${duration(record.ageSeconds)} ago`),
    ],
    record.rule &&
      h("p", {}, record.field && [foreign(record.field, "code"), " "], foreign(record.rule)),
    h("p", { class: "small" }, idsOf(record, actions)),
    record.hint && h("p", { class: "quiet small" }, record.hint),
    record.body !== undefined &&
      h(
        "details",
        {},
        h("summary", {}, "Its body"),
        json(pretty(record.body), "Body of the record"),
      ),
    !isUndecided && mover("Redrive", { action: "redrive", originalMessageId, limit: 1 }, actions),
  );
}

/** @param {any} record @param {Actions} actions */
function idsOf({ messageIds = [] }, actions) {
  if (messageIds.length === 0) return "Its message ids cannot be read.";
  const links = messageIds
    .slice(0, MOST_IDS)
    .map((/** @type {string} */ id) => [link(id, actions), " "]);
  return [`${plural(messageIds.length, "message")}: `, links, messageIds.length > MOST_IDS && "…"];
}

/**
 * Build what moves records in two steps: a dry run that says what would happen, and the
 * confirmation.
 *
 * @param {string} label
 * @param {any} command
 * @param {Actions} actions
 */
export function mover(label, command, { onDone }) {
  const said = h("p", { class: "small", role: "status" });
  const buttons = h("div", { class: "actions" });
  const offer = () =>
    fill(
      buttons,
      button("secondary", label, () => attempt(tryOut)),
    );
  const cancel = () => {
    setText(said, "");
    offer();
    buttons.querySelector("button")?.focus();
  };
  const tryOut = async () => {
    const { found } = await invoke("redrive_messages", { ...command, dryRun: true });
    const counts = Object.entries(found).map(([reason, count]) => `${count} ${reason}`);
    if (counts.length === 0) {
      setText(said, "Nothing was found in the dead-letter queue now. Try again in a moment.");
      return;
    }
    setText(said, `Dry run: ${counts.join(", ")} would be put back on the send queue.`);
    const yes = button("primary", `Confirm: ${label.toLowerCase()}`, () => attempt(move));
    fill(buttons, yes, button("secondary", "Cancel", cancel));
    yes.focus();
  };
  const move = async () => {
    const { redriven, failed } = await invoke("redrive_messages", { ...command, dryRun: false });
    const trouble = failed > 0 ? ` ${plural(failed, "record")} could not be moved.` : "";
    cancel();
    onDone(`${plural(redriven, "record")} put back on the send queue.${trouble}`);
  };
  const attempt = (/** @type {() => Promise<void>} */ act) => trying(said, act);
  offer();
  return h("div", {}, buttons, said);
}

/**
 * Build the entry of a quarantined message.
 *
 * @param {any} message as find_messages shows it
 * @param {{by: HTMLInputElement, why: HTMLInputElement}} decision the operator's name, and the reason
 * @param {Actions} actions
 */
export function quarantinedItem(message, { by, why }, actions) {
  const said = h("p", { class: "small error", role: "alert" });
  const decide = (/** @type {string} */ action, /** @type {string} */ done) => () =>
    trying(said, async () => {
      const missing = [by, why].find((each) => each.value.trim() === "");
      if (missing) {
        setText(said, "Fill in Your name and Reason first: both are kept with the message.");
        missing.focus();
        return;
      }
      const command = { action, messageId: message.messageId, by: by.value, why: why.value };
      const { state, hint } = await invoke("redrive_messages", command);
      why.value = "";
      actions.onDone(`${message.messageId} is ${done}. Its state is ${state}. ${hint ?? ""}`);
    });
  const risk = "Release sends it again, perhaps twice. Close gives it up, perhaps unsent.";
  return card(
    [
      link(message.messageId, actions),
      h("span", { class: "quiet small" }, message.deadLetterReason ?? ""),
    ],
    about(message),
    h(
      "div",
      { class: "actions" },
      button("secondary", "Release", decide("release", "released")),
      button("danger", "Close", decide("close", "closed")),
      h("span", { class: "quiet small" }, risk),
    ),
    said,
  );
}

/**
 * Build the entry of a message whose outcome the logs no longer hold.
 *
 * @param {any} message as find_messages shows it
 * @param {Actions} actions
 */
export function unresolvedItem(message, actions) {
  const since = clock(message.unresolvedAt);
  const sentence = `Since ${since} the logs no longer hold its outcome. A late report may still settle it.`;
  return card(
    [link(message.messageId, actions), h("span", { class: "tag" }, message.state)],
    about(message),
    h("p", { class: "quiet small" }, sentence),
  );
}

/** Build an entry of a list. @param {any} head what its first line holds @param {...any} rest */
function card(head, ...rest) {
  return h("li", { class: "card" }, h("div", { class: "card-head" }, head), ...rest);
}

/** @param {any} message */
function about(message) {
  const recipients = Object.values(message.to ?? {}).map((each) => address(String(each)));
  return h(
    "p",
    { class: "small" },
    foreign(recipients.join(", ")),
    ` · ${plural(message.attempts ?? 0, "attempt")}`,
    message.unknownAt && ` · unknown since ${clock(message.unknownAt)}`,
  );
}

/** @param {string} messageId @param {Actions} actions */
function link(messageId, { onChoose }) {
  return button("link", foreign(messageId), () => onChoose(messageId));
}

/**
 * Act once at a time, and show beside it why it failed.
 *
 * @param {HTMLElement} said
 * @param {() => Promise<void>} act
 */
async function trying(said, act) {
  if (said.ariaBusy === "true") return;
  said.ariaBusy = "true";
  try {
    setText(said, "");
    await act();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    setText(said, error.message);
  } finally {
    said.ariaBusy = null;
  }
}

/** @param {string} body */
function pretty(body) {
  try {
    return JSON.parse(body);
  } catch {
    return body;
  }
}
