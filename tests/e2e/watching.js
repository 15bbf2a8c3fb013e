/**
 * What tests and benches ask of a tab that watches: numbers, pixels, the demo's time strip.
 * Injected as an init script; needs the page's `window.icey` and `#video`.
 */
(() => {
  const STRIP_BLOCKS = 64;
  const STRIP_HEIGHT = 1 / 20; // of the picture; icey/media/demo.py draws it
  const canvas = document.createElement("canvas");
  const pen = canvas.getContext("2d", { willReadFrequently: true });

  function crc16(bytes) {
    let crc = 0xffff;
    for (const byte of bytes) {
      crc ^= byte << 8;
      for (let bit = 0; bit < 8; bit += 1) crc = ((crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xffff;
    }
    return crc;
  }

  /** Draws the top `fraction` of the picture in its own size; false before the first picture. */
  function draw(fraction) {
    const { videoWidth: width, videoHeight: height } = video;
    if (!width) return false;
    canvas.width = width;
    canvas.height = Math.max(1, Math.round(height * fraction));
    pen.drawImage(video, 0, 0);
    return true;
  }

  window.watching = {
    /** Counters of the current call, both kinds together in one flat object. */
    async stats() {
      const found = { framesDecoded: 0, keyFramesDecoded: 0, freezeCount: 0, freezeSeconds: 0, width: 0, height: 0,
        audioEnergy: 0, audioSamples: 0, audioLevel: 0, bytes: 0, at: performance.now() };
      const reports = (await icey.peerConnection?.getStats()) ?? [];
      reports.forEach((report) => {
        if (report.type !== "inbound-rtp") return;
        found.bytes += report.bytesReceived ?? 0;
        if (report.kind === "video") {
          found.framesDecoded = report.framesDecoded ?? 0;
          found.keyFramesDecoded = report.keyFramesDecoded ?? 0;
          found.freezeCount = report.freezeCount ?? 0;
          found.freezeSeconds = report.totalFreezesDuration ?? 0;
          found.width = report.frameWidth ?? 0;
          found.height = report.frameHeight ?? 0;
        } else {
          found.audioEnergy = report.totalAudioEnergy ?? 0;
          found.audioSamples = report.totalSamplesDuration ?? 0;
          found.audioLevel = report.audioLevel ?? 0;
        }
      });
      return found;
    },

    /** @param {[number, number][]} points In fractions of the picture. @returns [r, g, b] of each. */
    pixels(points) {
      if (!draw(1)) return null;
      return points.map(([x, y]) =>
        [...pen.getImageData(Math.floor(x * canvas.width), Math.floor(y * canvas.height), 1, 1).data].slice(0, 3));
    },

    /** What is on the screen now, as `width` × `height` grey values. */
    glimpse(width, height) {
      canvas.width = width;
      canvas.height = height;
      pen.drawImage(video, 0, 0, width, height);
      const { data } = pen.getImageData(0, 0, width, height);
      return Array.from({ length: width * height }, (_, at) =>
        Math.round(0.2126 * data[4 * at] + 0.7152 * data[4 * at + 1] + 0.0722 * data[4 * at + 2]));
    },

    /** What the page says from now on, with the time in ms since 1970. */
    listen() {
      const status = document.getElementById("status");
      this.said = [];
      new MutationObserver(() => this.said.push([Date.now(), status.textContent]))
        .observe(status, { childList: true, characterData: true, subtree: true });
    },

    /** The wall clock, ms since 1970, that the demo drew into the picture on screen; null: none. */
    strip() {
      if (!draw(STRIP_HEIGHT)) return null;
      const row = pen.getImageData(0, canvas.height >> 1, canvas.width, 1).data;
      const lumas = Array.from({ length: STRIP_BLOCKS }, (_, block) => {
        const at = 4 * Math.floor(((block + 0.5) * canvas.width) / STRIP_BLOCKS);
        return row[at] + row[at + 1] + row[at + 2];
      });
      const middle = (Math.min(...lumas) + Math.max(...lumas)) / 2;
      const bytes = Array.from({ length: 8 }, (_, byte) =>
        lumas.slice(byte * 8, byte * 8 + 8).reduce((sum, luma) => sum * 2 + (luma > middle ? 1 : 0), 0));
      if (crc16(bytes.slice(0, 6)) !== bytes[6] * 256 + bytes[7]) return null;
      return bytes.slice(0, 6).reduce((sum, byte) => sum * 256 + byte, 0);
    },

    /** Capture to glass: the age in ms of each of the next `count` pictures when it is shown. */
    async glass(count) {
      const ages = [];
      while (ages.length < count) {
        await new Promise((shown) => video.requestVideoFrameCallback(shown));
        const drawn = this.strip();
        if (drawn !== null) ages.push(Date.now() - drawn);
      }
      return ages;
    },
  };
})();
