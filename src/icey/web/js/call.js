/**
 * One call to one peer, from `call:init` to its end: the caller's side of the state machine.
 *
 * A `Call` is used once; calling again makes a new one, with an `RTCPeerConnection` of its
 * own, so nothing of an old call can disturb the next.
 *
 * ```
 * new ─start→ calling ─accept→ negotiating ─connected→ active ⇄ recovering ─→ ended
 *                └─────────── reject, hangup, time out, close ──────────────────↑
 * ```
 *
 * @module call
 */

/** @import {CallEnd, Ice, Message} from "./types.js" */

import { adviceOn, Paths, triedLines } from "./paths.js";

/** @typedef {"new" | "calling" | "negotiating" | "active" | "recovering" | "ended"} CallState */

/**
 * @typedef {object} CallOptions
 * @property {string} to The callee's address, `user|id`.
 * @property {Ice} ice
 * @property {() => Promise<Ice>} [freshIce] With a credential that is good for longer.
 * @property {string} [session] By which a server knows us again in a later call.
 * @property {(message: Message) => boolean} send
 * @property {(pc: RTCPeerConnection) => void | Promise<void>} setUp Adds what is to be sent and received.
 * @property {(state: CallState) => void} onState Every change but the last one.
 * @property {(track: MediaStreamTrack) => void} [onTrack]
 * @property {(end: CallEnd) => void} onEnd Called once.
 */

/** A live source may take its time to open; a server that is silent for longer is not there. */
const ANSWER_TIMEOUT_MS = 20_000;
/** From our offer to media: ICE and DTLS. The server gives up after 15 s, and shall hear what we tried. */
const CONNECT_TIMEOUT_MS = 13_000;
/** `disconnected` often heals by itself (a lost packet or two). */
const DISCONNECTED_GRACE_MS = 1_500;
/** How long fresh ICE servers may take: a path that broke may well be the one to `/api/config`. */
const FRESH_ICE_TIMEOUT_MS = 2_000;
const SIGNALLING_LOST = "the connection to the server was lost";
/** The longest time that browsers take in `setTimeout`. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
/** The server keeps a call whose signalling broke for 30 s. */
const CUT_OFF_TIMEOUT_MS = 28_000;
/** How long the server may take to answer the offer that takes such a call up again. */
const RESUME_TIMEOUT_MS = 5_000;
/** How long ICE restarts may try before the call counts as lost. */
const RECOVERY_TIMEOUT_MS = 12_000;

export class Call {
  /** @type {CallOptions} */ #options;
  /** @type {RTCPeerConnection} */ #pc;
  /** @type {CallState} */ #state = "new";
  /** @type {RTCIceCandidateInit[]} Candidates that came before the answer. */ #early = [];
  /** @type {RTCIceCandidateInit[]} Our own, found before the offer was sent. */ #ours = [];
  #offerSent = false;
  /** @type {Promise<void>} Our description: made while `call:init` travels, sent on accept. */ #described;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #deadline;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #grace;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #renewal;
  /** @type {Ice} */ #ice;
  /** @type {Paths} */ #paths;
  #restarting = false;
  /** The signalling broke while media came; until the server has answered again. */
  #cutOff = false;
  /** The server is asked to go on with the call. */
  #resuming = false;

  /** @param {CallOptions} options */
  constructor(options) {
    this.#options = options;
    this.#ice = options.ice;
    this.#pc = new RTCPeerConnection(configuration(options.ice));
    this.#paths = new Paths(this.#pc);
    this.#described = Promise.resolve();
  }

  get peerConnection() {
    return this.#pc;
  }

  get state() {
    return this.#state;
  }

  get to() {
    return this.#options.to;
  }

