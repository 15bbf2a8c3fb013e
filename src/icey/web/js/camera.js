/**
 * The camera and the microphone of this browser: opens them, and tells in its own terms why not.
 *
 * @module camera
 */

/** Ideals, not demands: a camera that has less is taken as it is. */
const PICTURE = { width: { ideal: 1280 }, height: { ideal: 720 } };

/**
 * `insecure`: the page came by plain http from elsewhere. The others are what `getUserMedia`
 * rejects with: https://www.w3.org/TR/mediacapture-streams/#dom-mediadevices-getusermedia
 *
 * @typedef {"insecure" | "refused" | "missing" | "busy" | "other"} CameraFailure
 */

/** @type {Record<string, CameraFailure>} */
const FAILURES = {
  NotAllowedError: "refused",
  SecurityError: "refused",
  NotFoundError: "missing",
  NotReadableError: "busy",
  AbortError: "busy",
};

export class CameraError extends Error {
  /**
   * @param {CameraFailure} failure
   * @param {string} message The browser's own words.
   */
  constructor(failure, message) {
    super(message);
    this.failure = failure;
  }
}

/**
 * Ask for camera and microphone; go on without a microphone where there is none.
 *
 * @returns {Promise<{stream: MediaStream, silence: CameraFailure | null}>} `silence`: why there is no sound.
 * @throws {CameraError} There is no picture.
 */
export async function openCamera() {
  try {
    return { stream: await open({ video: PICTURE, audio: true }), silence: null };
  } catch (error) {
    if (!(error instanceof CameraError) || !(error.failure === "missing" || error.failure === "busy")) throw error;
    // The browser does not say which of the two it was.
    return { stream: await open({ video: PICTURE }), silence: error.failure };
  }
}

/**
 * @returns {Promise<MediaStreamTrack>}
 * @throws {CameraError}
 */
export async function openMicrophone() {
  const [track] = (await open({ audio: true })).getAudioTracks();
  if (!track) throw new CameraError("missing", "a stream without a track");
  return track;
}

/**
 * @param {MediaStreamConstraints} constraints
 * @returns {Promise<MediaStream>}
 */
async function open(constraints) {
  // Browsers hide the whole interface from pages that strangers could have changed on their way.
  const devices = /** @type {MediaDevices | undefined} */ (navigator.mediaDevices);
  if (!devices) throw new CameraError("insecure", "navigator.mediaDevices is not there");
  try {
    return await devices.getUserMedia(constraints);
  } catch (error) {
    const { name, message } = error instanceof Error ? error : { name: "", message: String(error) };
    throw new CameraError(FAILURES[name] ?? "other", message || name);
  }
}
