/**
 * Being in a call to be recorded: opens the camera, sends it, and says how that goes.
 *
 * The camera stays open while calls are lost and made anew, and is let go when the person hangs
 * up or the server ends the call.
 *
 * @module publisher
 */

/** @import {CallState} from "./call.js" */
/** @import {CallEnd, Message, Phase} from "./types.js" */

import { CameraError, openCamera, openMicrophone } from "./camera.js";
import { Dialer } from "./dialer.js";
import { sendTrack } from "./sending.js";
import { cameraProblem, clock, ended, inSeconds, SERVER_AWAY, silenceNote } from "./words.js";

/**
 * `since`: by `performance.now()`.
 *
 * @typedef {{name: "off"} | {name: "waiting"} | {name: "running", since: number}} RecordingState
 */

/**
 * What is sent: `off` is open and silent or black.
 *
 * @typedef {"none" | "on" | "off"} DeviceState
 */

/**
 * @typedef {object} PublisherOptions
 * @property {(message: Message) => boolean} send
 * @property {() => Promise<RTCIceServer[]>} iceServers
 * @property {(phase: Phase, status: string, problem: string) => void} onPhase
 * @property {(stream: MediaStream | null) => void} onPreview
 * @property {(microphone: DeviceState, camera: DeviceState) => void} onDevices
 * @property {(recording: RecordingState) => void} onRecording
 * @property {() => void} onFinished There is a new file.
 */

export class Publisher {
  /** @type {PublisherOptions} */ #options;
  /** @type {Dialer} */ #dialer;
  /** @type {MediaStream | null} */ #stream = null;
  /** @type {RecordingState} */ #recording = { name: "off" };
  /** What the person switched off; it stays off in the next call of the same wish. */
  #off = { audio: false, video: false };
  #note = "";
  #asking = false;
  #turn = 0;
  /** @type {Phase} What was said last, as are the two below. */ #phase = "idle";
  #status = "";
  #problem = "";

