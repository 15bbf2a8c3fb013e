/**
 * Keeps up a wish: "I want to be in a call with this server".
 *
 * A call may be lost on the way (the network changed, the server was restarted); the wish
 * stays until the person hangs up, the server says no, or the server ends the call. While
 * it stays, the dialer calls again. What a call is for is the business of whoever owns it.
 *
 * @module dialer
 */

/** @import {CallState} from "./call.js" */
/** @import {CallEnd, Ice, Message} from "./types.js" */

import { Call } from "./call.js";
import { backoff } from "./symple.js";

/**
 * @typedef {object} DialerOptions
 * @property {(message: Message) => boolean} send
 * @property {() => Promise<Ice>} ice
 * @property {(pc: RTCPeerConnection) => void | Promise<void>} setUp
 * @property {string} [session] By which a server knows us again in a later call.
 * @property {(track: MediaStreamTrack) => void} [onTrack]
 * @property {(state: CallState) => void} onState
 * @property {(end: CallEnd, delayMs: number) => void} onLost The call broke; the next one comes after the delay.
 * @property {() => void} onAway The server is out of sight; it is called again when it is back.
 * @property {() => void} onCutOff The server is out of sight, and the call's media go on.
 * @property {(end: CallEnd) => void} onEnd The wish is over.
 */

/** A server that stops hangs up first and closes its socket next: that is no end of the wish. */
const SHUTDOWN_MS = 3_000;

export class Dialer {
  /** @type {DialerOptions} */ #options;
  /** @type {Call | null} */ #call = null;
  /** @type {string} The address to be in a call with; empty = nobody. */ #wish = "";
  /** @type {{wish: string, at: number}} The wish that a hang-up of the server ended. */ #dropped = { wish: "", at: 0 };
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #redial;
  #attempt = 0;
  #dialing = 0;

  /** @param {DialerOptions} options */
  constructor(options) {
    this.#options = options;
  }

  /** Whether there is a wish. */
  get wanted() {
    return this.#wish !== "";
  }

  /** The current call. */
  get call() {
    return this.#call;
  }

  /** @param {string} address `user|id` of a server. */
  dial(address) {
    this.hangup();
    this.#wish = address;
    this.#attempt = 0;
    void this.#dial();
  }

  /** @param {string} [reason] */
  hangup(reason) {
    this.#withdraw();
    this.#call?.hangup(reason);
  }

  /** The call does what it is for: a later loss starts with a short wait again. */
  succeeded() {
    this.#attempt = 0;
  }

  /** @param {Message} message */
  receive(message) {
    if (message.from === this.#call?.to && message.subtype?.startsWith("call:")) {
      this.#call?.receive(message.subtype, message.data);
    }
  }

  /**
   * The signalling connection closed.
   *
   * @param {boolean} broken Without a goodbye of the server, which then keeps a call for a while.
   */
  signallingLost(broken) {
    const { wish, at } = this.#dropped;
    if (wish && performance.now() - at < SHUTDOWN_MS) this.#wish = wish;
    this.#dropped = { wish: "", at: 0 };
    if (this.#call?.signallingLost(broken)) return this.#options.onCutOff();
    if (!this.#wish) return;
    // Nobody to call until a server is in sight again.
    clearTimeout(this.#redial);
    this.#redial = undefined;
    this.#dialing += 1;
    this.#options.onAway();
  }

  /**
   * A server is in sight. It has a new id after a restart; its user stays.
   *
   * @param {string} address
   */
  serverSeen(address) {
    if (!this.#wish || userOf(address) !== userOf(this.#wish)) return;
    if (this.#call) return this.#call.resume(address);
    if (address === this.#wish && this.#redial !== undefined) return; // its turn comes
    this.#wish = address;
    void this.#dial();
  }

  #withdraw() {
    this.#wish = "";
    this.#dropped = { wish: "", at: 0 };
    this.#dialing += 1;
    clearTimeout(this.#redial);
    this.#redial = undefined;
  }

  async #dial() {
    clearTimeout(this.#redial);
    this.#redial = undefined;
    const turn = ++this.#dialing;
    const { send, ice, setUp, session, onTrack, onState } = this.#options;
    const ways = await ice();
    if (turn !== this.#dialing) return;
    /** @type {Call} */
    const call = new Call({
      to: this.#wish,
      ice: ways,
      freshIce: ice,
      session,
      send,
      setUp,
      onTrack,
      onState,
      onEnd: (end) => this.#ended(call, end),
    });
    this.#call = call;
    call.start();
  }

  /**
   * @param {Call} call
   * @param {CallEnd} end
   */
  #ended(call, end) {
    if (call !== this.#call) return;
    this.#call = null;
    if (end.kind === "lost" && this.#wish) {
      this.#attempt += 1;
      const delay = backoff(this.#attempt, Math.random());
      this.#redial = setTimeout(() => this.#dial(), delay);
      this.#options.onLost(end, delay);
      return;
    }
    const wish = this.#wish;
    this.#withdraw();
    if (end.kind === "remote") this.#dropped = { wish, at: performance.now() };
    this.#options.onEnd(end);
  }
}

/**
 * @param {string} address
 * @returns {string}
 */
function userOf(address) {
  return address.slice(0, address.lastIndexOf("|"));
}
