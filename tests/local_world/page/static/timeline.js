/** The chain of a message: each step, its time limit, why it failed, and the step that took over. */

import { foreign, h, icon } from "./elements.js";
import { clock, duration, moment, plural, priceText, tone } from "./formats.js";

/** Kinds of entries in the history, by the attribute that holds their text. */
export const CONTENTS = ["report", "row", "raw"];

/**
 * Draw the steps of a message in the order of its flow, those included that never began.
 *
 * @param {any} simulated the simulator's entry of the message
 * @param {any} found the answer of find_messages
 * @returns {{key: string, version: string, build: () => HTMLElement}[]}
 */
export function timeline(simulated, found) {
  const steps = simulated?.steps ?? [];
  const flow = simulated?.flow ?? found?.message?.steps ?? [];
  const items = steps.map((/** @type {any} */ step, /** @type {number} */ index) => {
    const next = steps[index + 1];
    const way = reportWay(step, simulated, found);
    const isTakenOver = next !== undefined && next.acceptance === step.acceptance && failed(step);
    return {
      key: `step ${index}`,
      version: JSON.stringify([step, way, isTakenOver && next.channel, simulated.acceptances > 1]),
      build: () => buildStep(step, way, isTakenOver ? next : null, simulated.acceptances > 1),
    };
  });
  const last = steps.at(-1);
  // Each acceptance of a message begins its flow anew.
  const begun =
    last === undefined
      ? 0
      : steps.filter((/** @type {any} */ step) => step.acceptance === last.acceptance).length;
  const isOver = Boolean(last) && last.groupName !== "PENDING";
  flow.slice(begun).forEach((/** @type {string} */ channel, /** @type {number} */ index) => {
    const before = index > 0 ? flow[begun + index - 1] : last?.channel;
    const reason = notBegun(last, isOver, before, found?.message?.state);
    items.push({
      key: `coming ${index}`,
      version: `${channel} ${reason}`,
      build: () => buildComing(channel, reason),
    });
  });
  return items;
}

/** @param {any} step */
function failed(step) {
  return step.groupName !== "DELIVERED" && step.groupName !== "PENDING";
}

/**
 * @param {any} last the last step that has begun, if any has
 * @param {boolean} isOver whether it has ended
 * @param {string | undefined} before the channel of the step before this one, if there is one
 * @param {string | undefined} state
 */
function notBegun(last, isOver, before, state) {
  if (last?.groupName === "DELIVERED") return `Not needed: ${last.channel} has delivered.`;
  if (last && isOver) return "Did not begin.";
  if (!last && state === "REJECTED") return "Did not begin: Infobip refused the message.";
  return before ? `Takes over if ${before} fails.` : "Begins when Infobip accepts the message.";
}

/** @param {any} step @param {Stage[]} way @param {any} successor @param {boolean} showAcceptance */
function buildStep(step, way, successor, showAcceptance) {
  const isRunning = step.groupName === "PENDING";
  const [start, end] = [moment(step.startedAt), moment(step.endedAt)];
  const took = start !== null && end !== null ? duration((end - start) / 1000) : "";
  const cost = [
    step.channel === "SMS" && plural(step.messageCount ?? 1, "part"),
    priceText(step.price, step.channel === "SMS" ? step.messageCount : 1),
  ]
    .filter(Boolean)
    .join(" · ");
  return h(
    "li",
    { class: "step", dataset: { tone: tone(step.groupName), running: String(isRunning) } },
    h("span", { class: "step-icon" }, icon(step.channel)),
    h(
      "div",
      { class: "step-body" },
      h(
        "div",
        { class: "step-head" },
        h("strong", {}, step.channel),
        step.from && h("span", { class: "quiet" }, "from ", foreign(step.from)),
        h(
          "span",
          { class: "tag", dataset: { tone: tone(step.groupName) } },
          isRunning ? "On its way" : step.status,
        ),
      ),
      showAcceptance && h("p", { class: "quiet small" }, `Acceptance ${step.acceptance}`),
      isRunning &&
        h(
          "div",
          {
            class: "limit",
            dataset: { start: String(start), expires: String(moment(step.expiresAt) ?? "") },
          },
          h("span", { class: "limit-track" }, h("span", { class: "limit-bar" })),
          h("span", { class: "limit-text small" }),
        ),
      step.text && h("div", { class: "step-text", ...scrollable(step) }, foreign(step.text)),
      h(
        "p",
        { class: "quiet small facts" },
        `${clock(step.startedAt)}${end !== null ? ` – ${clock(step.endedAt)}` : ""}${took ? ` (${took})` : ""}`,
        cost && ` · ${cost}`,
        step.openedAt && ` · opened ${clock(step.openedAt)}`,
      ),
      failed(step) && step.error && h("p", { class: "small reason" }, errorText(step.error)),
      way.length > 0 && buildWay(way),
      successor &&
        h(
          "p",
          { class: "takeover" },
          h("span", { "aria-hidden": "true" }, "↓ "),
          `${successor.channel} takes over`,
        ),
    ),
  );
}

/** A long text is scrolled, also by keyboard. @param {any} step */
function scrollable({ text, channel }) {
  const isLong = text.length > 300 || text.split("\n").length > 5;
  return isLong ? { tabindex: "0", role: "group", "aria-label": `${channel} text` } : {};
}

