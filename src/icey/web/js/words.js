/**
 * What the page says: states and refusals in words that a person can act on.
 *
 * @module words
 */

/** @import {CameraFailure} from "./camera.js" */
/** @import {CallEnd, Connection, Mode, Peer, Recording} from "./types.js" */

import { relayOnly } from "./ice.js";

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

/**
 * @param {string} search Of the page's address.
 * @returns {string}
 */
export function ready(search) {
  const only = relayOnly(search);
  if (!only) return "Ready.";
  return `Ready. Media will go by TURN alone${only === "any" ? "" : ` over ${only.toUpperCase()}`}, as the page's address asks.`;
}

export const SOCKET_BLOCKED =
  "The server answers, but its signalling socket does not open. A reverse proxy must pass WebSockets on /ws through; "
  + "a page from elsewhere must be listed in auth.allowedOrigins.";

export const SERVER_AWAY = "The connection to the server was lost. Waiting for it to come back…";

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

/**
 * @param {Peer} server
 * @param {Mode} mode
 * @returns {boolean} Whether it takes media, and is in this mode.
 */
export function takes(server, mode) {
  return server.mode === mode && (server.capabilities?.includes("publish") ?? false);
}

/** @type {Record<CameraFailure, string>} */
const CAMERA = {
  insecure: "Browsers open the camera on https pages and on localhost only. Whoever runs the server can set tls.cert and tls.key.",
  refused: "The camera was refused. Allow camera and microphone for this page, beside its address or in the system's privacy settings, then try again.",
  missing: "No camera was found. Connect one, then try again.",
  busy: "The camera does not start: another program may be using it. Close that program, then try again.",
  other: "The camera cannot be opened",
};

/**
 * @param {CameraFailure} failure
 * @param {string} said By the browser.
 * @returns {string}
 */
export function cameraProblem(failure, said) {
  return failure === "other" ? `${CAMERA.other}: ${said}` : CAMERA[failure];
}

/**
 * @param {CameraFailure} failure
 * @param {string} silent What has no sound now, as in `the recording`.
 * @returns {string}
 */
export function silenceNote(failure, silent) {
  return `${microphoneProblem(failure)}: ${silent} has no sound.`;
}

/**
 * @param {CameraFailure} failure
 * @returns {string}
 */
function microphoneProblem(failure) {
  switch (failure) {
    case "missing": return "No microphone was found";
    case "busy": return "The microphone does not start, as another program may be using it";
    case "refused": return "The microphone was refused";
    default: return "The microphone cannot be opened";
  }
}

/** @type {[RegExp, string][]} A refusal, and what helps. The first that fits is used. */
const ADVICE = [
  [/\b(disk|folder of recordings)\b/i, "Whoever runs the server has to look after its disk; then call again."],
  [/no H\.?264/i, "Use a browser with H.264: Chrome, Edge, Safari, or Firefox with its OpenH264 plugin on."],
  [/source unavailable|no such file|not found/i, "Check media.source on the server, then watch again."],
  [/already has a source/i, "Somebody else is live: watch, or broadcast when they have stopped."],
  [/no free|is full|too many|limit/i, "Try again when someone has left."],
];

/**
 * @param {CallEnd} end
 * @returns {{status: string, problem: string}} A short state, and what went wrong, if anything did.
 */
export function ended({ kind, reason, tried, advice }) {
  const said = reason || "it gave no reason";
  switch (kind) {
    case "local": return { status: "Hung up.", problem: "" };
    case "refused": return { status: "The call was refused.", problem: withAdvice(`The call was refused: ${said}`) };
    case "remote":
      if (reason === "source ended") return { status: "The stream has ended: source ended.", problem: "" };
      return { status: "The server ended the call.", problem: withAdvice(`The server ended the call: ${said}`) };
    case "lost": {
      const problem = withAdvice(`The call was lost: ${said}`);
      return { status: "The call was lost.", problem: [problem + (advice ? ` ${advice}` : ""), ...triedList(tried ?? [])].join("\n") };
    }
  }
}

/**
 * @param {string[]} tried
 * @returns {string[]}
 */
function triedList(tried) {
  return tried.length > 0 ? ["Tried:", ...tried.map((line) => `• ${line}`)] : [];
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

/**
 * @param {number} seconds
 * @returns {string} As in `0:07` or `1:02:03`.
 */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [Math.floor(whole / 60) % 60, whole % 60];
  if (whole >= 3600) parts.unshift(Math.floor(whole / 3600));
  return parts.map((part, place) => (place === 0 ? String(part) : String(part).padStart(2, "0"))).join(":");
}

/**
 * @param {number} bytes
 * @returns {string} As in `12.3 MB`.
 */
export function fileSize(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let size = bytes;
  let unit = 0;
  while (size >= 999.5 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${size.toFixed(unit === 0 || size >= 100 ? 0 : 1)} ${units[unit]}`;
}

/** @type {Record<string, string>} */
const CODECS = { h264: "H.264", vp8: "VP8", opus: "Opus", aac: "AAC" };

/**
 * @param {Recording} recording
 * @returns {string} As in `0:20 · 5.1 MB · 1280 × 720 · H.264 + Opus`.
 */
export function recordingFacts({ duration, size, width, height, codec }) {
  const codecs = codec.split("+").filter(Boolean).map((name) => CODECS[name] ?? name);
  const facts = [clock(duration), fileSize(size)];
  if (width > 0 && height > 0) facts.push(`${width} × ${height}`);
  if (codecs.length > 0) facts.push(codecs.join(" + "));
  return facts.join(" · ");
}
