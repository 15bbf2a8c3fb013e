/**
 * The other end of a call, inside the page under test: answers offers with a canvas and a tone.
 * Loaded by fake_server.py; the real server's media is tested in tests/e2e.
 */
(() => {
  /** @type {RTCPeerConnection | null} */
  let pc = null;
  const canvas = document.createElement("canvas");
  canvas.width = 320;
  canvas.height = 180;
  const pen = canvas.getContext("2d");
  let paused = false;
  setInterval(() => {
    if (paused) return;
    pen.fillStyle = `hsl(${performance.now() / 20}, 80%, 50%)`;
    pen.fillRect(0, 0, 320, 180);
  }, 33);

  window.callee = {
    offers: 0,
    async answer(sdp) {
      this.offers += 1;
      const again = pc && pc.signalingState === "stable" && pc.connectionState !== "closed";
      if (!again) {
        pc = new RTCPeerConnection();
        const audio = new AudioContext();
        const tone = audio.createOscillator();
        const out = audio.createMediaStreamDestination();
        tone.connect(out);
        tone.start();
        const stream = canvas.captureStream(30);
        stream.addTrack(out.stream.getAudioTracks()[0]);
        for (const track of stream.getTracks()) pc.addTrack(track, stream);
      }
      await pc.setRemoteDescription({ type: "offer", sdp });
      await pc.setLocalDescription(await pc.createAnswer());
      if (pc.iceGatheringState !== "complete") {
        await new Promise((done) => {
          pc.onicegatheringstatechange = () => pc.iceGatheringState === "complete" && done();
        });
      }
      return pc.localDescription.sdp;
    },
    async candidate(candidate) {
      await pc.addIceCandidate(candidate);
    },
    pause(on) {
      paused = on; // a canvas that is not painted sends next to nothing
    },
    close() {
      pc?.close();
      pc = null;
    },
  };
})();
