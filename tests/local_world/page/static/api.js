/** Calls the page server, and turns every failure into a sentence. */

let token = tokenOf(document);

/** A call that failed; its text is a sentence for the reader of the page. */
export class ApiError extends Error {
  /** @param {string} message @param {number} status @param {{field?: string, rule?: string}} [broken] */
  constructor(message, status, { field, rule } = {}) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.field = field;
    this.rule = rule;
  }
}

/** @param {string} path @returns {Promise<any>} */
export function get(path) {
  return call(path, {});
}

/**
 * Change something. A server that was started anew has another token, which is then fetched.
 *
 * @param {string} path
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
export async function post(path, body = {}) {
  try {
    return await call(path, posting(body));
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 403 || !(await renewToken())) throw error;
    return call(path, posting(body));
  }
}

/**
 * Invoke a deployed function.
 *
 * @param {string} name
 * @param {unknown} [event]
 * @returns {Promise<any>}
 */
export function invoke(name, event = {}) {
  return post(`/api/functions/${name}`, event);
}

/** @param {unknown} body @returns {RequestInit} */
function posting(body) {
  return {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Page-Token": token },
    body: JSON.stringify(body),
  };
}

/** @param {string} path @param {RequestInit} options */
async function call(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new ApiError("The page server does not answer. Is make local still running?", 0);
  }
  const answer = await response.json().catch(() => null);
  if (response.ok && answer !== null) return answer;
  const sentence =
    typeof answer?.error === "string"
      ? answer.error
      : `The page server answered with status ${response.status}.`;
  throw new ApiError(sentence, response.status, answer ?? {});
}

/** Fetch the token anew; return whether it has changed. */
async function renewToken() {
  const response = await fetch("/").catch(() => null);
  if (!response?.ok) return false;
  const fresh = tokenOf(new DOMParser().parseFromString(await response.text(), "text/html"));
  const changed = fresh !== token;
  token = fresh;
  return changed;
}

/** @param {Document} page */
function tokenOf(page) {
  return page.querySelector('meta[name="page-token"]')?.getAttribute("content") ?? "";
}
