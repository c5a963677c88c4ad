/** Starts the page: tabs, the connection, the counts by state, and what is selected. */

import { Compose } from "./compose.js";
import { fill, h, setText } from "./elements.js";
import { address, STATES, stateLabel, tone } from "./formats.js";
import { InfobipView } from "./infobip.js";
import { MessageView } from "./message.js";
import { OperateView } from "./operate.js";
import { PhoneView } from "./phone.js";
import { PhoneList } from "./phones.js";
import { follow, nextFrame, NO_STATE, Store } from "./stream.js";
import { Tabs } from "./tabs.js";

const at = (/** @type {string} */ selector) =>
  /** @type {HTMLElement} */ (document.querySelector(selector));

/** Milliseconds without the stream after which the page says what to do. */
const GONE_AFTER = 6000;

const store = new Store();
const tabs = new Tabs((tab) => {
  operate.show(tab === "operate");
  infobip.show(tab === "infobip");
  remember();
});
const phones = new PhoneList(store, (phone) => {
  selectPhone(phone.phone);
  selectMessage(phone.latest.id);
  tabs.reveal("phone");
});
const phone = new PhoneView(store, (messageId) => {
  selectMessage(messageId);
  tabs.open("message");
});
const message = new MessageView(at("#panel-message"), store, {
  onCompose: () => tabs.open("compose"),
  onOperate: () => tabs.open("operate"),
});
const compose = new Compose(at("#panel-compose"), {
  onSent: openWhenItArrives,
  onPhone: (address) => {
    selectPhone(address);
    tabs.reveal("phone");
  },
});
const operate = new OperateView(at("#panel-operate"), store, { onChoose: openMessage });
const infobip = new InfobipView(at("#panel-infobip"));

/** @type {{phone: string | null, message: string | null}} */
const selected = { phone: null, message: null };
/** A message that was sent from here and has no row yet. @type {string | null} */
let awaited = null;

/** @param {string} address */
function selectPhone(address) {
  selected.phone = address;
  phones.select(address);
  phone.select(address);
  remember();
}

/** @param {string} messageId */
function selectMessage(messageId) {
  selected.message = messageId;
  awaited = null;
  message.select(messageId);
  phone.markMessage(messageId);
  remember();
}

/** Show a message, and the phone of its recipient if that is known. @param {string} messageId */
function openMessage(messageId) {
  const row = store.rows.get(messageId);
  if (row) selectPhone(row.phone ?? "");
  else selected.phone = null;
  selectMessage(messageId);
  tabs.open("message");
}

/** @param {{messageIds: string[], phones: string[]}} sent */
function openWhenItArrives({ messageIds, phones: addresses }) {
  awaited = messageIds[0] ?? null;
  if (addresses[0] !== undefined) selectPhone(addresses[0]);
  if (awaited !== null && store.rows.has(awaited)) openAwaited();
}

function openAwaited() {
  if (awaited === null) return;
  openMessage(awaited);
}

/** Keep what is selected in the address, so that a reload shows it again. */
function remember() {
  const hash = new URLSearchParams({ tab: tabs.current });
  if (selected.phone !== null) hash.set("phone", selected.phone);
  if (selected.message !== null) hash.set("message", selected.message);
  history.replaceState(null, "", `#${hash}`);
}

function restore() {
  const hash = new URLSearchParams(location.hash.slice(1));
  const [address, messageId, tab] = [hash.get("phone"), hash.get("message"), hash.get("tab")];
  if (address !== null) selectPhone(address);
  if (messageId !== null) selectMessage(messageId);
  tabs.open(tab ?? "message");
  return tab !== null;
}

// --- The header ---------------------------------------------------------------------------------

/** The state that filters the list; null shows all. @type {string | null} */
let filter = null;
/** @type {Map<string | null, HTMLElement>} */
const chips = new Map();

function renderStates() {
  for (const state of [null, ...STATES, NO_STATE]) {
    const count = state === null ? store.rows.size : (store.states.get(state) ?? 0);
    let chip = chips.get(state);
    if (!chip) {
      const label = state === null ? "All" : stateLabel(state || null);
      chip = h(
        "button",
        {
          type: "button",
          class: "chip",
          dataset: { tone: tone(state) },
          on: { click: () => filterBy(state) },
        },
        h("span", { class: "dot", dataset: { tone: state === null ? "none" : tone(state) } }),
        `${label} `,
        h("span", { class: "chip-count" }),
      );
      chips.set(state, chip);
      at("#states").append(chip);
    }
    setText(chip.querySelector(".chip-count") ?? chip, count);
    // What has the focus stays, since the focus would be lost with it.
    const isUsed = state === null || filter === state || chip === document.activeElement;
    chip.hidden = count === 0 && !isUsed;
    chip.setAttribute("aria-pressed", String(filter === state));
  }
}

/** @param {string | null} state */
function filterBy(state) {
  filter = filter === state ? null : state;
  phones.filterBy(filter);
  tabs.reveal("phones");
  nextFrame(renderStates);
}

/** Since when the stream is interrupted, by the page's clock; null while it is live. @type {number | null} */
let interruptedAt = null;

function renderProblem() {
  const isGone = interruptedAt !== null && performance.now() - interruptedAt > GONE_AFTER;
  const sentence = isGone
    ? "The page server does not answer. Start make local again: this page then goes on."
    : store.problem;
  const problem = at("#problem");
  problem.hidden = sentence === null;
  setText(problem, sentence ?? "");
}

/** @param {"live" | "reconnecting"} status */
function renderConnection(status) {
  interruptedAt = status === "live" ? null : (interruptedAt ?? performance.now());
  const connection = at("#connection");
  connection.dataset.status = status;
  setText(connection, status === "live" ? "Live" : "Reconnecting…");
  nextFrame(renderProblem);
}

// --- What arrives -------------------------------------------------------------------------------

/** @type {{row: import("./stream.js").Row, step: import("./stream.js").Step}[]} */
let arrivals = [];

/** Announce what arrived, once a second at most, since a screen reader reads each announcement. */
function announce() {
  if (arrivals.length === 0) return;
  const [first] = arrivals;
  const sentence =
    arrivals.length === 1
      ? `${first.step.channel} arrived on ${address(first.row.phone)}`
      : `${arrivals.length} messages arrived, the first on ${address(first.row.phone)}`;
  arrivals = [];
  fill(at("#announcer"), sentence);
}

store.addEventListener("change", (event) => {
  const { detail } = /** @type {CustomEvent} */ (event);
  arrivals.push(...detail.arrivals);
  if (detail.isOutdated) compose.start();
  nextFrame(renderStates);
  nextFrame(renderProblem);
  if (awaited !== null && store.rows.has(awaited)) openAwaited();
  if (selected.phone === null && selected.message !== null) {
    // The message was selected before it had a row.
    const row = store.rows.get(selected.message);
    if (row) selectPhone(row.phone ?? "");
  }
  if (selected.message === null && awaited === null) {
    const shown = selected.phone === null ? phones.newest() : store.phones.get(selected.phone);
    if (shown && selected.phone === null) selectPhone(shown.phone);
    if (shown) selectMessage(shown.latest.id);
  }
  if (!isTabChosen) {
    isTabChosen = true;
    if (store.rows.size === 0) tabs.open("compose");
  }
});

let isTabChosen = restore();
addEventListener("hashchange", restore);
renderStates();
setInterval(announce, 1000);
setInterval(renderProblem, 1000);
follow(store, renderConnection);
