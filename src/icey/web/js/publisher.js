/**
 * Being in a call to be seen and heard: opens the camera, sends it, and says how that goes. What
 * the call is for is the business of the classes made from this one.
 *
 * The camera stays open while calls are lost and made anew, and is let go when the person hangs
 * up or the server ends the call.
 *
 * @module publisher
 */

/** @import {CallState} from "./call.js" */
/** @import {PartyOptions} from "./party.js" */
/** @import {CallEnd, Message, Phase} from "./types.js" */

import { CameraError, openCamera, openMicrophone } from "./camera.js";
import { Party } from "./party.js";
import { sendTrack } from "./sending.js";
import { cameraProblem, silenceNote } from "./words.js";

/**
 * What is sent: `off` is open and silent or black.
 *
 * @typedef {"none" | "on" | "off"} DeviceState
 */

/**
 * @typedef {object} PublisherHandlers
 * @property {(stream: MediaStream | null) => void} onPreview
 * @property {(microphone: DeviceState, camera: DeviceState) => void} onDevices
 */

/** @typedef {PartyOptions & PublisherHandlers} PublisherOptions */

/**
 * @typedef {object} PublisherWords
 * @property {string} noCamera There is none to begin with.
 * @property {string} cameraGone What of that which was sent stays.
 * @property {string} silent What has no sound where there is no microphone.
 */

/** @abstract */
export class Publisher extends Party {
  /** @type {PublisherHandlers} */ #handlers;
  /** @type {PublisherWords} */ #words;
  /** @type {MediaStream | null} */ #stream = null;
  /** What the person switched off; it stays off in the next call of the same wish. */
  #off = { audio: false, video: false };
  #note = "";
  #asking = false;
  #turn = 0;

  /**
   * @param {PublisherOptions} options
   * @param {PublisherWords} words
   */
  constructor(options, words) {
    super(options);
    this.#handlers = options;
    this.#words = words;
  }

  /** @override */
  get wanted() {
    return this.#asking || super.wanted;
  }

  get stream() {
    return this.#stream;
  }

