/**
 * What tests ask of a tab that is recorded: a camera of its own, and what was sent when.
 * Injected as an init script, after `window.studio` (see publisher.py); needs the page's `window.icey`.
 *
 * The camera draws as icey/media/demo.py does: the time strip on top, and a square at the bottom
 * right that is white in the first 100 ms of each second, while the microphone beeps.
 */
(() => {
  const STRIP_BLOCKS = 64;
  const STRIP_HEIGHT = 1 / 20; // of the picture
  const BEEP_S = 0.1;
  const POLL_MS = 50;
  const { camera = null, microphone = "fake" } = window.studio ?? {};

  function crc16(bytes) {
    let crc = 0xffff;
    for (const byte of bytes) {
      crc ^= byte << 8;
      for (let bit = 0; bit < 8; bit += 1) crc = ((crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xffff;
    }
    return crc;
  }

  function strip(wall) {
    const bytes = Array.from({ length: 6 }, (_, at) => Math.floor(wall / 256 ** (5 - at)) % 256);
    const crc = crc16(bytes);
    return [...bytes, crc >> 8, crc & 255].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  }

  class Studio {
    /** The clock that the beeps and the square keep. */
    #sound = new AudioContext();
    lastWall = 0;

    picture({ width, height, fps, colour }) {
      const canvas = document.createElement("canvas");
      canvas.width = width;
      canvas.height = height;
      const pen = canvas.getContext("2d");
      const draw = () => {
        this.lastWall = Date.now();
        pen.fillStyle = colour;
        pen.fillRect(0, 0, width, height);
        const block = width / STRIP_BLOCKS;
        [...strip(this.lastWall)].forEach((bit, at) => {
          pen.fillStyle = bit === "1" ? "#fff" : "#000";
          pen.fillRect(Math.round(at * block), 0, Math.ceil(block), Math.round(height * STRIP_HEIGHT));
        });
        const side = (height * 3) / 20;
        pen.fillStyle = this.#sound.currentTime % 1 < BEEP_S ? "#fff" : "#000";
        pen.fillRect(width - side / 3 - side, height * 0.8, side, side);
      };
      draw();
      setInterval(draw, 1000 / fps);
      return canvas.captureStream(fps).getVideoTracks()[0];
    }

    tone() {
      const out = this.#sound.createMediaStreamDestination();
      const volume = this.#sound.createGain();
      const source = this.#sound.createOscillator();
      source.frequency.value = 1000;
      volume.gain.value = 0.02;
      const first = Math.ceil(this.#sound.currentTime);
      for (let beep = 0; beep < 600; beep += 1) {
        volume.gain.setValueAtTime(0.5, first + beep);
        volume.gain.setValueAtTime(0.02, first + beep + BEEP_S);
      }
      source.connect(volume).connect(out);
      source.start();
      return out.stream.getAudioTracks()[0];
    }
  }

  const studio = new Studio();
  let plugged = microphone !== "none";
  let withheld = null;
  if (camera) {
    navigator.mediaDevices.getUserMedia = async ({ video, audio }) => {
      if (audio && !plugged) throw new DOMException("no microphone", "NotFoundError");
      const tracks = [];
      if (video) tracks.push(studio.picture(camera));
      if (audio) tracks.push(studio.tone());
      return new MediaStream(tracks);
    };
  }
  if (microphone === "late") {
    const add = RTCPeerConnection.prototype.addTransceiver;
    RTCPeerConnection.prototype.addTransceiver = function (track, init) {
      if (track.kind !== "audio") return add.call(this, track, init);
      const transceiver = add.call(this, "audio", init);
      withheld = { sender: transceiver.sender, track };
      return transceiver;
    };
  }

  const sent = { firstMs: 0, lastMs: 0, slackMs: 0, frames: 0, width: 0, height: 0, limitation: "", codec: "", audioPackets: 0 };

  /** When the counters of the picture were looked at last: what is new has come since. */
  let lookedMs = 0;
  let firstSlackMs = 0;

  async function poll() {
    const reports = (await window.icey?.peerConnection?.getStats()) ?? [];
    reports.forEach((report) => {
      if (report.type !== "outbound-rtp") return;
      if (report.kind === "audio") sent.audioPackets = report.packetsSent;
      else if (report.framesSent > sent.frames) {
        if (sent.frames === 0) {
          sent.firstMs = report.timestamp;
          firstSlackMs = report.timestamp - (lookedMs || report.timestamp);
        }
        sent.lastMs = report.timestamp;
        sent.slackMs = Math.max(firstSlackMs, report.timestamp - lookedMs);
        sent.frames = report.framesSent;
        sent.width = report.frameWidth;
        sent.height = report.frameHeight;
        sent.limitation = report.qualityLimitationReason;
        sent.codec = reports.get(report.codecId)?.mimeType ?? "";
      }
      if (report.kind === "video") lookedMs = report.timestamp;
    });
    return { ...sent, wallMs: Date.now(), drawnMs: studio.lastWall };
  }

  setInterval(poll, POLL_MS);

  window.publishing = {
    /** What was sent so far; clocks in ms since 1970. */
    poll,

    async hangUp() {
      const result = await poll();
      document.getElementById("hangup").click();
      return result;
    },

    /** There is a microphone from now on. */
    plug() {
      plugged = true;
    },

    /** The microphone that was late is there. */
    async unhold() {
      await withheld.sender.replaceTrack(withheld.track);
    },

    /** A picture of the camera as grey values, and when it was taken, in ms since 1970. */
    timedGlimpse: (width, height) =>
      new Promise((done) => {
        document.getElementById("preview").requestVideoFrameCallback((now, frame) => {
          const at = performance.timeOrigin + (frame.captureTime ?? now);
          done([window.publishing.glimpse(width, height), at]);
        });
      }),

    /** What the camera sees now, as `width` × `height` grey values. */
    glimpse(width, height) {
      const canvas = document.createElement("canvas");
      canvas.width = width;
      canvas.height = height;
      const pen = canvas.getContext("2d");
      pen.drawImage(document.getElementById("preview"), 0, 0, width, height);
      const { data } = pen.getImageData(0, 0, width, height);
      return Array.from({ length: width * height }, (_, at) =>
        Math.round(0.2126 * data[4 * at] + 0.7152 * data[4 * at + 1] + 0.0722 * data[4 * at + 2]));
    },
  };
})();
