/**
 * What a connection tried on its way to the server, and what to change where nothing answered.
 *
 * A browser forgets the pairs of candidates that failed, so they are looked at while it tries.
 *
 * @module paths
 */

/** @import {Ice} from "./types.js" */

/**
 * One pair of addresses that was checked (RFC 8445 §6.1.2).
 *
 * @typedef {object} Pair
 * @property {string} from Ours: its type, and by what TURN server where it is a relayed one.
 * @property {boolean} relayed
 * @property {string} to The server's address and port.
 * @property {string} protocol `udp` or `tcp`.
 * @property {number} sent Checks.
 * @property {number} answered
 */

/**
 * A server that gave no candidate (`icecandidateerror`).
 *
 * @typedef {object} Refusal
 * @property {string} url
 * @property {number} code Of STUN; 701: it did not answer.
 * @property {string} text
 */

/**
 * @typedef {object} Findings
 * @property {Pair[]} pairs
 * @property {string[]} relays The TURN servers that gave an address; empty texts where the browser does not say which.
 * @property {Refusal[]} refusals
 */

const SAMPLE_EVERY_MS = 400;
const NO_ANSWER = 701;

export class Paths {
  /** @type {RTCPeerConnection} */ #pc;
  /** @type {Map<string, Pair>} */ #pairs = new Map();
  /** @type {Set<string>} */ #relays = new Set();
  /** @type {Map<string, Refusal>} */ #refusals = new Map();
  /** @type {ReturnType<typeof setInterval> | undefined} */ #ticking;

  /** @param {RTCPeerConnection} pc */
  constructor(pc) {
    this.#pc = pc;
    pc.onicecandidateerror = ({ url, errorCode, errorText }) => {
      this.#refusals.set(url, { url, code: errorCode, text: errorText });
    };
  }

  /** Look from now on. */
  start() {
    this.#ticking ??= setInterval(() => void this.#sample(), SAMPLE_EVERY_MS);
  }

  stop() {
    clearInterval(this.#ticking);
    this.#ticking = undefined;
    this.#pc.onicecandidateerror = null;
  }

  /** @returns {Findings} */
  get findings() {
    return {
      pairs: [...this.#pairs.values()],
      relays: [...this.#relays],
      // One of several networks without a way to a server is no news where another has one.
      refusals: [...this.#refusals.values()].filter(({ url }) => !this.#relays.has(url)),
    };
  }

  async #sample() {
    const reports = await this.#pc.getStats();
    reports.forEach((report) => {
      if (report.type === "local-candidate" && report.candidateType === "relay") this.#relays.add(report.url ?? "");
      if (report.type !== "candidate-pair") return;
      const ours = reports.get(report.localCandidateId);
      const theirs = reports.get(report.remoteCandidateId);
      if (ours && theirs) this.#pairs.set(report.id, readPair(report, ours, theirs));
    });
  }
}

/**
 * @param {any} report
 * @param {any} ours
 * @param {any} theirs
 * @returns {Pair}
 */
function readPair(report, ours, theirs) {
  const relayed = ours.candidateType === "relay";
  return {
    from: relayed ? `relay by ${ours.url ?? "TURN"}` : ours.candidateType,
    relayed,
    to: `${theirs.address ?? theirs.ip ?? "an address kept secret"}:${theirs.port}`,
    protocol: ours.protocol ?? "udp",
    sent: report.requestsSent ?? 0,
    answered: report.responsesReceived ?? 0,
  };
}

/**
 * @param {Findings} findings
 * @param {RTCIceServer[]} servers Those that the connection was given.
 * @returns {string[]} A line for each way that was tried, in words.
 */
export function triedLines({ pairs, relays, refusals }, servers) {
  /** @type {Map<string, Pair>} */
  const ways = new Map();
  for (const pair of pairs) {
    const key = `${pair.from} to ${pair.to} (${pair.protocol})`;
    const { sent, answered } = ways.get(key) ?? { sent: 0, answered: 0 };
    ways.set(key, { ...pair, sent: sent + pair.sent, answered: answered + pair.answered });
  }
  const refused = refusals.filter(({ code }) => code !== NO_ANSWER);
  // Browsers tell late of a server that is silent, and some never; others do not say which one gave an address.
  const heard = new Set([...relays, ...refused.map(({ url }) => url)]);
  const silent = heard.has("") ? [] : turnUrls(servers).filter((url) => !heard.has(url));
  return [
    ...[...ways].map(([way, { sent, answered }]) => `${way}: ${checks(sent)}, ${answered || "none"} answered`),
    ...refused.map(({ url, code, text }) => `${url}: refused, ${code} ${text}`),
    ...silent.map((url) => `${url}: no answer`),
  ];
}

/**
 * @param {Findings} findings
 * @param {Pick<Ice, "servers" | "policy">} ice What the connection was given.
 * @returns {string} What whoever runs the server can change.
 */
export function adviceOn({ pairs, relays, refusals }, { servers, policy }) {
  const turn = turnUrls(servers);
  const direct = [...new Set(pairs.filter((pair) => !pair.relayed).map((pair) => pair.to.replace(/.*:/, "")))];
  const said = [];
  if (direct.length > 0) {
    said.push(`Directly, UDP port ${direct.join(", ")} of the server did not answer: open it (webrtc.port), and behind a NAT set turn.externalIp.`);
  }
  const refused = refusals.find(({ code }) => code !== NO_ANSWER && code !== 0);
  if (turn.length === 0 && policy === "relay") {
    said.push("The page's address asks for TURN alone (relay), which this server does not offer like that (turn.enabled, turn.tlsPort).");
  } else if (turn.length === 0) {
    said.push("Its TURN server is off (turn.enabled): with it, media pass through one port, over TCP too.");
  } else if (relays.length > 0) {
    said.push("Its TURN server answered, but nothing came back through it: see its log, and the check named turn in icey-server --doctor.");
  } else if (refused) {
    said.push(`Its TURN server refused (${refused.code} ${refused.text}): see its log.`);
  } else {
    said.push(`Its TURN server did not answer at ${turn.map(place).filter(unique).join(", ")}: open that port for UDP and TCP (turn.port), and behind a NAT set turn.externalIp.`);
  }
  return said.join(" ");
}

/** @param {RTCIceServer[]} servers */
function turnUrls(servers) {
  return servers.flatMap(({ urls }) => urls).filter((url) => url.startsWith("turn"));
}

/** @param {number} count */
function checks(count) {
  return count === 1 ? "1 check sent" : `${count} checks sent`;
}

/** @param {string} url As in `turn:host:3478?transport=udp`. */
function place(url) {
  return url.replace(/^turns?:/, "").replace(/\?.*/, "");
}

/**
 * @param {string} value
 * @param {number} at
 * @param {string[]} all
 */
function unique(value, at, all) {
  return all.indexOf(value) === at;
}
