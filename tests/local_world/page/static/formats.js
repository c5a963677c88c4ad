/** How times, prices, numbers and states are written. */

/** The states of the table in the order in which a message passes them. */
export const STATES = [
  "CLAIMED",
  "WAITING",
  "UNKNOWN",
  "ACCEPTED",
  "DELIVERED",
  "UNDELIVERED",
  "EXPIRED",
  "REJECTED",
  "QUARANTINED",
];

/** What each state means, in a sentence. */
export const MEANINGS = {
  CLAIMED: "A sender has claimed it and may send it now.",
  WAITING: "It was not sent, and will be tried again.",
  UNKNOWN: "It may have been sent. The logs decide before it is sent again.",
  ACCEPTED: "Infobip has accepted it. Its outcome is still to come.",
  DELIVERED: "The recipient has it.",
  UNDELIVERED: "No step could deliver it.",
  EXPIRED: "The time of its last step ended first.",
  REJECTED: "Infobip refused it.",
  QUARANTINED: "Whether it was sent cannot be learnt, so an operator decides.",
};

const TONES = {
  CLAIMED: "info",
  WAITING: "warn",
  UNKNOWN: "warn",
  ACCEPTED: "info",
  PENDING: "info",
  DELIVERED: "good",
  UNDELIVERED: "bad",
  UNDELIVERABLE: "bad",
  EXPIRED: "bad",
  REJECTED: "bad",
  QUARANTINED: "warn",
};

/**
 * The tone in which a state or a status group is drawn.
 *
 * @param {string | null | undefined} state
 */
export function tone(state) {
  return TONES[/** @type {keyof typeof TONES} */ (state ?? "")] ?? "quiet";
}

/** @param {string | null} state */
export function stateLabel(state) {
  return state === null ? "Not in the table" : state.charAt(0) + state.slice(1).toLowerCase();
}

/**
 * Read a time: epoch seconds, or a text of Infobip or of the table.
 *
 * @param {unknown} value
 * @returns {number | null} milliseconds since 1970
 */
export function moment(value) {
  if (typeof value === "number") return value * 1000;
  if (typeof value !== "string") return null;
  const time = Date.parse(value.replace(/([+-]\d\d)(\d\d)$/, "$1:$2"));
  return Number.isNaN(time) ? null : time;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const SHORT = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/**
 * Write a time as a clock shows it, with the day if that is not today.
 *
 * @param {unknown} value
 */
export function clock(value) {
  const time = moment(value);
  if (time === null) return "";
  const isToday = new Date(time).toDateString() === new Date().toDateString();
  return isToday ? CLOCK.format(time) : `${DAY.format(time)}, ${CLOCK.format(time)}`;
}

/** @param {unknown} value */
export function shortClock(value) {
  const time = moment(value);
  if (time === null) return "";
  const isToday = new Date(time).toDateString() === new Date().toDateString();
  return isToday ? SHORT.format(time) : DAY.format(time);
}

/**
 * Write a duration.
 *
 * @param {number} seconds
 */
export function duration(seconds) {
  if (seconds < 1) return `${Math.max(0, Math.round(seconds * 1000))} ms`;
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  if (seconds < 120) return `${Math.ceil(seconds)} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172800
    ? `${Math.floor(seconds / 3600)} h`
    : `${Math.floor(seconds / 86400)} days`;
}

/** @param {{pricePerMessage?: number, currency?: string} | null | undefined} price @param {number} [parts] */
export function priceText(price, parts = 1) {
  if (!price || price.pricePerMessage === undefined) return "";
  const amount = Number((price.pricePerMessage * parts).toFixed(6));
  return amount === 0 ? "free" : `${amount} ${price.currency ?? ""}`.trim();
}

/** @param {number} count @param {string} one @param {string} [many] */
export function plural(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}

/**
 * How the page writes an address: a phone number with its plus sign.
 *
 * @param {string | null} phone
 */
export function address(phone) {
  if (!phone) return "Unknown recipient";
  return /^\d+$/.test(phone) ? `+${phone}` : phone;
}

/**
 * Say in one line what became of the steps, such as "PUSH failed: … → SMS delivered".
 *
 * @param {{channel: string, status: string, group?: string, groupName?: string, openedAt?: any}[]} steps
 */
export function story(steps) {
  return steps
    .map((step) => {
      const group = step.group ?? step.groupName;
      if (group === "DELIVERED") return `${step.channel} ${step.openedAt ? "opened" : "delivered"}`;
      if (group === "PENDING") return `${step.channel} on its way`;
      if (group === "EXPIRED") return `${step.channel} ran out of time`;
      return `${step.channel} failed: ${step.status}`;
    })
    .join(" → ");
}
