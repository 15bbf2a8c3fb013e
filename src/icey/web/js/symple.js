/**
 * A small Symple v4 client: authentication, presence, routing, reconnect with back-off.
 *
 * It knows the wire and nothing else: no calls, no media, no page. What it learns it
 * hands to the handlers given at construction.
 *
 * @module symple
 */

/** @import {Connection, Message, Peer} from "./types.js" */

/**
 * @typedef {object} Handlers
 * @property {(connection: Connection) => void} onConnection
 * @property {(peers: Peer[]) => void} onPeers Everyone now in sight, after any change.
 * @property {(message: Message) => void} onMessage A routed message, presence apart.
 * @property {(status: number, message: string) => void} onError An error that leaves the connection up.
 */

/**
 * @typedef {object} Options
 * @property {string} url `ws:` or `wss:`; never carries the token.
 * @property {string} user
 * @property {string} name
 * @property {Record<string, unknown>} [data] Extras of our presence.
 * @property {() => string} token Asked for at every attempt, so that a new one takes effect.
 */

const FIRST_DELAY_MS = 400;
const LONGEST_DELAY_MS = 10_000;
/** A socket that is open but never says welcome is as good as none. */
const WELCOME_TIMEOUT_MS = 10_000;
/** What browsers say of a socket that broke (RFC 6455 §7.4.1). */
const NO_GOODBYE = 1006;
/** A crowd in sight is told of as one; a server at once, as it is waited for. */
const CROWD_MS = 50;

/**
 * How long to wait before attempt `attempt` (1, 2, …), in milliseconds.
 *
 * Doubles up to a ceiling; the jitter keeps the browsers of a restarted server from
 * all coming back in the same instant.
 *
 * @param {number} attempt
 * @param {number} random In 0..1.
 * @returns {number}
 */
export function backoff(attempt, random) {
  const delay = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (attempt - 1));
  return Math.round(delay * (0.75 + random * 0.5));
}

/**
 * @param {Peer} peer
 * @returns {string} The address of its session, `user|id`.
 */
export function addressOf(peer) {
  return `${peer.user}|${peer.id}`;
}

export class SympleClient {
  /** @type {Options} */ #options;
  /** @type {Handlers} */ #handlers;
  /** @type {WebSocket | null} */ #socket = null;
  /** @type {Peer | null} */ #self = null;
  /** @type {Map<string, Peer>} */ #peers = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #telling;
  #attempt = 0;
  #running = false;

  /**
   * @param {Options} options
   * @param {Handlers} handlers
   */
  constructor(options, handlers) {
    this.#options = options;
    this.#handlers = handlers;
  }

  get online() {
    return this.#self !== null;
  }

  /** Connect, and stay connected until `stop`. */
  start() {
    if (this.#running) return;
    this.#running = true;
    this.#attempt = 0;
    this.#open();
  }

  /** Say goodbye and stay away. */
  stop() {
    this.#running = false;
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#forget();
    if (socket) {
      if (socket.readyState === WebSocket.OPEN) socket.send('{"type":"close"}');
      socket.close(1000);
    }
    this.#handlers.onConnection({ name: "stopped" });
  }

  /** Try at once instead of at the end of the wait (the network came back, the tab was shown). */
  retryNow() {
    if (!this.#running || this.#socket) return;
    clearTimeout(this.#timer);
    this.#open();
  }

  /**
   * Send a message; dropped where there is no connection, as it would reach nobody.
   *
   * @param {Message} message
   * @returns {boolean} Whether it was sent.
   */
  send(message) {
    if (!this.#self || this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #open() {
    this.#handlers.onConnection({ name: "connecting" });
    const socket = new WebSocket(this.#options.url);
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#lost(socket), WELCOME_TIMEOUT_MS);
    socket.onopen = () => {
      const { user, name, data = {} } = this.#options;
      socket.send(JSON.stringify({ type: "auth", user, name, token: this.#options.token(), data }));
    };
    socket.onmessage = (event) => {
      if (socket === this.#socket) this.#receive(event.data);
    };
    // Browsers say nothing about why in `error`; `close` always follows it.
    socket.onclose = ({ code }) => this.#lost(socket, code === NO_GOODBYE);
  }

  /**
   * @param {WebSocket} socket
   * @param {boolean} [broken]
   */
  #lost(socket, broken = true) {
    if (socket !== this.#socket) return;
    clearTimeout(this.#timer);
    this.#forget();
    socket.close();
    if (!this.#running) return;
    this.#attempt += 1;
    const delayMs = backoff(this.#attempt, Math.random());
    this.#timer = setTimeout(() => this.#open(), delayMs);
    this.#handlers.onConnection({ name: "waiting", attempt: this.#attempt, delayMs, broken });
  }

  #forget() {
    this.#socket = null;
    this.#self = null;
    clearTimeout(this.#telling);
    this.#telling = undefined;
    if (this.#peers.size > 0) {
      this.#peers.clear();
      this.#handlers.onPeers([]);
    }
  }

  /** @param {unknown} text */
  #receive(text) {
    const frame = parse(text);
    if (!frame) return;
    switch (frame.type) {
      case "welcome":
        return this.#welcome(/** @type {{peer?: Peer}} */ (frame).peer);
      case "error":
        return this.#error(/** @type {{status?: number, message?: string}} */ (frame));
      case "presence":
        return this.#presence(frame);
      case "message":
      case "event":
      case "command":
        return this.#handlers.onMessage(frame);
    }
  }

  /** @param {Peer | undefined} peer */
  #welcome(peer) {
    if (!peer) return;
    clearTimeout(this.#timer);
    this.#self = peer;
    this.#attempt = 0;
    this.#handlers.onConnection({ name: "online" });
  }

  /** @param {{status?: number, message?: string}} frame */
  #error({ status = 0, message = "" }) {
    if (this.#self || status !== 401) {
      this.#handlers.onError(status, message);
      return;
    }
    // Trying again with the same token would be refused again: wait for `start`.
    const socket = this.#socket;
    this.#running = false;
    clearTimeout(this.#timer);
    this.#forget();
    socket?.close();
    this.#handlers.onConnection({ name: "refused", status, message });
  }

  #tellPeers() {
    clearTimeout(this.#telling);
    this.#telling = undefined;
    this.#handlers.onPeers([...this.#peers.values()]);
  }

  /** @param {Message} message */
  #presence(message) {
    const peer = /** @type {Peer | undefined} */ (message.data);
    if (peer && typeof peer.id === "string" && typeof peer.user === "string") {
      if (peer.online === false) this.#peers.delete(peer.id);
      else if (peer.id !== this.#self?.id) this.#peers.set(peer.id, peer);
      if (peer.type === "server") this.#tellPeers();
      else this.#telling ??= setTimeout(() => this.#tellPeers(), CROWD_MS);
    }
    if (message.probe && message.from && this.#self) {
      this.send({ type: "presence", to: message.from, data: this.#self });
    }
  }
}

/**
 * @param {unknown} text
 * @returns {Message | null}
 */
function parse(text) {
  if (typeof text !== "string") return null;
  try {
    const frame = JSON.parse(text);
    return wellFormed(frame) ? frame : null;
  } catch (error) {
    console.warn("icey: a frame that is not JSON", error);
    return null;
  }
}

/**
 * @param {any} frame
 * @returns {frame is Message} What other peers write into a message is not to be relied on.
 */
function wellFormed(frame) {
  return typeof frame === "object" && frame !== null && typeof frame.type === "string"
    && ["string", "undefined"].includes(typeof frame.subtype)
    && ["string", "undefined"].includes(typeof frame.from);
}
