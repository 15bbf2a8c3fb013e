/**
 * One side of the page's calls, whichever it is: what a person who watches and one who sends share.
 *
 * @module party
 */

/** @import {CallState} from "./call.js" */
/** @import {CallEnd, Ice, Message, Phase} from "./types.js" */

import { Dialer } from "./dialer.js";
import { ended, inSeconds, SERVER_AWAY } from "./words.js";

/**
 * @typedef {object} PartyOptions
 * @property {(message: Message) => boolean} send
 * @property {() => Promise<Ice>} ice
 * @property {string} [session] By which a server knows us again in a later call.
 * @property {(track: MediaStreamTrack) => void} [onTrack]
 * @property {(phase: Phase, status: string, problem: string) => void} onPhase
 */

/** @abstract */
export class Party {
  /**
   * @protected
   * @readonly
   * @type {Dialer}
   */
  dialer;
  /** @protected What to change, where media found no way; it stays to be read while the next call is made. */
  noWay = "";
  /** @protected What was said last. */
  said = { phase: /** @type {Phase} */ ("idle"), status: "", problem: "" };
  /** @type {PartyOptions} */ #options;

  /** @param {PartyOptions} options */
  constructor(options) {
    this.#options = options;
    const { send, ice, session, onTrack } = options;
    this.dialer = new Dialer({
      send,
      ice,
      session,
      onTrack,
      setUp: (pc) => this.setUp(pc),
      onState: (state) => this.progressed(state),
      onLost: (end, delayMs) => {
        const { problem } = ended(end);
        this.noWay = end.advice ? problem : "";
        this.interrupted(`The call was lost. Calling again ${inSeconds(delayMs)}…`, problem);
      },
      onAway: () => this.interrupted(SERVER_AWAY, ""),
      onCutOff: () => this.say("recovering", SERVER_AWAY),
      onEnd: (end) => this.over(end),
    });
  }

  /** Whether the person is in a call, or waiting to be. */
  get wanted() {
    return this.dialer.wanted;
  }

  /** The current call's, for the quality line and for tests. */
  get peerConnection() {
    return this.dialer.call?.peerConnection ?? null;
  }

  /** @param {string} [reason] */
  hangup(reason) {
    this.dialer.hangup(reason);
  }

  /**
   * The signalling connection closed.
   *
   * @param {boolean} broken Without a goodbye of the server.
   */
  signallingLost(broken) {
    this.dialer.signallingLost(broken);
  }

  /** @param {string} address A server in sight. */
  serverSeen(address) {
    this.dialer.serverSeen(address);
  }

  /**
   * Adds what a call sends and receives.
   *
   * @protected
   * @abstract
   * @param {RTCPeerConnection} _pc
   * @returns {void | Promise<void>}
   */
  setUp(_pc) {
    throw new Error("not defined");
  }

  /**
   * @protected
   * @abstract
   * @param {CallState} _state The current call's.
   */
  progressed(_state) {
    throw new Error("not defined");
  }

  /**
   * There is no call for now; the next comes by itself.
   *
   * @protected
   * @param {string} status
   * @param {string} problem
   */
  interrupted(status, problem) {
    this.say("recovering", status, problem);
  }

  /**
   * The call is over.
   *
   * @protected
   * @param {CallEnd} end
   * @param {string} [more] What follows from that.
   */
  over(end, more = "") {
    const { status, problem } = ended(end);
    this.say(end.kind === "local" ? "idle" : "ended", more ? `${status} ${more}` : status, problem);
  }

  /**
   * @protected
   * @param {Phase} phase
   * @param {string} status
   * @param {string} [problem]
   */
  say(phase, status, problem = "") {
    this.said = { phase, status, problem };
    this.#options.onPhase(phase, status, problem);
  }
}
