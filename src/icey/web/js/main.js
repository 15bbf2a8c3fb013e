/**
 * Assembly: makes the parts and joins them. No logic of its own beyond "when this, tell that".
 *
 * @module main
 */

/** @import {Connection, Ice, Message, Mode, Part, Peer, Phase} from "./types.js" */

import { Api, UnauthorizedError } from "./api.js";
import { Broadcaster } from "./broadcaster.js";
import { Detections } from "./detections.js";
import { Player } from "./player.js";
import { Recorder } from "./recorder.js";
import { Recordings } from "./recordings.js";
import { describe, sample } from "./stats.js";
import { addressOf, SympleClient } from "./symple.js";
import { View } from "./view.js";
import { Watcher } from "./watcher.js";
import { ready, SOCKET_BLOCKED, unreachable } from "./words.js";

/** What `/api/config` said counts as new that long, and never longer than half of its credential's life. */
const CONFIG_FRESH_MS = 300_000;
const QUALITY_INTERVAL_MS = 2_000;
const VIEWERS_INTERVAL_MS = 3_000;

/** A server that was away may be another one when it is back: so old is what we know of it. */
const CONFIG_OLD_MS = 5_000;

const api = new Api(document.baseURI);
const times = { clicked: 0, picture: 0 };
/** @type {Ice} */
let knownIce = { servers: [], policy: "all", lifeMs: 0 };
let configAt = -Infinity;
/** @type {Mode} */
let mode = "stream";
/** @type {Part} */
let part = "watch";
/** @type {Phase} */
let phase = "idle";
/** @type {Peer[]} Those in sight. */
let servers = [];
/** @type {Set<string>} Their addresses. */
let inSight = new Set();

const view = new View({
  watch(address) {
    times.clicked = performance.now();
    times.picture = 0;
    take("watch");
    player.begin();
    detections.clear();
    watcher.watch(address);
  },
  call(address) {
    times.clicked = performance.now();
    void recorder.call(address);
  },
  broadcast(address) {
    times.clicked = performance.now();
    take("send");
    void broadcaster.call(address);
  },
  hangup: () => party().hangup(),
  toggleMicrophone: () => void publisher().toggleMicrophone(),
  toggleCamera: () => publisher().toggleCamera(),
  toggleSound: () => (player.muted ? player.unmute() : player.mute()),
  fullscreen: (stage) => void player.toggleFullscreen(stage).catch((error) => console.warn("icey: no full screen", error)),
  token(token) {
    api.token = token;
    void enter();
  },
});

const player = new Player(view.video, {
  onPicture() {
    times.picture = performance.now();
    watcher.pictureShown();
  },
  onStalled: (stalled) => watcher.stalled(stalled),
  onSound: (sound) => view.sound(sound),
});

const user = tabName();

const client = new SympleClient(
  { url: api.socketUrl, user, name: "Browser", data: { peerType: "browser" }, token: () => api.token },
  {
    onConnection: connectionChanged,
    onPeers: peersChanged,
    onMessage: receive,
    onError: (status, message) => view.problem(`The server complains (${status}): ${message}`),
  },
);

const watcher = new Watcher({
  send: (message) => client.send(message),
  ice,
  onTrack: (track) => player.add(track),
  onPhase(next, status, problem) {
    // The old picture stays under the note; the next one ends the repair.
    if (next === "recovering" && phase !== "recovering") player.expectPicture();
    if (next === "idle" || next === "ended") player.clear();
    say(next, status, problem);
  },
  onLive: () => player.expectPicture(),
  onSlow: (slow) => view.slow(slow),
});

/** @type {import("./publisher.js").PublisherOptions} */
const publishing = {
  send: (message) => client.send(message),
  ice,
  onPhase: say,
  onPreview: (stream) => view.preview(stream),
  onDevices: (microphone, camera) => view.devices(microphone, camera),
};

const broadcaster = new Broadcaster(publishing);

const recorder = new Recorder({
  ...publishing,
  onRecording: (recording) => view.recording(recording),
  onFinished: () => void recordings.refresh(),
});

const recordings = new Recordings(() => api.recordings());

const detections = new Detections();

/** Who sends, in this mode. */
function publisher() {
  return mode === "record" ? recorder : broadcaster;
}

/** Whose part it is to be in a call. */
function party() {
  return part === "send" ? publisher() : watcher;
}

/** @param {Part} next */
function take(next) {
  part = next;
  view.part(part);
  view.viewers(null);
}

/**
 * @param {Phase} next
 * @param {string} status
 * @param {string} problem
 */
function say(next, status, problem) {
  phase = next;
  view.phase(next);
  view.status(status);
  view.problem(problem);
}

