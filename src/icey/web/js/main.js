/**
 * Assembly: makes the parts and joins them. No logic of its own beyond "when this, tell that".
 *
 * @module main
 */

/** @import {Connection, Peer, Phase} from "./types.js" */

import { Api, UnauthorizedError } from "./api.js";
import { Player } from "./player.js";
import { describe, sample } from "./stats.js";
import { addressOf, SympleClient } from "./symple.js";
import { View } from "./view.js";
import { Watcher } from "./watcher.js";
import { SOCKET_BLOCKED, unreachable } from "./words.js";

/** TURN credentials live for an hour by default; half of the shortest sensible life is safe. */
const CONFIG_FRESH_MS = 300_000;
const QUALITY_INTERVAL_MS = 2_000;

const api = new Api(document.baseURI);
const times = { clicked: 0, picture: 0 };
/** @type {{servers: RTCIceServer[], at: number}} */
let ice = { servers: [], at: -Infinity };
/** @type {Phase} */
let phase = "idle";

const view = new View({
  watch(address) {
    times.clicked = performance.now();
    times.picture = 0;
    player.begin();
    watcher.watch(address);
  },
  hangup: () => watcher.hangup(),
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

const client = new SympleClient(
  { url: api.socketUrl, user: tabName(), name: "Viewer", data: { peerType: "browser" }, token: () => api.token },
  {
    onConnection: connectionChanged,
    onPeers: peersChanged,
    onMessage: (message) => watcher.receive(message),
    onError: (status, message) => view.problem(`The server complains (${status}): ${message}`),
  },
);

const watcher = new Watcher({
  send: (message) => client.send(message),
  iceServers,
  onTrack: (track) => player.add(track),
  onPhase(next, status, problem) {
    // The old picture stays under the note; the next one ends the repair.
    if (next === "recovering" && phase !== "recovering") player.expectPicture();
    if (next === "idle" || next === "ended") player.clear();
    phase = next;
    view.phase(next);
    view.status(status);
    view.problem(problem);
  },
});

/** Ask for the token where one is needed, then connect and stay connected. */
async function enter() {
  try {
    await refreshIce();
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

async function refreshIce() {
  const config = await api.config();
  ice = { servers: config.iceServers, at: performance.now() };
  view.live(config.mode !== "stream" || config.source.kind !== "file");
}

/** @returns {Promise<RTCIceServer[]>} At once where they are fresh, so that Watch need not wait. */
async function iceServers() {
  if (performance.now() - ice.at > CONFIG_FRESH_MS) {
    try {
      await refreshIce();
    } catch (error) {
      console.warn("icey: calling with the ICE servers known so far", error);
    }
  }
  return ice.servers;
}

/** @param {Connection} connection */
function connectionChanged(connection) {
  view.connection(connection);
  if (connection.name === "online") {
    view.problem("");
    if (!watcher.wanted) view.status("Ready.");
    return;
  }
  if (connection.name === "connecting") return;
  watcher.signallingLost();
  if (connection.name === "refused") return askToken();
  if (connection.name === "waiting") {
    if (!watcher.wanted) view.status(unreachable(connection.delayMs));
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
  const servers = peers.filter((peer) => peer.type === "server");
  view.servers(servers);
  for (const server of servers) watcher.serverSeen(addressOf(server));
}

/** @returns {string} A user of its own for each tab, so that a message to it reaches this tab only. */
function tabName() {
  const bytes = crypto.getRandomValues(new Uint8Array(4));
  return `viewer-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** @type {import("./stats.js").Sample | null} */
let before = null;
setInterval(async () => {
  const pc = watcher.peerConnection;
  const now = pc && phase === "playing" && !document.hidden ? await sample(pc) : null;
  view.quality(before && now && phase === "playing" ? describe(before, now) : "");
  before = now;
}, QUALITY_INTERVAL_MS);

addEventListener("pagehide", () => {
  watcher.hangup();
  client.stop();
});
addEventListener("pageshow", (event) => {
  if (event.persisted) void enter(); // back out of the back/forward cache
});
addEventListener("online", () => client.retryNow());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) client.retryNow();
});

// For tests and benches only; nothing in the page reads it (docs/protocol.md does not promise it).
Object.defineProperty(window, "icey", {
  value: Object.freeze({
    /** The current call's RTCPeerConnection, or null. */
    get peerConnection() {
      return watcher.peerConnection;
    },
    /** `performance.now()` of the last click on Watch and of the first picture after it (0: none yet). */
    get times() {
      return { ...times };
    },
  }),
});

void enter();
