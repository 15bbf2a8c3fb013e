/**
 * Being in a call to be passed on to everybody who watches.
 *
 * @module broadcaster
 */

/** @import {CallState} from "./call.js" */
/** @import {PublisherOptions} from "./publisher.js" */
/** @import {Message} from "./types.js" */

import { Publisher } from "./publisher.js";
import { sendTrackInLayers, settleLayers } from "./sending.js";
import { inSeconds } from "./words.js";

const SESSION_KEY = "icey.session";

/**
 * By this secret the server knows the broadcaster again after a reload, and keeps its place for it meanwhile. It lives
 * as long as the tab.
 *
 * @returns {string}
 */
function sessionSecret() {
  const kept = sessionStorage.getItem(SESSION_KEY);
  if (kept) return kept;
  const made = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  sessionStorage.setItem(SESSION_KEY, made);
  return made;
}

export class Broadcaster extends Publisher {
  /** The place is kept for another one; the news may come before our connection is up. */
  #held = false;

  /** @param {PublisherOptions} options */
  constructor(options) {
    super({ ...options, session: sessionSecret() }, {
      noCamera: "There is no camera to broadcast.",
      cameraGone: "The broadcast has ended.",
      silent: "the broadcast",
    });
  }

  /**
   * @protected
   * @override
   * @param {RTCPeerConnection} pc
   * @param {MediaStreamTrack} track
   * @param {MediaStream} stream
   */
  send(pc, track, stream) {
    return sendTrackInLayers(pc, track, stream);
  }

  /**
   * @protected
   * @override
   * @param {CallState} state
   */
  progressed(state) {
    super.progressed(state);
    if (state === "calling") this.#held = false;
    if (state !== "active") return;
    const pc = this.peerConnection;
    if (pc) void settleLayers(pc);
    this.dialer.succeeded();
    if (!this.#held) this.say("playing", "You are live.");
  }

  /**
   * @protected
   * @override
   * @param {Message} event
   */
  told(event) {
    if (event.name === "relay:held") this.#wait(event.data);
    else if (event.name === "relay:elected" && this.#held) this.#elected();
  }

  #elected() {
    this.#held = false;
    if (this.dialer.call) this.say("playing", "You are live.");
  }

  /** @param {any} data The place is kept for somebody who has just left. */
  #wait(data) {
    if (!this.dialer.call) return;
    this.#held = true;
    const seconds = Number(data?.seconds) || 0;
    this.say("connecting", `The last broadcaster may come back. You are live ${inSeconds(seconds * 1000)}, if not…`);
  }
}