  /** Ring, and get our offer ready meanwhile. */
  start() {
    const pc = this.#pc;
    pc.ontrack = ({ track, receiver }) => {
      preferLowDelay(receiver);
      this.#options.onTrack?.(track);
    };
    pc.onicecandidate = ({ candidate }) => {
      if (!candidate?.candidate) return;
      if (this.#offerSent) this.#send("call:candidate", candidate.toJSON());
      else this.#ours.push(candidate.toJSON());
    };
    pc.onconnectionstatechange = () => this.#connectionChanged();
    this.#enter("calling");
    const { session } = this.#options;
    if (!this.#send("call:init", session ? { session } : {})) return this.#end("lost", "not connected to the server");
    this.#expire(ANSWER_TIMEOUT_MS, "the server did not answer the call");
    this.#described = this.#describe();
    this.#guard(this.#described);
  }

  async #describe() {
    await this.#options.setUp(this.#pc);
    if (this.#over()) return;
    // What is added later needs an offer of its own.
    this.#pc.onnegotiationneeded = () => this.#offerSent && this.#offerAgain();
    await this.#pc.setLocalDescription();
  }

  /**
   * Take a `call:*` message that came from the callee.
   *
   * @param {string} subtype
   * @param {any} data
   */
  receive(subtype, data) {
    if (this.#over()) return;
    switch (subtype) {
      case "call:accept":
        if (this.#state === "calling") this.#guard(this.#offer());
        return;
      case "call:reject":
        return this.#end(this.#resuming ? "lost" : "refused", reasonOf(data));
      case "call:answer":
        if (this.#pc.signalingState === "have-local-offer") this.#guard(this.#answered(data));
        return;
      case "call:candidate":
        return this.#guard(this.#candidate(data));
      case "call:hangup":
        return this.#end("remote", reasonOf(data));
    }
  }

  /**
   * End the call from our side.
   *
   * @param {string} [reason]
   */
  hangup(reason = "hung up") {
    this.#hangUp("local", reason);
  }

  /**
   * The signalling connection is gone. Where it broke the server goes on with live media for a
   * while; else the call is over on its side.
   *
   * @param {boolean} broken
   * @returns {boolean} Whether the call goes on.
   */
  signallingLost(broken) {
    if (this.#cutOff && !this.#resuming && !this.#over()) return true; // one more try that failed
    if (!broken || !["active", "recovering"].includes(this.#state) || this.#pc.connectionState !== "connected") {
      this.#end("lost", SIGNALLING_LOST);
      return false;
    }
    this.#cutOff = true;
    this.#resuming = false;
    this.#enter("recovering");
    this.#expire(CUT_OFF_TIMEOUT_MS, "", () => this.#end("lost", SIGNALLING_LOST));
    return true;
  }

  /**
   * A server is in sight: go on with the call there, if it was cut off.
   *
   * @param {string} address
   */
  resume(address) {
    if (!this.#cutOff || this.#resuming) return;
    // After a restart it has another address, and knows nothing of the call.
    if (address !== this.to) return this.#end("lost", SIGNALLING_LOST);
    this.#resuming = true;
    this.#expire(RESUME_TIMEOUT_MS, "", () => this.#end("lost", "the server did not go on with the call"));
    this.#offerAgain();
  }

  async #offer() {
    this.#enter("negotiating");
    this.#expire(CONNECT_TIMEOUT_MS, "", () => this.#noPath());
    this.#paths.start();
    await this.#described;
    this.#sendOffer();
  }

  #sendOffer() {
    const offer = this.#pc.localDescription;
    if (this.#over() || !offer) return;
    const resume = this.#resuming ? { resume: true } : {};
    this.#send("call:offer", { type: offer.type, sdp: offer.sdp, ...resume });
    this.#offerSent = true;
    // Whatever was gathered by now stands in the offer already.
    this.#ours = this.#ours.filter((own) => !offer.sdp.includes(String(own.candidate)));
    for (const candidate of this.#ours.splice(0)) this.#send("call:candidate", candidate);
  }

  /** @param {RTCSessionDescriptionInit} answer */
  async #answered(answer) {
    await this.#pc.setRemoteDescription({ type: "answer", sdp: String(answer?.sdp ?? "") });
    this.#cutOff = this.#resuming = false;
    for (const candidate of this.#early.splice(0)) await this.#addCandidate(candidate);
    // A path that came back by itself during an ICE restart makes no event of its own.
    if (this.#state === "recovering" && this.#pc.connectionState === "connected") this.#connectionChanged();
  }

  /** @param {any} data */
  async #candidate(data) {
    if (!data || typeof data.candidate !== "string") return;
    /** @type {RTCIceCandidateInit} */
    const candidate = {
      candidate: data.candidate.replace(/^a=/, ""),
      sdpMid: data.sdpMid ?? null,
      sdpMLineIndex: data.sdpMLineIndex ?? (data.sdpMid == null ? 0 : null),
    };
    if (this.#pc.remoteDescription) await this.#addCandidate(candidate);
    else this.#early.push(candidate);
  }

  /** @param {RTCIceCandidateInit} candidate */
  async #addCandidate(candidate) {
    try {
      await this.#pc.addIceCandidate(candidate);
    } catch (error) {
      // One address of several that we cannot use is no reason to give up the others.
      console.warn("icey: a candidate was refused", candidate.candidate, error);
    }
  }

  #connectionChanged() {
    const { connectionState } = this.#pc;
    if (this.#over()) return;
    clearTimeout(this.#grace);
    if (this.#cutOff && connectionState === "connected") return; // the server is yet to answer
    if (connectionState === "connected") {
      clearTimeout(this.#deadline);
      this.#paths.stop();
      this.#watchTransports();
      this.#enter("active");
      this.#renewInTime();
    } else if (this.#state === "active" || this.#state === "recovering") {
      if (connectionState === "failed") this.#recover();
      else if (connectionState === "disconnected") {
        this.#grace = setTimeout(() => this.#recover(), DISCONNECTED_GRACE_MS);
      }
    } else if (connectionState === "failed") {
      this.#noPath();
    }
  }

  /** Neither a direct path nor one by TURN: say what was tried, here and in the server's log. */
  #noPath() {
    const { findings } = this.#paths;
    const tried = triedLines(findings, this.#ice.servers);
    this.#send("call:hangup", { reason: `no media came through to the browser, which tried ${tried.join("; ") || "nothing"}` });
    this.#end("lost", "no media came through", { tried, advice: adviceOn(findings, this.#ice) });
  }

  /** DTLS closed by the server cannot be healed by an ICE restart (RFC 8842 §4): call again. */
  #watchTransports() {
    for (const { transport } of this.#pc.getReceivers()) {
      if (!transport) continue;
      transport.onstatechange = () => {
        if (transport.state === "closed" || transport.state === "failed") {
          // A `call:hangup` that says why may be right behind.
          this.#grace = setTimeout(() => this.#end("lost", "the server closed the media connection"), 500);
        }
      };
    }
  }

  /** ICE restart (RFC 8445 §9): new credentials, new candidates, same media. */
  #recover() {
    if (this.#over()) return;
    if (this.#cutOff) return this.#end("lost", SIGNALLING_LOST); // nobody to make a new path with
    if (this.#state !== "recovering") {
      this.#enter("recovering");
      this.#expire(RECOVERY_TIMEOUT_MS, "the media connection was lost");
    }
    this.#guard(this.#restart());
  }

  async #restart() {
    if (this.#restarting) return;
    this.#restarting = true;
    await this.#refreshIce();
    this.#restarting = false;
    if (this.#over() || this.#pc.signalingState !== "stable") return;
    this.#pc.restartIce();
    this.#offerAgain();
  }

  /** TURN takes a credential for a limited time, and what was good for the call may be so no longer. */
  async #refreshIce() {
    const { freshIce } = this.#options;
    if (!freshIce) return;
    const late = new Promise((resolve) => setTimeout(resolve, FRESH_ICE_TIMEOUT_MS));
    const ice = await Promise.race([freshIce(), /** @type {Promise<undefined>} */ (late)]);
    if (!ice || this.#over()) return;
    this.#ice = ice;
    this.#pc.setConfiguration(configuration(ice));
  }

  /** Get new relayed addresses before the credential of those in use expires. */
  #renewInTime() {
    clearTimeout(this.#renewal);
    this.#renewal = setTimeout(async () => {
      if (this.#state === "active" && (await usesRelay(this.#pc))) this.#guard(this.#restart());
      if (!this.#over()) this.#renewInTime();
    }, Math.min(this.#ice.lifeMs * 0.7, LONGEST_TIMER_MS));
  }

  #offerAgain() {
    this.#offerSent = false;
    this.#described = this.#pc.setLocalDescription();
    this.#guard(this.#described.then(() => this.#sendOffer()));
  }

  #over() {
    return this.#state === "ended";
  }

  /** @param {CallState} state */
  #enter(state) {
    if (this.#state === state || this.#over()) return;
    this.#state = state;
    this.#options.onState(state);
  }

  /**
   * @param {number} milliseconds
   * @param {string} reason
   * @param {() => void} [then]
   */
  #expire(milliseconds, reason, then = () => this.#hangUp("lost", reason)) {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(then, milliseconds);
  }

  /**
   * A step that the browser refuses ends the call, unless the call ended first.
   *
   * @param {Promise<unknown>} step
   */
  #guard(step) {
    step.catch((/** @type {unknown} */ error) => {
      if (this.#resuming) return this.#end("lost", SIGNALLING_LOST);
      this.#hangUp("refused", `this browser refused a step of the call: ${error instanceof Error ? error.message : error}`);
    });
  }

  /**
   * End the call and tell the other side why.
   *
   * @param {CallEnd["kind"]} kind
   * @param {string} reason
   */
  #hangUp(kind, reason) {
    if (this.#over()) return;
    this.#send("call:hangup", { reason });
    this.#end(kind, reason);
  }

  /**
   * @param {string} subtype
   * @param {unknown} data
   */
  #send(subtype, data) {
    return this.#options.send({ type: "message", subtype, to: this.#options.to, data });
  }

  /**
   * @param {CallEnd["kind"]} kind
   * @param {string} reason
   * @param {{tried?: string[], advice?: string}} [paths]
   */
  #end(kind, reason, paths = {}) {
    if (this.#over()) return;
    this.#state = "ended";
    for (const timer of [this.#deadline, this.#grace, this.#renewal]) clearTimeout(timer);
    this.#paths.stop();
    this.#pc.ontrack = this.#pc.onicecandidate = this.#pc.onconnectionstatechange = this.#pc.onnegotiationneeded = null;
    this.#pc.close();
    this.#options.onEnd({ kind, reason, ...paths });
  }
}

/**
 * @param {Ice} ice
 * @returns {RTCConfiguration}
 */
function configuration({ servers, policy }) {
  return { iceServers: servers, iceTransportPolicy: policy, bundlePolicy: "max-bundle" };
}

/**
 * @param {RTCPeerConnection} pc
 * @returns {Promise<boolean>} Whether media go by TURN now.
 */
async function usesRelay(pc) {
  /** @type {any} */
  const reports = await pc.getStats();
  for (const report of reports.values()) {
    if (report.type !== "candidate-pair" || !report.nominated || report.state !== "succeeded") continue;
    if (reports.get(report.localCandidateId)?.candidateType === "relay") return true;
  }
  return false;
}

/**
 * Play what has arrived, as soon as it can be played; the jitter buffer still grows by itself
 * where the network needs it. Older browsers have the second name only.
 *
 * @param {{jitterBufferTarget?: number | null, playoutDelayHint?: number}} receiver
 */
function preferLowDelay(receiver) {
  if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
  else if ("playoutDelayHint" in receiver) receiver.playoutDelayHint = 0;
}

/**
 * @param {any} data
 * @returns {string}
 */
function reasonOf(data) {
  return typeof data?.reason === "string" ? data.reason : "";
}
