/**
 * The one module that owns the `<video>`: tracks, sound, autoplay rules, and whether it moves.
 *
 * @module player
 */

/**
 * @typedef {object} PlayerHandlers
 * @property {() => void} onPicture The first picture after `begin` is on the screen.
 * @property {(stalled: boolean) => void} onStalled Pictures stopped arriving, or came back.
 * @property {(sound: Sound) => void} onSound
 */

/**
 * `blocked`: the browser lets nothing sound before the person has clicked.
 *
 * @typedef {"on" | "muted" | "blocked"} Sound
 */

const STALL_MS = 3_000;
const STALL_CHECK_MS = 1_000;

export class Player {
  /** @type {HTMLVideoElement} */ #video;
  /** @type {PlayerHandlers} */ #handlers;
  /** @type {MediaStream} */ #stream = new MediaStream();
  /** @type {ReturnType<typeof setInterval> | undefined} */ #watchdog;
  #awaiting = 0;
  #frames = 0;
  #movedAt = 0;
  #stalled = false;

  /**
   * @param {HTMLVideoElement} video
   * @param {PlayerHandlers} handlers
   */
  constructor(video, handlers) {
    this.#video = video;
    this.#handlers = handlers;
  }

  get muted() {
    return this.#video.muted;
  }

  /**
   * Start over for a new call. To be called inside the click: playing begun here, still without
   * a track, is what lets Safari sound when the tracks come later.
   */
  begin() {
    this.#video.muted = false;
    this.#stream = new MediaStream();
    this.#video.srcObject = this.#stream;
    this.expectPicture();
    this.#play();
  }

  /** Report the next picture that arrives; the one on the screen stays until then. */
  expectPicture() {
    const turn = ++this.#awaiting;
    this.#whenPicture(() => {
      if (turn !== this.#awaiting) return;
      this.#movedAt = performance.now();
      this.#watch();
      this.#handlers.onPicture();
    });
  }

  /**
   * Play this track, in place of an earlier one of its kind.
   *
   * @param {MediaStreamTrack} track
   */
  add(track) {
    for (const old of this.#stream.getTracks()) {
      if (old.kind === track.kind) this.#stream.removeTrack(old);
    }
    this.#stream.addTrack(track);
    // The last call's last picture may have come after its end, and been taken for the first.
    if (track.kind === "video") this.expectPicture();
    if (this.#video.srcObject !== this.#stream) this.#video.srcObject = this.#stream; // cleared meanwhile
    if (this.#video.paused) this.#play();
  }

  /** Stop and clear the picture. */
  clear() {
    this.#awaiting += 1;
    this.#unwatch();
    this.#video.srcObject = null;
    this.#stream = new MediaStream();
  }

  /** The person wants sound, and their click allows it. */
  unmute() {
    this.#video.muted = false;
    this.#play();
  }

  mute() {
    this.#video.muted = true;
    this.#handlers.onSound("muted");
  }

  /** @param {Element} stage What fills the screen: picture, notes and buttons. */
  async toggleFullscreen(stage) {
    const video = /** @type {HTMLVideoElement & {webkitEnterFullscreen?: () => void}} */ (this.#video);
    if (document.fullscreenElement) await document.exitFullscreen();
    else if (stage.requestFullscreen) await stage.requestFullscreen();
    else video.webkitEnterFullscreen?.(); // iPhones allow it to a <video> only
  }

  /** @returns {Promise<void>} */
  async #play() {
    try {
      await this.#video.play();
    } catch (error) {
      const name = error instanceof DOMException ? error.name : "";
      if (name === "NotAllowedError" && !this.#video.muted) {
        this.#video.muted = true;
        this.#handlers.onSound("blocked");
        return this.#play();
      }
      // AbortError: a newer call of begin() or clear() took over.
      if (name !== "AbortError") console.warn("icey: the browser refused to play", error);
      return;
    }
    if (!this.#video.muted) this.#handlers.onSound("on");
  }

  /** @param {() => void} then */
  #whenPicture(then) {
    if ("requestVideoFrameCallback" in this.#video) this.#video.requestVideoFrameCallback(then);
    else /** @type {HTMLVideoElement} */ (this.#video).addEventListener("loadeddata", then, { once: true });
  }

  #watch() {
    this.#unwatch();
    this.#watchdog = setInterval(() => this.#check(), STALL_CHECK_MS);
  }

  #unwatch() {
    clearInterval(this.#watchdog);
    this.#stalled = false;
  }

  #check() {
    const frames = this.#video.getVideoPlaybackQuality().totalVideoFrames;
    const now = performance.now();
    // A hidden tab draws nothing; that is no stall.
    if (frames !== this.#frames || document.hidden) this.#movedAt = now;
    this.#frames = frames;
    const stalled = now - this.#movedAt > STALL_MS;
    if (stalled !== this.#stalled) {
      this.#stalled = stalled;
      this.#handlers.onStalled(stalled);
    }
  }
}
