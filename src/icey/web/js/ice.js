/**
 * Which ways media may take: the ICE servers that `/api/config` offers, and `?relay` in the page's
 * address, which leaves media no way but TURN. That is for finding out what a network lets through.
 *
 * | address | media go |
 * |---|---|
 * | `/` | any way, the direct one first |
 * | `/?relay` | by TURN |
 * | `/?relay=udp`, `tcp` or `tls` | by TURN, which is reached over that |
 *
 * @module ice
 */

/** @import {Ice} from "./types.js" */

/** @typedef {"udp" | "tcp" | "tls"} Transport */
/** @typedef {"" | "any" | Transport} RelayOnly */

/**
 * What `/api/config` says that matters here.
 *
 * @typedef {object} Offered
 * @property {{enabled?: boolean, host?: string, port?: number, tlsPort?: number, username?: string,
 *   credential?: string, ttlSec?: number}} [turn]
 * @property {{urls?: string[] | string}} [stun]
 */

/** Where the server does not say how long its credentials are good. */
const TTL_S = 600;

/** @type {readonly Transport[]} */
const TRANSPORTS = ["udp", "tcp", "tls"];

/**
 * @param {string} search Of the page's address, as in `?relay=tcp`.
 * @returns {RelayOnly}
 */
export function relayOnly(search) {
  const asked = new URLSearchParams(search).get("relay");
  if (asked === null || asked === "0") return "";
  return TRANSPORTS.find((transport) => transport === asked) ?? "any";
}

/**
 * @param {Offered} offered
 * @param {RelayOnly} only
 * @returns {Ice}
 */
export function readIce({ turn, stun }, only) {
  /** @type {RTCIceServer[]} */
  const servers = [];
  const urls = [stun?.urls ?? []].flat();
  if (urls.length > 0 && !only) servers.push({ urls });
  const ways = turn?.enabled ? waysTo(turn).filter(({ transport }) => !only || only === "any" || transport === only) : [];
  if (ways.length > 0) {
    servers.push({
      urls: ways.map(({ url }) => url),
      username: turn?.username ?? "",
      credential: turn?.credential ?? "",
    });
  }
  return { servers, policy: only ? "relay" : "all", lifeMs: (turn?.ttlSec ?? TTL_S) * 1000 };
}

/**
 * @param {NonNullable<Offered["turn"]>} turn
 * @returns {{transport: Transport, url: string}[]}
 */
function waysTo({ host, port, tlsPort }) {
  /** @type {{transport: Transport, url: string}[]} */
  const ways = [];
  // An empty host means: where the page came from. A certificate is for that name in any case.
  const name = bracketed(host || location.hostname);
  if (port) {
    ways.push({ transport: "udp", url: `turn:${name}:${port}?transport=udp` });
    ways.push({ transport: "tcp", url: `turn:${name}:${port}?transport=tcp` });
  }
  if (tlsPort) ways.push({ transport: "tls", url: `turns:${bracketed(location.hostname)}:${tlsPort}?transport=tcp` });
  return ways;
}

/** @param {string} host */
function bracketed(host) {
  return host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
}
