/**
 * Keeps up what the person asked for: "I want to watch this server".
 *
 * A call may be lost on the way (the network changed, the server was restarted); the wish
 * stays until the person hangs up, the server says no, or what was watched has ended. While
 * it stays, the watcher calls again.
 *
 * @module watcher
 */

/** @import {CallEnd, Message, Phase} from "./types.js" */

import { Call } from "./call.js";
import { backoff } from "./symple.js";
import { ended, inSeconds } from "./words.js";

/**
 * @typedef {object} WatcherOptions
 * @property {(message: Message) => boolean} send
 * @property {() => Promise<RTCIceServer[]>} iceServers
 * @property {(track: MediaStreamTrack) => void} onTrack
 * @property {(phase: Phase, status: string, problem: string) => void} onPhase
 */

/** A server that stops hangs up first and closes its socket next: that is no end of the wish. */
const SHUTDOWN_MS = 3_000;

export class Watcher {
  /** @type {WatcherOptions} */ #options;
  /** @type {Call | null} */ #call = null;
  /** @type {string} The address that is to be watched; empty = nobody. */ #wish = "";
  /** @type {{wish: string, at: number}} The wish that a hang-up of the server ended. */ #dropped = { wish: "", at: 0 };
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #redial;
  #attempt = 0;
  #shown = false;
  #dialing = 0;

  /** @param {WatcherOptions} options */
  constructor(options) {
    this.#options = options;
  }

  /** Whether the person is watching, or waiting to. */
  get wanted() {
    return this.#wish !== "";
  }

  /** The current call's, for tests. */
  get peerConnection() {
    return this.#call?.peerConnection ?? null;
  }

  /** @param {string} address `user|id` of a server. */
  watch(address) {
    this.hangup();
    this.#wish = address;
    this.#attempt = 0;
    this.#shown = false;
    this.#options.onPhase("calling", "Calling the server…", "");
    this.#dial();
  }

  hangup() {
    this.#withdraw();
    this.#call?.hangup();
  }

  /** @param {Message} message */
  receive(message) {
    if (message.from === this.#call?.to && message.subtype?.startsWith("call:")) {
      this.#call?.receive(message.subtype, message.data);
    }
  }

  /** The picture is on the screen. */
  pictureShown() {
    if (!this.#call) return;
    this.#shown = true;
    this.#attempt = 0;
    this.#options.onPhase("playing", "Playing.", "");
  }

  /** @param {boolean} stalled */
  stalled(stalled) {
    if (this.#call?.state !== "active") return;
    if (stalled) this.#options.onPhase("recovering", "No pictures are arriving. Waiting for the server…", "");
    else this.#options.onPhase("playing", "Playing.", "");
  }

  /** The signalling connection closed. */
  signallingLost() {
    const { wish, at } = this.#dropped;
    if (wish && performance.now() - at < SHUTDOWN_MS) this.#wish = wish;
    this.#dropped = { wish: "", at: 0 };
    this.#call?.signallingLost();
    if (!this.#wish) return;
    // Nobody to call until a server is in sight again.
    clearTimeout(this.#redial);
    this.#redial = undefined;
    this.#dialing += 1;
    this.#options.onPhase("recovering", "The connection to the server was lost. Waiting for it to come back…", "");
  }

  /**
   * A server is in sight. It has a new id after a restart; its user stays.
   *
   * @param {string} address
   */
  serverSeen(address) {
    if (!this.#wish || this.#call || userOf(address) !== userOf(this.#wish)) return;
    if (address === this.#wish && this.#redial !== undefined) return; // its turn comes
    this.#wish = address;
    this.#dial();
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
    const iceServers = await this.#options.iceServers();
    if (turn !== this.#dialing) return;
    const call = new Call({
      to: this.#wish,
      iceServers,
      send: this.#options.send,
      onTrack: this.#options.onTrack,
      onState: (state) => this.#progress(state),
      onEnd: (end) => this.#ended(call, end),
    });
    this.#call = call;
    call.start();
  }

  /** @param {import("./call.js").CallState} state */
  #progress(state) {
    const phase = this.#shown ? "recovering" : "connecting";
    if (state === "negotiating") this.#options.onPhase(phase, "Connecting…", "");
    else if (state === "active" && !this.#shown) this.#options.onPhase(phase, "Connected. Waiting for the first picture…", "");
    else if (state === "active") this.#options.onPhase("playing", "Playing.", "");
    else if (state === "recovering") this.#options.onPhase("recovering", "The connection was interrupted. Repairing it…", "");
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
      this.#options.onPhase("recovering", `The call was lost. Calling again ${inSeconds(delay)}…`, ended(end).problem);
      return;
    }
    const wish = this.#wish;
    this.#withdraw();
    if (end.kind === "remote") this.#dropped = { wish, at: performance.now() };
    const { status, problem } = ended(end);
    this.#options.onPhase(end.kind === "local" ? "idle" : "ended", status, problem);
  }
}

/**
 * @param {string} address
 * @returns {string}
 */
function userOf(address) {
  return address.slice(0, address.lastIndexOf("|"));
}
