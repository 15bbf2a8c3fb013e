/**
 * How a track is sent, so that the server can use it as it comes: it decodes nothing.
 *
 * @module sending
 */

/**
 * The sizes that a broadcast is sent in, of which the server picks one for each viewer. Lowest
 * first: browsers give the first ones up last.
 *
 * @type {RTCRtpEncodingParameters[]}
 */
const LAYERS = [
  { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: "f", scaleResolutionDownBy: 1, maxBitrate: 2_000_000 },
];

/**
 * Send a track of this stream, in its full size whatever it costs.
 *
 * @param {RTCPeerConnection} pc
 * @param {MediaStreamTrack} track
 * @param {MediaStream} stream Tracks of one stream are kept in step.
 */
export async function sendTrack(pc, track, stream) {
  const transceiver = pc.addTransceiver(track, { direction: "sendonly", streams: [stream] });
  if (track.kind !== "video") return;
  preferH264(transceiver);
  await keepResolution(transceiver.sender);
}

/**
 * Send a track of this stream; a picture in several sizes at once where the browser can do that.
 *
 * @param {RTCPeerConnection} pc
 * @param {MediaStreamTrack} track
 * @param {MediaStream} stream
 */
export async function sendTrackInLayers(pc, track, stream) {
  /** @type {RTCRtpTransceiverInit} */
  const init = { direction: "sendonly", streams: [stream] };
  if (track.kind !== "video") return void pc.addTransceiver(track, init);
  preferH264(addInLayers(pc, track, init));
}

/**
 * @param {RTCPeerConnection} pc
 * @param {MediaStreamTrack} track
 * @param {RTCRtpTransceiverInit} init
 * @returns {RTCRtpTransceiver}
 */
function addInLayers(pc, track, init) {
  try {
    return pc.addTransceiver(track, { ...init, sendEncodings: LAYERS.map((layer) => ({ ...layer })) });
  } catch (error) {
    console.warn("icey: the browser sends one size only", error);
    return pc.addTransceiver(track, init);
  }
}

/**
 * Where the server took one size only, make it the full one: the browser keeps the first that was
 * offered, which is the smallest (RFC 8829 §5.10, WebRTC §4.4.1.6).
 *
 * @param {RTCPeerConnection} pc
 */
export async function settleLayers(pc) {
  for (const sender of pc.getSenders()) {
    const parameters = sender.getParameters();
    const [only, another] = parameters.encodings;
    const full = LAYERS.at(-1);
    if (!only || another || !full || (only.scaleResolutionDownBy ?? 1) <= 1) continue;
    only.scaleResolutionDownBy = full.scaleResolutionDownBy;
    only.maxBitrate = full.maxBitrate;
    try {
      await sender.setParameters(parameters);
    } catch (error) {
      console.warn("icey: the picture stays small", error);
    }
  }
}

/**
 * H.264 first: the server copies it as it is. What else the browser knows stays in the offer, for
 * servers that can take it.
 *
 * @param {RTCRtpTransceiver} transceiver
 */
function preferH264(transceiver) {
  if (!("setCodecPreferences" in transceiver)) return;
  // Long the only list that browsers accepted, whatever the direction.
  const codecs = RTCRtpReceiver.getCapabilities("video")?.codecs ?? [];
  const first = codecs.filter(isH264);
  if (first.length === 0) return;
  try {
    transceiver.setCodecPreferences([...first, ...codecs.filter((codec) => !isH264(codec))]);
  } catch (error) {
    console.warn("icey: the browser keeps its own order of codecs", error);
  }
}

/** @param {{mimeType: string}} codec */
function isH264(codec) {
  return codec.mimeType.toLowerCase() === "video/h264";
}

/**
 * A recording that changes its size looks worse than one that skips a picture.
 *
 * @param {RTCRtpSender} sender
 */
async function keepResolution(sender) {
  // Not yet in TypeScript's DOM: https://www.w3.org/TR/mst-content-hint/#degradation-preference-when-encoding
  /** @type {RTCRtpSendParameters & {degradationPreference?: string}} */
  const parameters = sender.getParameters();
  parameters.degradationPreference = "maintain-resolution";
  try {
    await sender.setParameters(parameters);
  } catch (error) {
    console.warn("icey: the browser chooses size or smoothness by itself", error);
  }
}
