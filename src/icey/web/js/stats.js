/**
 * What a person may want to know about the picture, out of `getStats()`.
 *
 * @module stats
 */

/** @typedef {{at: number, bytes: number, frames: number, width: number, height: number}} Sample */

/**
 * Of a picture that is sent in several sizes, the largest counts.
 *
 * @param {RTCPeerConnection} pc
 * @param {"inbound-rtp" | "outbound-rtp"} direction
 * @returns {Promise<Sample | null>} Null before the first picture.
 */
export async function sample(pc, direction) {
  /** @type {Sample | null} */
  let found = null;
  let bytes = 0;
  (await pc.getStats()).forEach((report) => {
    if (report.type !== direction) return;
    bytes += report.bytesReceived ?? report.bytesSent ?? 0;
    const frames = report.framesDecoded ?? report.framesSent ?? 0;
    if (report.kind === "video" && frames > 0 && report.frameWidth > (found?.width ?? -1)) {
      found = { at: report.timestamp, bytes: 0, frames, width: report.frameWidth, height: report.frameHeight };
    }
  });
  return found && { .../** @type {Sample} */ (found), bytes };
}

/**
 * @param {Sample} before
 * @param {Sample} now
 * @returns {string} As in `1280 × 720 · 30 fps · 2.1 Mb/s`; empty where nothing can be said yet.
 */
export function describe(before, now) {
  const seconds = (now.at - before.at) / 1000;
  if (seconds <= 0 || now.frames < before.frames) return "";
  const fps = Math.round((now.frames - before.frames) / seconds);
  const megabits = ((now.bytes - before.bytes) * 8) / seconds / 1e6;
  return `${now.width} × ${now.height} · ${fps} fps · ${megabits.toFixed(1)} Mb/s`;
}