/** @param {Message} message */
function receive(message) {
  watcher.receive(message);
  if (part === "watch" && inSight.has(message.from ?? "")) detections.receive(message);
  publisher().receive(message, inSight.has(message.from ?? ""));
}

/** Ask for the token where one is needed, then connect and stay connected. */
async function enter() {
  try {
    await refreshConfig();
  } catch (error) {
    if (error instanceof UnauthorizedError) return askToken();
    console.warn("icey: /api/config", error); // the client below keeps trying and says so
  }
  client.start();
}

function askToken() {
  view.connection({ name: "refused", status: 401, message: "" });
  view.status("This server asks for an access token.");
  view.askToken(api.token ? "The server did not accept that token. Ask whoever runs it for the right one." : "");
}

async function refreshConfig() {
  const config = await api.config();
  knownIce = config.ice;
  configAt = performance.now();
  view.exposure(config.exposure);
  view.live(config.mode !== "stream" || config.source.kind !== "file");
  if (config.mode !== mode) {
    party().hangup();
    mode = config.mode;
    view.mode(mode);
    take(mode === "record" ? "send" : "watch");
    view.servers(servers);
  }
  if (mode === "record") void recordings.refresh();
}

/** @returns {Promise<Ice>} At once where it is fresh, so that Watch need not wait. */
async function ice() {
  if (performance.now() - configAt > Math.min(CONFIG_FRESH_MS, knownIce.lifeMs / 2)) {
    try {
      await refreshConfig();
    } catch (error) {
      console.warn("icey: calling with the ICE servers known so far", error);
    }
  }
  return knownIce;
}

/** @param {Connection} connection */
function connectionChanged(connection) {
  view.connection(connection);
  if (connection.name === "online") {
    view.problem("");
    if (!party().wanted) view.status(ready(location.search));
    if (performance.now() - configAt > CONFIG_OLD_MS) refreshConfig().catch((error) => console.warn("icey: /api/config", error));
    return;
  }
  if (connection.name === "connecting") return;
  party().signallingLost(connection.name === "waiting" && connection.broken);
  if (connection.name === "refused") return askToken();
  if (connection.name === "waiting") {
    if (!party().wanted) view.status(unreachable(connection.delayMs));
    if (connection.attempt > 2) void explain();
  }
}

/** A socket that will not open although HTTP works has causes of its own. */
async function explain() {
  const healthy = await api.healthy();
  if (healthy && !client.online) view.problem(SOCKET_BLOCKED);
}

/** @param {Peer[]} peers */
function peersChanged(peers) {
  servers = peers.filter((peer) => peer.type === "server");
  inSight = new Set(servers.map(addressOf));
  view.servers(servers);
  for (const address of inSight) party().serverSeen(address);
}

/** @returns {string} A user of its own for each tab, so that a message to it reaches this tab only. */
function tabName() {
  const bytes = crypto.getRandomValues(new Uint8Array(4));
  return `browser-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** @type {import("./stats.js").Sample | null} */
let before = null;
setInterval(async () => {
  const pc = party().peerConnection;
  const direction = part === "send" ? "outbound-rtp" : "inbound-rtp";
  const now = pc && phase === "playing" && !document.hidden ? await sample(pc, direction) : null;
  view.quality(before && now && phase === "playing" ? describe(before, now) : "");
  before = now;
}, QUALITY_INTERVAL_MS);

setInterval(async () => {
  if (mode !== "relay" || part !== "send" || phase !== "playing" || document.hidden) return;
  try {
    const { source, viewers } = await api.relay();
    view.viewers(part === "send" && source === user ? viewers : null);
  } catch (error) {
    console.debug("icey: the number of viewers", error); // the next turn asks again
  }
}, VIEWERS_INTERVAL_MS);

addEventListener("pagehide", () => {
  party().hangup("the page was closed");
  client.stop();
});
addEventListener("pageshow", (event) => {
  if (event.persisted) void enter(); // back out of the back/forward cache
});
addEventListener("online", () => client.retryNow());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  client.retryNow();
  if (mode === "record") void recordings.refresh();
});

// For tests and benches only; nothing in the page reads it (docs/protocol.md does not promise it).
Object.defineProperty(window, "icey", {
  value: Object.freeze({
    /** The current call's RTCPeerConnection, or null. */
    get peerConnection() {
      return party().peerConnection;
    },
    /** What this tab calls itself. */
    user,
    /** The open camera's stream, or null. */
    get stream() {
      return publisher().stream;
    },
    /** `performance.now()` of the last click on Watch, Call or Broadcast and of the first picture after it (0: none yet). */
    get times() {
      return { ...times };
    },
  }),
});

void enter();
