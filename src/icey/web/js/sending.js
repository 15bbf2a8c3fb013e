/**
 * How a track is sent, so that the server can write it down as it comes.
 *
 * @module sending
 */

/**
 * Send a track of this stream.
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
 * H.264 first: the server copies it into the file. What else the browser knows stays in the
 * offer, for servers that can take it.
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
