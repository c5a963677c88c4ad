/** What is known of a message, in words: from the table, and from what was asked of Infobip. */

import { foreign } from "./elements.js";
import { address, clock, moment, plural, priceText } from "./formats.js";

/** Where a state comes from, in words. */
const EVIDENCE = {
  response: "the answer to the send",
  report: "a delivery report",
  logs: "Infobip's logs",
  "duplicate-id": "Infobip refused the id as already used",
};

/** @param {any} simulated @param {any} found @returns {[string, Node | string][]} */
export function facts(simulated, found) {
  if (!found) return [["State", "find_messages did not answer."]];
  const { message } = found;
  if (!message) return [["State", "The table has no message with this id."]];
  const parts = simulated?.steps?.at(-1)?.messageCount;
  /** @type {[string, Node | string | null | undefined | false][]} */
  const all = [
    [
      "Evidence",
      EVIDENCE[/** @type {keyof typeof EVIDENCE} */ (message.evidence)] ?? message.evidence,
    ],
    ["Delivered by", message.state === "DELIVERED" && message.channel],
    ["Status", message.status && foreign(message.status.name ?? JSON.stringify(message.status))],
    [
      "Recipient",
      message.to &&
        foreign(
          Object.values(message.to)
            .map((each) => address(String(each)))
            .join(", "),
        ),
    ],
    ["Scenario", message.scenario && foreign(message.scenario)],
    ["Attempts", message.attempts !== undefined && String(message.attempts)],
    [
      "Price",
      message.price &&
        `${priceText(message.price)}${message.channel === "SMS" && parts > 1 ? ` per part, ${parts} parts` : ""}`,
    ],
    ["Claimed", clock(message.claimedAt)],
    ["Send at", moment(message.sendAt) !== null && clock(message.sendAt)],
    ["Sent", clock(message.sentAt)],
    ["Done", clock(message.doneAt)],
    ["If unknown", message.onUnknown],
    ["Callback data", message.callbackData && foreign(message.callbackData)],
    ["Dead-lettered", message.deadLetterReason],
    ["Next check", message.nextCheckAt && clock(message.nextCheckAt)],
    [
      "Released",
      message.releasedAt &&
        foreign(`${clock(message.releasedAt)} by ${message.releasedBy}: ${message.releasedWhy}`),
    ],
    [
      "Closed",
      message.closedAt &&
        foreign(`${clock(message.closedAt)} by ${message.closedBy}: ${message.closedWhy}`),
    ],
  ];
  return /** @type {[string, Node | string][]} */ (all.filter(([, value]) => value));
}

/** @param {any} answer of pull_delivery_reports */
export function pulled({ pages, reports, settled, lost, parked, stoppedBy }) {
  const sentence =
    pages === 0
      ? "No report was ready at Infobip."
      : `${plural(reports, "report")} on ${plural(pages, "page")}; ${plural(settled, "message")} settled.`;
  const trouble = [
    lost > 0 && `${plural(lost, "page")} lost.`,
    parked > 0 && `${plural(parked, "page")} parked.`,
    stoppedBy && `Stopped by ${stoppedBy}.`,
  ];
  return [sentence, ...trouble].filter(Boolean).join(" ");
}

/**
 * Say what a run of reconcile_messages did.
 *
 * @param {Record<string, number>} answer of reconcile_messages
 * @param {any} message that is shown, as find_messages has it
 */
export function reconciled(answer, message) {
  const counts = Object.entries(answer).map(
    ([name, count]) => `${name.replace(/(?<=[a-z])(?=[A-Z])/g, " ").toLowerCase()}: ${count}`,
  );
  if (counts.length > 0) return `${counts.join(", ")}.`;
  const due = message?.nextCheckAt ? ` This one is due at ${clock(message.nextCheckAt)}.` : "";
  return `No message is due for a log query yet.${due}`;
}

/** @param {any} request */
export function requestText(request) {
  const outcome = request.status === null ? "no answer" : `status ${request.status}`;
  return [clock(request.at), request.operation, outcome, request.fault].filter(Boolean).join(" · ");
}

/** @param {any} entry */
export function entryText(entry) {
  const content = entry.report ?? entry.row ?? entry.raw;
  return (
    [
      clock(entry.receivedAt),
      content?.channel,
      content?.status?.name ?? (content?.seenAt && "seen"),
    ]
      .filter(Boolean)
      .join(" · ") || entry.entry
  );
}
