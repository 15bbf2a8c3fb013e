/**
 * Being in a call to be recorded: since when, and what came of it.
 *
 * @module recorder
 */

/** @import {CallState} from "./call.js" */
/** @import {PublisherOptions} from "./publisher.js" */
/** @import {CallEnd, Message} from "./types.js" */

import { Publisher } from "./publisher.js";
import { clock } from "./words.js";

/**
 * `since`: by `performance.now()`.
 *
 * @typedef {{name: "off"} | {name: "waiting"} | {name: "running", since: number}} RecordingState
 */

/**
 * @typedef {object} RecorderHandlers
 * @property {(recording: RecordingState) => void} onRecording
 * @property {() => void} onFinished There is a new file.
 */

export class Recorder extends Publisher {
  /** @type {RecorderHandlers} */ #handlers;
  /** @type {RecordingState} */ #recording = { name: "off" };

  /** @param {PublisherOptions & RecorderHandlers} options */
  constructor(options) {
    super(options, {
      noCamera: "There is no camera to record.",
      cameraGone: "What it sent is kept.",
      silent: "the recording",
    });
    this.#handlers = options;
  }

  /**
   * @protected
   * @override
   * @param {CallState} state
   */
  progressed(state) {
    super.progressed(state);
    if (state === "calling") this.#record({ name: "waiting" });
    else if (state === "active" && this.#recording.name === "running") this.say("playing", "Recording.");
    else if (state === "active") this.say("connecting", "Connected. Waiting for the recording to begin…");
  }

  /**
   * @protected
   * @override
   * @param {Message} event
   */
  told(event) {
    if (event.name === "record:started") this.#started();
    else if (event.name === "record:finished") this.#finished(event.data);
    else if (event.name === "record:delayed") this.#troubled("cannot be saved yet, and is tried again", event.data);
    else if (event.name === "record:failed") this.#troubled("could not be saved", event.data);
    else if (event.name === "record:troubled") this.#troubled("What you send is not recorded", event.data);
  }

  /**
   * @protected
   * @override
   * @param {string} status
   * @param {string} problem
   */
  interrupted(status, problem) {
    this.#record({ name: "waiting" });
    super.interrupted(status, problem);
  }

  /**
   * @protected
   * @override
   * @param {CallEnd} end
   */
  over(end) {
    const recorded = this.#recording.name === "running";
    this.#record({ name: "off" });
    super.over(end, recorded ? "Saving what was recorded…" : "");
    this.#handlers.onFinished();
  }

  /** @param {RecordingState} recording */
  #record(recording) {
    this.#recording = recording;
    this.#handlers.onRecording(recording);
  }

  #started() {
    if (!this.dialer.call) return;
    this.dialer.succeeded();
    // A long call may go into several files; the time is the call's.
    if (this.#recording.name !== "running") this.#record({ name: "running", since: performance.now() });
    this.say("playing", "Recording.");
  }

  /**
   * @param {string} what Of the file that the event names, where it names one.
   * @param {any} data
   */
  #troubled(what, data) {
    const file = typeof data?.file === "string" ? `${data.file} ` : "";
    this.say(this.said.phase, this.said.status, `${file}${what}: ${String(data?.reason ?? "it gave no reason")}.`);
  }

  /** @param {any} data */
  #finished(data) {
    this.#handlers.onFinished();
    if (this.wanted || typeof data?.file !== "string") return;
    this.say(this.said.phase, `Saved ${data.file}, ${clock(Number(data.seconds) || 0)}.`, this.said.problem);
  }
}
