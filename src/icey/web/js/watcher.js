/**
 * Being in a call to watch: receives a server's media, and says how that goes.
 *
 * A relay may have nothing to show for now. Its viewers then wait in their call, and the picture
 * comes by itself when somebody broadcasts.
 *
 * @module watcher
 */

/** @import {CallState} from "./call.js" */
/** @import {Ice, Message, Phase} from "./types.js" */

import { Dialer } from "./dialer.js";
import { ended, inSeconds, SERVER_AWAY } from "./words.js";

/**
 * @typedef {object} WatcherOptions
 * @property {(message: Message) => boolean} send
 * @property {() => Promise<Ice>} ice
 * @property {(track: MediaStreamTrack) => void} onTrack
 * @property {(phase: Phase, status: string, problem: string) => void} onPhase
 * @property {() => void} onLive Somebody broadcasts from now on: the next picture is to be reported.
 * @property {(slow: boolean) => void} onSlow The path carries less than what is sent; or it does again.
 */

/** What a viewer of a relay waits for; empty: for nothing. */
const WAITING = {
  "": "",
  somebody: "Waiting for somebody to broadcast.",
  next: "The broadcast has ended; waiting for the next.",
};

export class Watcher {
  /** @type {WatcherOptions} */ #options;
  /** @type {Dialer} */ #dialer;
  /** Whether there was a picture since Watch was clicked. */
  #shown = false;
  /** @type {keyof typeof WAITING} */ #waiting = "";
  /** What to change, where media found no way; it stays to be read while the next call is made. */
  #noWay = "";

  /** @param {WatcherOptions} options */
  constructor(options) {
    this.#options = options;
    const { send, ice, onTrack, onPhase } = options;
    this.#dialer = new Dialer({
      send,
      ice,
      setUp(pc) {
        pc.addTransceiver("audio", { direction: "recvonly" });
        pc.addTransceiver("video", { direction: "recvonly" });
      },
      onTrack,
      onState: (state) => this.#progress(state),
      onLost: (end, delayMs) => {
        const { problem } = ended(end);
        this.#noWay = end.advice ? problem : "";
        onPhase("recovering", `The call was lost. Calling again ${inSeconds(delayMs)}…`, problem);
      },
      onAway: () => onPhase("recovering", SERVER_AWAY, ""),
      onEnd(end) {
        const { status, problem } = ended(end);
        onPhase(end.kind === "local" ? "idle" : "ended", status, problem);
      },
    });
  }

  /** Whether the person is watching, or waiting to. */
  get wanted() {
    return this.#dialer.wanted;
  }

  /** The current call's, for the quality line and for tests. */
  get peerConnection() {
    return this.#dialer.call?.peerConnection ?? null;
  }

  /** @param {string} address `user|id` of a server. */
  watch(address) {
    this.hangup();
    this.#shown = false;
    this.#noWay = "";
    this.#options.onPhase("calling", "Calling the server…", "");
    this.#dialer.dial(address);
  }

  /** @param {string} [reason] */
  hangup(reason) {
    this.#dialer.hangup(reason);
  }

  /** @param {Message} message */
  receive(message) {
    this.#dialer.receive(message);
    const { call } = this.#dialer;
    if (message.type !== "event" || !call || message.from !== call.to) return;
    switch (message.name) {
      case "relay:waiting":
        return this.#wait("somebody");
      case "relay:ended":
        return this.#wait("next");
      case "relay:live":
        return this.#live();
      case "relay:congested":
        return this.#options.onSlow(/** @type {any} */ (message.data)?.congested === true);
    }
  }

  /** The picture is on the screen. */
  pictureShown() {
    // The last ones of a broadcast may come after the news of its end.
    if (!this.#dialer.call || this.#waiting) return;
    this.#shown = true;
    this.#dialer.succeeded();
    this.#options.onPhase("playing", "Playing.", "");
  }

  /** @param {boolean} stalled */
  stalled(stalled) {
    if (this.#dialer.call?.state !== "active" || this.#waiting) return;
    if (stalled) this.#options.onPhase("recovering", "No pictures are arriving. Waiting for the server…", "");
    else this.#options.onPhase("playing", "Playing.", "");
  }

  /** The signalling connection closed. */
  signallingLost() {
    this.#dialer.signallingLost();
  }

  /** @param {string} address A server in sight. */
  serverSeen(address) {
    this.#dialer.serverSeen(address);
  }

  /** @param {"somebody" | "next"} what */
  #wait(what) {
    this.#waiting = what;
    this.#dialer.succeeded();
    this.#options.onSlow(false);
    this.#options.onPhase("waiting", WAITING[what], "");
  }

  #live() {
    this.#waiting = "";
    this.#options.onLive();
    // Where the call is still being made, that goes on as ever.
    if (this.#dialer.call?.state === "active") {
      this.#options.onPhase("waiting", "Somebody broadcasts. Waiting for the first picture…", "");
    }
  }

  /** @param {CallState} state */
  #progress(state) {
    const phase = this.#shown ? "recovering" : "connecting";
    if (state === "calling") {
      this.#waiting = ""; // what an earlier call was told
      this.#options.onSlow(false);
    } else if (state === "negotiating") this.#options.onPhase(phase, "Connecting…", this.#noWay);
    else if (state === "active" && this.#waiting) this.#options.onPhase("waiting", WAITING[this.#waiting], "");
    else if (state === "active" && !this.#shown) this.#options.onPhase(phase, "Connected. Waiting for the first picture…", "");
    else if (state === "active") this.#options.onPhase("playing", "Playing.", "");
    else if (state === "recovering") this.#options.onPhase("recovering", "The connection was interrupted. Repairing it…", "");
  }
}
