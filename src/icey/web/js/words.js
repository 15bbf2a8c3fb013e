/**
 * What the page says: states and refusals in words that a person can act on.
 *
 * @module words
 */

/** @import {CallEnd, Connection, Mode, Peer} from "./types.js" */

/**
 * @param {Connection} connection
 * @returns {string} Two words for the pill.
 */
export function connectionLabel(connection) {
  switch (connection.name) {
    case "online": return "Connected";
    case "connecting": return "Connecting";
    case "waiting": return "Reconnecting";
    case "refused": return "Not allowed";
    case "stopped": return "Closed";
  }
}

/**
 * @param {number} delayMs
 * @returns {string}
 */
export function unreachable(delayMs) {
  return `The server cannot be reached. Trying again ${inSeconds(delayMs)}.`;
}

export const SOCKET_BLOCKED =
  "The server answers, but its signalling socket does not open. A reverse proxy must pass WebSockets on /ws through; "
  + "a page from elsewhere must be listed in auth.allowedOrigins.";

/** @type {Record<Mode, string>} */
const MODES = {
  stream: "Streams its source to you",
  record: "Records what you send",
  relay: "Passes one camera on to many",
};

/**
 * @param {Peer} server
 * @returns {string}
 */
export function modeText(server) {
  return server.mode ? MODES[server.mode] ?? server.mode : "Mode unknown";
}

/**
 * @param {Peer} server
 * @returns {boolean}
 */
export function watchable(server) {
  return server.capabilities?.includes("view") ?? false;
}

/** @type {[RegExp, string][]} A refusal, and what helps. The first that fits is used. */
const ADVICE = [
  [/no H\.?264/i, "Use a browser with H.264: Chrome, Edge, Safari, or Firefox with its OpenH264 plugin on."],
  [/source unavailable|no such file|not found/i, "Check media.source on the server, then watch again."],
  [/not available yet/i, "This version of the server cannot do that yet."],
  [/no free|too many|limit/i, "Try again when someone has left."],
];

/**
 * @param {CallEnd} end
 * @returns {{status: string, problem: string}} A short state, and what went wrong, if anything did.
 */
export function ended({ kind, reason }) {
  const said = reason || "it gave no reason";
  switch (kind) {
    case "local": return { status: "Hung up.", problem: "" };
    case "refused": return { status: "The call was refused.", problem: withAdvice(`The call was refused: ${said}`) };
    case "remote":
      if (reason === "source ended") return { status: "The stream has ended: source ended.", problem: "" };
      return { status: "The server ended the call.", problem: withAdvice(`The server ended the call: ${said}`) };
    case "lost": return { status: "The call was lost.", problem: withAdvice(`The call was lost: ${said}`) };
  }
}

/**
 * @param {string} sentence
 * @returns {string}
 */
function withAdvice(sentence) {
  const advice = ADVICE.find(([pattern]) => pattern.test(sentence))?.[1];
  const full = /[.!?]$/.test(sentence) ? sentence : `${sentence}.`;
  return advice ? `${full} ${advice}` : full;
}

/**
 * @param {number} milliseconds
 * @returns {string}
 */
export function inSeconds(milliseconds) {
  const seconds = Math.round(milliseconds / 1000);
  return seconds <= 1 ? "in a second" : `in ${seconds} seconds`;
}
