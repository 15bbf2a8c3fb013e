/**
 * Many viewers in one tab, with the page's own signalling and calls; injected as an init script.
 */
window.joining = {
  /** @type {import("../../src/icey/web/js/call.js").Call[]} */
  calls: [],

  /** Let so many viewers join at once. */
  async join(url, count) {
    const [{ SympleClient, addressOf }, { Call }] = await Promise.all([import("/js/symple.js"), import("/js/call.js")]);
    for (let n = 0; n < count; n += 1) {
      let call = null;
      const client = new SympleClient(
        { url, user: `many-${n}`, name: "", token: () => "" },
        {
          onConnection() {},
          onError() {},
          onPeers: (peers) => {
            const server = peers.find((peer) => peer.type === "server");
            if (!server || call) return;
            call = new Call({
              to: addressOf(server),
              ice: { servers: [], policy: "all", lifeMs: Infinity },
              send: (message) => client.send(message),
              setUp: (pc) => void pc.addTransceiver("video", { direction: "recvonly" }),
              onState() {},
              onEnd() {},
            });
            this.calls.push(call);
            call.start();
          },
          onMessage({ subtype, data }) {
            if (subtype?.startsWith("call:")) call?.receive(subtype, data);
          },
        },
      );
      client.start();
    }
  },

  /** How many of them have decoded a picture. */
  async seeing() {
    const pictures = await Promise.all(
      this.calls.map(async ({ peerConnection }) => {
        let frames = 0;
        (await peerConnection.getStats()).forEach((report) => {
          if (report.type === "inbound-rtp") frames = report.framesDecoded ?? 0;
        });
        return frames;
      }),
    );
    return pictures.filter((frames) => frames > 0).length;
  },
};
