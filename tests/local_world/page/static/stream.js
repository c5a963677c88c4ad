/** Follows the server's events, and keeps the messages grouped by phone as they change. */

/**
 * @typedef {object} Step
 * @property {string} channel
 * @property {string} status the name of its status
 * @property {string} group the name of the status's group
 * @property {number | null} expiresAt epoch seconds
 * @property {number | null} endedAt
 * @property {number | null} openedAt
 */

/**
 * @typedef {object} Row one message, as the stream shows it
 * @property {string} id
 * @property {number} version
 * @property {string | null} phone
 * @property {number} at epoch seconds of its last change
 * @property {number | null} acceptedAt
 * @property {string | null} state
 * @property {string | null} channel
 * @property {string | null} evidence
 * @property {string[]} flow
 * @property {Step[]} steps
 * @property {string} preview
 * @property {boolean} closed
 */

/**
 * @typedef {object} Phone all messages of one recipient
 * @property {string} phone empty if it is unknown
 * @property {Map<string, Row>} rows
 * @property {number} unread
 * @property {Row} latest
 * @property {Map<string, number>} states how many of its messages are in each state
 */

/** Seconds after which a delivery is no news. */
const JUST_NOW = 15;

/** The key under which messages without a state are counted. */
export const NO_STATE = "";

/** The messages of all phones. It emits `change` after each event of the stream. */
export class Store extends EventTarget {
  /** @type {Map<string, Row>} */
  rows = new Map();
  /** @type {Map<string, Phone>} */
  phones = new Map();
  /** @type {Map<string, number>} */
  states = new Map();
  queue = { waiting: 0, deadLettered: 0 };
  schedules = "every-2-seconds";
  /** @type {string | null} */
  problem = null;
  /** Whether the first event has arrived. */
  isFilled = false;
  #clockAhead = 0;

  /** The time of Infobip's clock, in milliseconds since 1970. */
  now() {
    return performance.timeOrigin + performance.now() + this.#clockAhead;
  }

  /** @param {{reset: boolean, now: number, messages: Row[], queue: any, schedules: string, problem: string | null}} event */
  apply(event) {
    if (event.reset) {
      this.rows.clear();
      this.phones.clear();
      this.states.clear();
    }
    const before = this.#clockAhead;
    const isOutdated = event.reset || (this.problem !== null && event.problem === null);
    this.#clockAhead = event.now * 1000 - (performance.timeOrigin + performance.now());
    /** @type {Set<Phone>} */
    const phones = new Set();
    /** @type {{row: Row, step: Step}[]} */
    const arrivals = [];
    for (const row of event.messages) {
      const old = this.rows.get(row.id);
      if (old && old.version >= row.version) continue;
      if (this.isFilled && !event.reset) arrivals.push(...arrived(old, row, event.now));
      this.#put(old, row, phones);
    }
    this.queue = event.queue;
    this.schedules = event.schedules;
    this.problem = event.problem;
    this.isFilled = true;
    const detail = {
      reset: event.reset,
      /** Whether what was fetched before has to be fetched again: it may have failed since. */
      isOutdated,
      rows: event.messages,
      phones,
      arrivals,
      clockJumped: Math.abs(this.#clockAhead - before) > 300,
    };
    this.dispatchEvent(new CustomEvent("change", { detail }));
  }

  /** @param {Row | undefined} old @param {Row} row @param {Set<Phone>} changed */
  #put(old, row, changed) {
    if (old) {
      const phone = this.phones.get(old.phone ?? "");
      if (phone) {
        phone.unread -= unread(old);
        add(phone.states, old.state, -1);
        if (old.phone !== row.phone) this.#leave(phone, old, changed);
      }
      add(this.states, old.state, -1);
    }
    this.rows.set(row.id, row);
    add(this.states, row.state, 1);
    const key = row.phone ?? "";
    let phone = this.phones.get(key);
    if (!phone) {
      phone = { phone: key, rows: new Map(), unread: 0, latest: row, states: new Map() };
      this.phones.set(key, phone);
    }
    phone.rows.set(row.id, row);
    phone.unread += unread(row);
    add(phone.states, row.state, 1);
    if (row.at >= phone.latest.at || phone.latest.id === row.id) phone.latest = row;
    changed.add(phone);
  }

  /**
   * Take a message away from a phone, since its recipient has become known.
   *
   * @param {Phone} phone
   * @param {Row} row
   * @param {Set<Phone>} changed
   */
  #leave(phone, row, changed) {
    phone.rows.delete(row.id);
    if (phone.rows.size === 0) this.phones.delete(phone.phone);
    else
      phone.latest = [...phone.rows.values()].reduce((one, two) => (two.at > one.at ? two : one));
    changed.add(phone);
  }
}

/** @param {Map<string, number>} counts @param {string | null} state @param {number} number */
function add(counts, state, number) {
  const key = state ?? NO_STATE;
  counts.set(key, (counts.get(key) ?? 0) + number);
}

/**
 * How many steps of a message have been delivered and not opened.
 *
 * @param {Row} row
 */
export function unread(row) {
  let count = 0;
  for (const step of row.steps)
    if (step.group === "DELIVERED" && step.openedAt === null) count += 1;
  return count;
}

/**
 * Return what has just arrived, and not what an earlier message of a long list has delivered.
 *
 * @param {Row | undefined} old
 * @param {Row} row
 * @param {number} now epoch seconds
 */
function arrived(old, row, now) {
  return row.steps
    .filter((step, index) => step.group === "DELIVERED" && old?.steps[index]?.group !== "DELIVERED")
    .filter((step) => now - Number(step.endedAt) < JUST_NOW)
    .map((step) => ({ row, step }));
}

/**
 * Follow the stream, which the browser resumes after the last event it has received.
 *
 * @param {Store} store
 * @param {(status: "live" | "reconnecting") => void} onStatus
 */
export function follow(store, onStatus) {
  const source = new EventSource("/api/events");
  source.addEventListener("state", (event) => {
    onStatus("live");
    store.apply(JSON.parse(event.data));
  });
  source.addEventListener("open", () => onStatus("live"));
  source.addEventListener("error", () => {
    onStatus("reconnecting");
    // The browser gives up after an answer that is not a stream, such as an error of a proxy.
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(() => follow(store, onStatus), 2000);
    }
  });
}

/** @type {Set<() => void>} */
const scheduled = new Set();

/**
 * Run a function in the next frame, once however often it is asked for.
 *
 * @param {() => void} render
 */
export function nextFrame(render) {
  if (scheduled.size === 0) {
    requestAnimationFrame(() => {
      const due = [...scheduled];
      scheduled.clear();
      for (const each of due) each();
    });
  }
  scheduled.add(render);
}

/**
 * Limit how often a function runs: the first call soon, the next ones *wait* ms apart, and none
 * before the one that runs has ended.
 *
 * @param {() => Promise<void>} run
 * @param {number} wait
 */
export function throttled(run, wait) {
  let last = -Infinity;
  let isDue = false;
  /** @type {Promise<void>} */
  let ended = Promise.resolve();
  return async () => {
    if (isDue) return;
    isDue = true;
    await ended;
    window.setTimeout(
      () => {
        isDue = false;
        last = performance.now();
        ended = new Promise((end) => void run().finally(end));
      },
      Math.max(0, last + wait - performance.now()),
    );
  };
}