  /** @param {PublisherOptions} options */
  constructor(options) {
    this.#options = options;
    const { send, iceServers } = options;
    this.#dialer = new Dialer({
      send,
      iceServers,
      setUp: (pc) => this.#setUp(pc),
      onState: (state) => this.#progress(state),
      onLost: (end, delayMs) =>
        this.#interrupted(`The call was lost. Calling again ${inSeconds(delayMs)}…`, ended(end).problem),
      onAway: () => this.#interrupted(SERVER_AWAY, ""),
      onEnd: (end) => this.#ended(end),
    });
  }

  /** Whether the person is being recorded, or waiting to. */
  get wanted() {
    return this.#asking || this.#dialer.wanted;
  }

  /** The current call's, for the quality line and for tests. */
  get peerConnection() {
    return this.#dialer.call?.peerConnection ?? null;
  }

  get stream() {
    return this.#stream;
  }

  /** @param {string} address `user|id` of a server. */
  async call(address) {
    this.hangup();
    const turn = ++this.#turn;
    this.#off = { audio: false, video: false };
    this.#asking = true;
    this.#say("asking", "Allow the camera and the microphone in your browser…");
    try {
      await this.#openCamera(turn);
    } catch (error) {
      if (turn === this.#turn) this.#noCamera(error);
      return;
    }
    if (turn !== this.#turn) return;
    this.#asking = false;
    this.#say("calling", "Calling the server…");
    this.#dialer.dial(address);
  }

  /** @param {string} [reason] */
  hangup(reason) {
    const wasAsking = this.#asking;
    this.#turn += 1;
    this.#asking = false;
    this.#dialer.hangup(reason);
    this.#release();
    if (wasAsking) this.#say("idle", "Hung up.");
  }

  /** Switch the camera's picture off or on again; the recording goes on. */
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
    this.#dialer.receive(message);
    if (!fromServer || message.type !== "event") return;
    if (message.name === "record:started") this.#started();
    else if (message.name === "record:finished") this.#finished(message.data);
  }

  /** The signalling connection closed. */
  signallingLost() {
    this.#dialer.signallingLost();
  }

  /** @param {string} address A server in sight. */
  serverSeen(address) {
    this.#dialer.serverSeen(address);
  }

  /**
   * What each call sends. A call that is made because the server came back may have to open the
   * camera again first.
   *
   * @param {RTCPeerConnection} pc
   */
  async #setUp(pc) {
    const stream = this.#stream ?? (await this.#openCamera(this.#turn));
    for (const track of stream.getTracks()) await sendTrack(pc, track, stream);
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
    this.#note = silence ? silenceNote(silence) : "";
    for (const track of stream.getTracks()) this.#watch(track);
    this.#options.onPreview(stream);
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
      if (pc) await sendTrack(pc, track, stream); // makes a new offer by itself
    } catch (error) {
      this.#note = silenceNote(error instanceof CameraError ? error.failure : "other");
    }
    if (stream === this.#stream) this.#say(this.#phase, this.#status);
  }

  /** @param {MediaStreamTrack} track A device can be unplugged, or its permission withdrawn. */
  #watch(track) {
    track.onended = () => {
      if (!this.#stream?.getTracks().includes(track)) return;
      if (track.kind === "video") {
        this.hangup("the camera was taken away");
        this.#say("ended", this.#status, "The camera is gone: it was unplugged, or its permission was withdrawn. What it sent is kept.");
        return;
      }
      this.#stream.removeTrack(track);
      this.#note = "The microphone is gone: from here on the recording has no sound.";
      this.#applyOff();
      this.#say(this.#phase, this.#status);
    };
  }

  #applyOff() {
    const [audio] = this.#stream?.getAudioTracks() ?? [];
    const [video] = this.#stream?.getVideoTracks() ?? [];
    if (audio) audio.enabled = !this.#off.audio;
    if (video) video.enabled = !this.#off.video;
    this.#options.onDevices(deviceState(audio), deviceState(video));
  }

  #release() {
    if (!this.#stream) return;
    stop(this.#stream);
    this.#stream = null;
    this.#note = "";
    this.#options.onPreview(null);
    this.#applyOff();
  }

  /** @param {unknown} error */
  #noCamera(error) {
    this.#asking = false;
    const problem = error instanceof CameraError ? cameraProblem(error.failure, error.message) : String(error);
    this.#say("ended", "There is no camera to record.", problem);
  }

  /**
   * @param {Phase} phase
   * @param {string} status
   * @param {string} [problem]
   */
  #say(phase, status, problem = this.#note) {
    this.#phase = phase;
    this.#status = status;
    this.#problem = problem;
    this.#options.onPhase(phase, status, problem);
  }

  /** @param {RecordingState} recording */
  #record(recording) {
    this.#recording = recording;
    this.#options.onRecording(recording);
  }

  /** @param {CallState} state */
  #progress(state) {
    if (state === "calling") this.#record({ name: "waiting" });
    else if (state === "negotiating") this.#say("connecting", "Connecting…");
    else if (state === "recovering") this.#say("recovering", "The connection was interrupted. Repairing it…");
    else if (state === "active" && this.#recording.name === "running") this.#say("playing", "Recording.");
    else if (state === "active") this.#say("connecting", "Connected. Waiting for the recording to begin…");
  }

  #started() {
    if (!this.#dialer.call) return;
    this.#dialer.succeeded();
    // A long call may go into several files; the time is the call's.
    if (this.#recording.name !== "running") this.#record({ name: "running", since: performance.now() });
    this.#say("playing", "Recording.");
  }

  /** @param {any} data */
  #finished(data) {
    this.#options.onFinished();
    if (this.wanted || typeof data?.file !== "string") return;
    this.#say(this.#phase, `Saved ${data.file}, ${clock(Number(data.seconds) || 0)}.`, this.#problem);
  }

  /**
   * @param {string} status
   * @param {string} problem
   */
  #interrupted(status, problem) {
    this.#record({ name: "waiting" });
    this.#say("recovering", status, problem);
  }

  /** @param {CallEnd} end */
  #ended(end) {
    const recorded = this.#recording.name === "running";
    const { status, problem } = ended(end);
    this.#record({ name: "off" });
    this.#release();
    this.#say(end.kind === "local" ? "idle" : "ended", recorded ? `${status} Saving what was recorded…` : status, problem);
    this.#options.onFinished();
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
