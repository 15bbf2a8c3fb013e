/**
 * Being in a call to watch: receives a server's media, and says how that goes.
 *
 * A relay may have nothing to show for now. Its viewers then wait in their call, and the picture
 * comes by itself when somebody broadcasts.
 *
 * @module watcher
 */

/** @import {CallState} from "./call.js" */
/** @import {PartyOptions} from "./party.js" */
/** @import {Message} from "./types.js" */

import { Party } from "./party.js";

/**
 * @typedef {object} WatcherHandlers
 * @property {() => void} onLive Somebody broadcasts from now on: the next picture is to be reported.
 * @property {(slow: boolean) => void} onSlow The path carries less than what is sent; or it does again.
 */

/** What a viewer of a relay waits for; empty: for nothing. */
const WAITING = {
  "": "",
  somebody: "Waiting for somebody to broadcast.",
  next: "The broadcast has ended; waiting for the next.",
};

export class Watcher extends Party {
  /** @type {WatcherHandlers} */ #handlers;
  /** Whether there was a picture since Watch was clicked. */
  #shown = false;
  /** @type {keyof typeof WAITING} */ #waiting = "";

  /** @param {PartyOptions & WatcherHandlers} options */
  constructor(options) {
    super(options);
    this.#handlers = options;
  }

  /** @param {string} address `user|id` of a server. */
  watch(address) {
    this.hangup();
    this.#shown = false;
    this.noWay = "";
    this.say("calling", "Calling the server…");
    this.dialer.dial(address);
  }

  /** @param {Message} message */
  receive(message) {
    this.dialer.receive(message);
    const { call } = this.dialer;
    if (message.type !== "event" || !call || message.from !== call.to) return;
    switch (message.name) {
      case "relay:waiting":
        return this.#wait("somebody");
      case "relay:ended":
        return this.#wait("next");
      case "relay:live":
        return this.#live();
      case "relay:congested":
        return this.#handlers.onSlow(/** @type {any} */ (message.data)?.congested === true);
    }
  }

  /** The picture is on the screen. */
  pictureShown() {
    // The last ones of a broadcast may come after the news of its end.
    if (!this.dialer.call || this.#waiting) return;
    this.#shown = true;
    this.dialer.succeeded();
    this.say("playing", "Playing.");
  }

  /** @param {boolean} stalled */
  stalled(stalled) {
    if (this.dialer.call?.state !== "active" || this.#waiting) return;
    if (stalled) this.say("recovering", "No pictures are arriving. Waiting for the server…");
    else this.say("playing", "Playing.");
  }

  /**
   * @protected
   * @override
   * @param {RTCPeerConnection} pc
   */
  setUp(pc) {
    pc.addTransceiver("audio", { direction: "recvonly" });
    pc.addTransceiver("video", { direction: "recvonly" });
  }

  /** @param {"somebody" | "next"} what */
  #wait(what) {
    this.#waiting = what;
    this.dialer.succeeded();
    this.#handlers.onSlow(false);
    this.say("waiting", WAITING[what]);
  }

  #live() {
    this.#waiting = "";
    this.#handlers.onLive();
    // Where the call is still being made, that goes on as ever.
    if (this.dialer.call?.state === "active") {
      this.say("waiting", "Somebody broadcasts. Waiting for the first picture…");
    }
  }

  /**
   * @protected
   * @override
   * @param {CallState} state
   */
  progressed(state) {
    const phase = this.#shown ? "recovering" : "connecting";
    if (state === "calling") {
      this.#waiting = ""; // what an earlier call was told
      this.#handlers.onSlow(false);
    } else if (state === "negotiating") this.say(phase, "Connecting…", this.noWay);
    else if (state === "active" && this.#waiting) this.say("waiting", WAITING[this.#waiting]);
    else if (state === "active" && !this.#shown) this.say(phase, "Connected. Waiting for the first picture…");
    else if (state === "active") this.say("playing", "Playing.");
    else if (state === "recovering") this.say("recovering", "The connection was interrupted. Repairing it…");
  }
}