/** @param {string} channel @param {string} reason */
function buildComing(channel, reason) {
  return h(
    "li",
    { class: "step is-coming" },
    h("span", { class: "step-icon" }, icon(channel)),
    h(
      "div",
      { class: "step-body" },
      h("div", { class: "step-head" }, h("strong", {}, channel)),
      h("p", { class: "quiet small" }, reason),
    ),
  );
}

/** @param {any} error */
function errorText(error) {
  const text = [error.name, error.description].filter(Boolean).join(": ");
  return error.permanent === undefined
    ? text
    : `${text} (${error.permanent ? "permanent" : "not permanent"})`;
}

/** @typedef {{text: string, tone: string}} Stage a stage on the way of a report */

/**
 * Say which way the report of a step has taken, and what else has shown its outcome.
 *
 * @param {any} step
 * @param {any} simulated
 * @param {any} found
 * @returns {Stage[]} empty while the step runs
 */
function reportWay(step, simulated, found) {
  if (step.groupName === "PENDING") return [];
  const reports = simulated.reports ?? [];
  const report = reportOf(step, reports);
  const stages = report
    ? handedOut(report)
    : [{ text: reports.length === 0 ? "none asked for" : "none", tone: "quiet" }];
  const isRecorded = entries(found, "report").some((each) => isAbout(each, step));
  const isInLogs = entries(found, "row").some((each) => isAbout(each, step));
  if (isRecorded) stages.push({ text: "recorded in the table", tone: "good" });
  else if (report && stages.some((each) => each.tone === "info"))
    stages.push({ text: "not in the table yet", tone: "warn" });
  const isLost = stages.length > 0 && stages.every((each) => each.tone === "bad");
  if (isLost && !isInLogs) stages.push({ text: "the logs will settle it", tone: "warn" });
  if (isInLogs) {
    const hasDecided = found.message?.evidence === "logs" && found.message.channel === step.channel;
    stages.push({ text: hasDecided ? "settled from the logs" : "seen in the logs", tone: "good" });
  }
  return stages;
}

/** @param {any} step @param {any[]} reports */
function reportOf(step, reports) {
  const end = moment(step.endedAt);
  const ofChannel = reports.filter((each) => each.channel === step.channel);
  return (
    ofChannel.find((each) => moment(each.doneAt) === end) ??
    ofChannel.find((each) => each.status === step.status)
  );
}

/** @param {any} report @returns {Stage[]} */
function handedOut({ pages, pushes }) {
  const stages = (pages ?? []).map((/** @type {any} */ { page, fault }) =>
    fault
      ? { text: `lost on page ${page}: ${fault}`, tone: "bad" }
      : { text: `pulled on page ${page}`, tone: "info" },
  );
  if (pushes > 0)
    stages.push({ text: pushes === 1 ? "pushed" : `pushed ${pushes} times`, tone: "info" });
  return stages.length > 0 ? stages : [{ text: "waits at Infobip to be pulled", tone: "quiet" }];
}

/** Whether a report or log row is about a step; its status may lack the name. @param {any} entry @param {any} step */
function isAbout(entry, step) {
  return (
    entry.channel === step.channel &&
    (entry.status?.name === undefined || entry.status.name === step.status)
  );
}

/** @param {Stage[]} stages */
function buildWay(stages) {
  return h(
    "p",
    { class: "small way" },
    h("span", { class: "way-label" }, "Report"),
    stages.map(({ text, tone: stageTone }, index) => [
      index > 0 && h("span", { class: "quiet", "aria-hidden": "true" }, "→"),
      h("span", { class: "stage", dataset: { tone: stageTone } }, text),
    ]),
  );
}

/**
 * Return the contents of the history's entries of a kind.
 *
 * @param {any} found
 * @param {string} kind
 * @returns {any[]}
 */
export function entries(found, kind) {
  return (found?.history ?? [])
    .map((/** @type {any} */ entry) => entry[kind])
    .filter((/** @type {any} */ each) => each !== null && typeof each === "object");
}

/**
 * Let the bars of running steps run down, by Infobip's clock.
 *
 * @param {HTMLElement} container
 * @param {number} now Infobip's time, in milliseconds since 1970
 */
export function runDown(container, now) {
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  for (const limit of container.querySelectorAll(".limit")) {
    const { start, expires } = /** @type {HTMLElement} */ (limit).dataset;
    const bar = /** @type {HTMLElement} */ (limit.querySelector(".limit-bar"));
    const text = /** @type {HTMLElement} */ (limit.querySelector(".limit-text"));
    const left = Number(expires) - now;
    if (!expires) {
      text.textContent = "No time limit";
      continue;
    }
    text.textContent =
      left > 0 ? `${duration(left / 1000)} until its time is over` : "Its time is over";
    const share = Math.min(1, Math.max(0, left / Math.max(1, Number(expires) - Number(start))));
    if (still) {
      bar.style.transform = `scaleX(${share})`;
      continue;
    }
    const [running] = bar.getAnimations();
    const ends = Number(bar.dataset.ends);
    if (running && Math.abs(ends - (performance.now() + left)) < 250) continue;
    running?.cancel();
    bar.dataset.ends = String(performance.now() + left);
    bar.animate([{ transform: `scaleX(${share})` }, { transform: "scaleX(0)" }], {
      duration: Math.max(0, left),
      fill: "forwards",
    });
  }
}