  /** @param {string} address `user|id` of a server. */
  async call(address) {
    this.hangup();
    this.noWay = "";
    const turn = ++this.#turn;
    this.#off = { audio: false, video: false };
    this.#asking = true;
    this.say("asking", "Allow the camera and the microphone in your browser…");
    try {
      await this.#openCamera(turn);
    } catch (error) {
      if (turn === this.#turn) this.#noCamera(error);
      return;
    }
    if (turn !== this.#turn) return;
    this.#asking = false;
    this.say("calling", "Calling the server…");
    this.dialer.dial(address);
  }

  /**
   * @override
   * @param {string} [reason]
   */
  hangup(reason) {
    const wasAsking = this.#asking;
    this.#turn += 1;
    this.#asking = false;
    super.hangup(reason);
    this.#release();
    if (wasAsking) this.say("idle", "Hung up.");
  }

  /** Switch the camera's picture off or on again; the call goes on. */
  toggleCamera() {
    this.#off.video = !this.#off.video;
    this.#applyOff();
  }

  /** Switch the microphone off or on again; where there was none, look for one now. */
  async toggleMicrophone() {
    if (this.#stream && this.#stream.getAudioTracks().length === 0) return this.#addMicrophone(this.#stream);
    this.#off.audio = !this.#off.audio;
    this.#applyOff();
  }

  /**
   * @param {Message} message
   * @param {boolean} fromServer Whether it is a server that says so.
   */
  receive(message, fromServer) {
    this.dialer.receive(message);
    if (fromServer && message.type === "event") this.told(message);
  }

  // What the classes made from this one say and do.

  /**
   * @protected
   * @param {RTCPeerConnection} pc
   * @param {MediaStreamTrack} track
   * @param {MediaStream} stream
   * @returns {Promise<void>}
   */
  send(pc, track, stream) {
    return sendTrack(pc, track, stream);
  }

  /**
   * @protected
   * @override
   * @param {CallState} state
   */
  progressed(state) {
    if (state === "active") this.noWay = "";
    else if (state === "negotiating") this.say("connecting", "Connecting…");
    else if (state === "recovering") this.say("recovering", "The connection was interrupted. Repairing it…");
  }

  /**
   * An event of a server.
   *
   * @protected
   * @param {Message} _event
   */
  told(_event) {}

  /**
   * The call is over, and the camera is let go.
   *
   * @protected
   * @override
   * @param {CallEnd} end
   * @param {string} [more]
   */
  over(end, more) {
    this.#release();
    super.over(end, more);
  }

  /**
   * @protected
   * @override
   * @param {Phase} phase
   * @param {string} status
   * @param {string} [problem]
   */
  say(phase, status, problem = this.noWay || this.#note) {
    super.say(phase, status, problem);
  }

  /**
   * A call that is made because the server came back may have to open the camera again first.
   *
   * @protected
   * @override
   * @param {RTCPeerConnection} pc
   */
  async setUp(pc) {
    const stream = this.#stream ?? (await this.#openCamera(this.#turn));
    for (const track of stream.getTracks()) await this.send(pc, track, stream);
  }

  /**
   * @param {number} turn Given up where it is no longer `#turn`.
   * @returns {Promise<MediaStream>}
   */
  async #openCamera(turn) {
    const { stream, silence } = await openCamera();
    if (turn !== this.#turn) {
      stop(stream);
      return stream;
    }
    this.#stream = stream;
    this.#note = silence ? silenceNote(silence, this.#words.silent) : "";
    for (const track of stream.getTracks()) this.#watch(track);
    this.#handlers.onPreview(stream);
    this.#applyOff();
    return stream;
  }

  /** @param {MediaStream} stream */
  async #addMicrophone(stream) {
    try {
      const track = await openMicrophone();
      if (stream !== this.#stream) return track.stop();
      stream.addTrack(track);
      this.#watch(track);
      this.#off.audio = false;
      this.#note = "";
      this.#applyOff();
      const pc = this.peerConnection;
      if (pc) await this.send(pc, track, stream); // makes a new offer by itself
    } catch (error) {
      this.#note = silenceNote(error instanceof CameraError ? error.failure : "other", this.#words.silent);
    }
    if (stream === this.#stream) this.say(this.said.phase, this.said.status);
  }

  /** @param {MediaStreamTrack} track A device can be unplugged, or its permission withdrawn. */
  #watch(track) {
    track.onended = () => {
      if (!this.#stream?.getTracks().includes(track)) return;
      if (track.kind === "video") {
        this.hangup("the camera was taken away");
        const gone = "The camera is gone: it was unplugged, or its permission was withdrawn.";
        this.say("ended", this.said.status, `${gone} ${this.#words.cameraGone}`);
        return;
      }
      this.#stream.removeTrack(track);
      this.#note = `The microphone is gone: from here on ${this.#words.silent} has no sound.`;
      this.#applyOff();
      this.say(this.said.phase, this.said.status);
    };
  }

  #applyOff() {
    const [audio] = this.#stream?.getAudioTracks() ?? [];
    const [video] = this.#stream?.getVideoTracks() ?? [];
    if (audio) audio.enabled = !this.#off.audio;
    if (video) video.enabled = !this.#off.video;
    this.#handlers.onDevices(deviceState(audio), deviceState(video));
  }

  #release() {
    if (!this.#stream) return;
    stop(this.#stream);
    this.#stream = null;
    this.#note = "";
    this.#handlers.onPreview(null);
    this.#applyOff();
  }

  /** @param {unknown} error */
  #noCamera(error) {
    this.#asking = false;
    const problem = error instanceof CameraError ? cameraProblem(error.failure, error.message) : String(error);
    this.say("ended", this.#words.noCamera, problem);
  }
}

/** @param {MediaStream} stream */
function stop(stream) {
  for (const track of stream.getTracks()) {
    track.onended = null;
    track.stop();
  }
}

/**
 * @param {MediaStreamTrack | undefined} track
 * @returns {DeviceState}
 */
function deviceState(track) {
  if (!track) return "none";
  return track.enabled ? "on" : "off";
}
