/**
 * Being in a call to be passed on to everybody who watches.
 *
 * @module broadcaster
 */

/** @import {CallState} from "./call.js" */
/** @import {PublisherOptions} from "./publisher.js" */

import { Publisher } from "./publisher.js";
import { sendTrackInLayers, settleLayers } from "./sending.js";

export class Broadcaster extends Publisher {
  /** @param {PublisherOptions} options */
  constructor(options) {
    super(options, {
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
    if (state !== "active") return;
    const pc = this.peerConnection;
    if (pc) void settleLayers(pc);
    this.dialer.succeeded();
    this.say("playing", "You are live.");
  }
}
