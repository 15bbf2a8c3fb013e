/**
 * The HTTP API, and the access token that opens it.
 *
 * The token lives in `sessionStorage`: it survives a reload, not the tab. It travels in a
 * header, never in a URL, where proxies and histories would keep it.
 *
 * @module api
 */

/** @import {Mode, Recording, RelayStatus, ServerConfig} from "./types.js" */

import { readIce, relayOnly } from "./ice.js";

const TOKEN_KEY = "icey.token";

/** The server wants a token, or another one. */
export class UnauthorizedError extends Error {}

export class Api {
  /** @type {URL} */ #base;

  /** @param {string | URL} base Where the page lies; the API lies beside it. */
  constructor(base) {
    this.#base = new URL(base);
  }

  get token() {
    return sessionStorage.getItem(TOKEN_KEY) ?? "";
  }

  set token(value) {
    if (value) sessionStorage.setItem(TOKEN_KEY, value);
    else sessionStorage.removeItem(TOKEN_KEY);
  }

  /** The signalling address beside the page: `wss:` where the page came by `https:`. */
  get socketUrl() {
    const url = new URL("ws", this.#base);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.search = url.hash = "";
    return url.href;
  }

  /**
   * @returns {Promise<ServerConfig>} With a fresh TURN credential.
   * @throws {UnauthorizedError} On 401.
   */
  async config() {
    return readConfig(await this.#get("api/config"));
  }

  /**
   * @returns {Promise<Recording[]>} The finished ones, newest first.
   * @throws {UnauthorizedError} On 401.
   */
  async recordings() {
    const { recordings } = await this.#get("api/recordings");
    return (Array.isArray(recordings) ? recordings : []).map((entry) => this.#readRecording(entry));
  }

  /**
   * @returns {Promise<RelayStatus>}
   * @throws {UnauthorizedError} On 401.
   */
  async relay() {
    const { relay } = await this.#get("api/status");
    /** @type {any[]} */
    const viewers = Array.isArray(relay?.viewers) ? relay.viewers : [];
    return {
      source: String(relay?.source?.peer ?? ""),
      viewers: viewers.filter((viewer) => viewer?.connected === true).length,
    };
  }

  /** @returns {Promise<boolean>} Whether the server answers HTTP at all. */
  async healthy() {
    try {
      return (await fetch(new URL("api/health", this.#base), { cache: "no-store" })).ok;
    } catch {
      return false; // fetch throws for one reason here: nobody answered
    }
  }

  /**
   * @param {string} path Relative to the page.
   * @returns {Promise<any>}
   */
  async #get(path) {
    /** @type {Record<string, string>} */
    const headers = this.token ? { Authorization: `Bearer ${this.token}` } : {};
    const response = await fetch(new URL(path, this.#base), { headers, cache: "no-store" });
    if (response.status === 401) throw new UnauthorizedError("the server asks for an access token");
    if (!response.ok) throw new Error(`/${path} answered ${response.status}`);
    return response.json();
  }

  /**
   * @param {any} entry
   * @returns {Recording}
   */
  #readRecording(entry) {
    return {
      name: String(entry.name ?? ""),
      size: Number(entry.size ?? 0),
      start: new Date(entry.start ?? NaN),
      duration: Number(entry.duration ?? 0),
      codec: String(entry.codec ?? ""),
      width: Number(entry.width ?? 0),
      height: Number(entry.height ?? 0),
      recovered: entry.status === "recovered",
      // The server knows its own paths, not the prefix that a proxy may put in front of them.
      url: new URL(String(entry.url ?? "").replace(/^\/+/, ""), this.#base).href,
    };
  }
}

/**
 * @param {any} body
 * @returns {ServerConfig}
 */
function readConfig(body) {
  return {
    mode: /** @type {Mode} */ (body.mode ?? "stream"),
    version: String(body.version ?? ""),
    source: { value: String(body.source?.value ?? ""), kind: String(body.source?.kind ?? "") },
    exposure: String(body.exposure ?? ""),
    ice: readIce(body, relayOnly(location.search)),
  };
}
