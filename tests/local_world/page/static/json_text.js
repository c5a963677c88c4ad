/**
 * Reads JSON with the place of each value, and changes single members of a text.
 *
 * So an edit in the form leaves the rest of the text as its author wrote it.
 */

/** @typedef {{key: string, start: number, value: Value}} Member */
/** @typedef {{kind: "object" | "array" | "scalar", start: number, end: number, members: Member[], items: Value[]}} Value */

/** A text is not JSON; the message says where, and what was expected. */
export class JsonTextError extends Error {
  /** @param {string} text @param {number} place @param {string} expected */
  constructor(text, place, expected) {
    const before = text.slice(0, place).split("\n");
    super(`Line ${before.length}, column ${(before.at(-1) ?? "").length + 1}: ${expected}`);
    this.name = "JsonTextError";
    this.place = place;
  }
}

const SPACE = /[ \t\n\r]*/y;
const SCALAR =
  /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
/** Levels; deeper texts are refused by every reader of the queue. */
const DEEPEST = 200;

/**
 * Read a JSON text.
 *
 * @param {string} text
 * @returns {Value}
 * @throws {JsonTextError} it is not JSON
 */
export function read(text) {
  let place = 0;
  const skip = () => {
    SPACE.lastIndex = place;
    SPACE.exec(text);
    place = SPACE.lastIndex;
  };
  /** @param {string} expected @returns {never} */
  const fail = (expected) => {
    throw new JsonTextError(
      text,
      place,
      place >= text.length
        ? `the text ends, but ${expected} is expected.`
        : `${expected} is expected.`,
    );
  };
  /** @param {string} expected @returns {string} */
  const scalar = (expected) => {
    SCALAR.lastIndex = place;
    const [found] = SCALAR.exec(text) ?? fail(expected);
    place += found.length;
    return found;
  };
  /** @param {number} depth @returns {Value} */
  const value = (depth) => {
    if (depth > DEEPEST) fail("a shallower structure");
    const start = place;
    const opening = text[place];
    if (opening !== "{" && opening !== "[") {
      scalar(
        opening === '"'
          ? "the end of this text, without a line break or a lone backslash,"
          : "a value",
      );
      return { kind: "scalar", start, end: place, members: [], items: [] };
    }
    const closing = opening === "{" ? "}" : "]";
    /** @type {Value} */
    const found = {
      kind: opening === "{" ? "object" : "array",
      start,
      end: 0,
      members: [],
      items: [],
    };
    place += 1;
    skip();
    while (text[place] !== closing) {
      if (opening === "{") {
        const memberStart = place;
        if (text[place] !== '"') fail('a name in double quotes or "}"');
        const key = JSON.parse(scalar("the end of this name"));
        skip();
        if (text[place] !== ":") fail('":"');
        place += 1;
        skip();
        found.members.push({ key, start: memberStart, value: value(depth + 1) });
      } else {
        found.items.push(value(depth + 1));
      }
      skip();
      if (text[place] === closing) break;
      if (text[place] !== ",") fail(`"," or "${closing}"`);
      place += 1;
      skip();
      if (text[place] === closing) fail("a further entry, since a comma precedes this,");
    }
    place += 1;
    found.end = place;
    return found;
  };
  skip();
  const root = value(0);
  skip();
  if (place < text.length) fail("the end of the text");
  return root;
}

/**
 * Change, add or remove one member, and leave the rest of the text as it is.
 *
 * @param {string} text JSON
 * @param {(string | number)[]} path names of members, and positions in lists
 * @param {unknown} value undefined removes the member
 * @returns {string}
 */
export function change(text, path, value) {
  const root = read(text);
  let at = root;
  for (const [depth, part] of path.entries()) {
    const member =
      typeof part === "number" ? undefined : at.members.findLast((each) => each.key === part);
    const next = typeof part === "number" ? at.items[part] : member?.value;
    const isLast = depth === path.length - 1;
    if (next === undefined)
      return value === undefined || at.kind !== "object"
        ? text
        : insert(text, at, String(part), nested(path.slice(depth + 1), value));
    if (isLast && value === undefined && member) return remove(text, at, member);
    if (isLast) return text.slice(0, next.start) + JSON.stringify(value) + text.slice(next.end);
    at = next;
  }
  return text;
}

/** @param {(string | number)[]} path @param {unknown} value */
function nested(path, value) {
  return path.reduceRight((inner, part) => ({ [part]: inner }), value);
}

/** @param {string} text @param {Value} object @param {string} key @param {unknown} value */
function insert(text, object, key, value) {
  const last = object.members.at(-1);
  const written = `${JSON.stringify(key)}: ${JSON.stringify(value)}`;
  if (!last) return `${text.slice(0, object.start)}{ ${written} }${text.slice(object.end)}`;
  // The new member has the indentation of the one before it.
  const lineBreak = text.slice(object.start, last.start).match(/\n[ \t]*$/)?.[0] ?? " ";
  return `${text.slice(0, last.value.end)},${lineBreak}${written}${text.slice(last.value.end)}`;
}

/** @param {string} text @param {Value} object @param {Member} member */
function remove(text, object, member) {
  const place = object.members.indexOf(member);
  const next = object.members[place + 1];
  const previous = object.members[place - 1];
  if (next) return text.slice(0, member.start) + text.slice(next.start);
  return (
    text.slice(0, previous ? previous.value.end : object.start + 1) + text.slice(member.value.end)
  );
}
