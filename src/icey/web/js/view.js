/**
 * The page's elements: shows what it is told, reports what the person does. Decides nothing.
 *
 * @module view
 */

/** @import {Connection, Mode, Part, Peer, Phase} from "./types.js" */
/** @import {Sound} from "./player.js" */
/** @import {DeviceState} from "./publisher.js" */
/** @import {RecordingState} from "./recorder.js" */

import { element, make, setText } from "./elements.js";
import { addressOf } from "./symple.js";
import { clock, connectionLabel, modeText, takes, watchable } from "./words.js";

/**
 * @typedef {object} Actions
 * @property {(address: string) => void} watch
 * @property {(address: string) => void} call
 * @property {(address: string) => void} broadcast
 * @property {() => void} hangup
 * @property {() => void} toggleSound
 * @property {() => void} toggleMicrophone
 * @property {() => void} toggleCamera
 * @property {(stage: Element) => void} fullscreen
 * @property {(token: string) => void} token
 */

const CURTAIN = /** @type {Record<Phase, string>} */ ({
  idle: "Click Watch to start",
  asking: "",
  calling: "Calling…",
  connecting: "Connecting…",
  waiting: "Waiting for a broadcast",
  playing: "",
  recovering: "Reconnecting…",
  ended: "Click Watch to start again",
});
const RECORD_CURTAIN = {
  ...CURTAIN,
  idle: "Click Call to be recorded",
  asking: "Allow the camera and the microphone",
  ended: "Click Call to be recorded again",
};
const RELAY_CURTAIN = {
  ...CURTAIN,
  idle: "Click Watch, or Broadcast to be seen",
  asking: "Allow the camera and the microphone",
  ended: "Click Watch, or Broadcast to be seen",
};
const CURTAINS = { stream: CURTAIN, record: RECORD_CURTAIN, relay: RELAY_CURTAIN };
const TIME_SHOWN_EVERY_MS = 200;

export class View {
  #stage = element("stage", HTMLElement);
  #curtain = element("curtain-text", HTMLElement);
  #connection = element("connection", HTMLElement);
  #status = element("status", HTMLElement);
  #problem = element("problem", HTMLElement);
  #exposure = element("exposure", HTMLElement);
  #quality = element("quality", HTMLElement);
  #servers = element("servers", HTMLUListElement);
  #noServers = element("no-servers", HTMLElement);
  #live = element("live", HTMLElement);
  #slow = element("slow", HTMLElement);
  #watch = element("watch", HTMLButtonElement);
  #call = element("call", HTMLButtonElement);
  #broadcast = element("broadcast", HTMLButtonElement);
  #hangup = element("hangup", HTMLButtonElement);
  #mute = element("mute", HTMLButtonElement);
  #unmute = element("unmute", HTMLButtonElement);
  #fullscreen = element("fullscreen", HTMLButtonElement);
  #microphone = element("microphone", HTMLButtonElement);
  #camera = element("camera", HTMLButtonElement);
  #preview = element("preview", HTMLVideoElement);
  #recording = element("recording", HTMLElement);
  #recordings = element("recordings-section", HTMLElement);
  #dialog = element("token-dialog", HTMLDialogElement);
  #hint = element("token-hint", HTMLElement);
  #token = element("token", HTMLInputElement);
  #selected = "";
  #isLive = true;
  /** @type {Mode} */ #mode = "stream";
  /** @type {Part} */ #part = "watch";
  /** @type {Phase} */ #phase = "idle";
  /** @type {ReturnType<typeof setInterval> | undefined} */ #ticking;

  video = element("video", HTMLVideoElement);

  /** @param {Actions} actions */
  constructor(actions) {
    this.#watch.onclick = () => this.#selected && actions.watch(this.#selected);
    this.#call.onclick = () => this.#selected && actions.call(this.#selected);
    this.#broadcast.onclick = () => this.#selected && actions.broadcast(this.#selected);
    this.#hangup.onclick = () => actions.hangup();
    // The big mark on the picture looks like a button, so it is one for the mouse; keys have the button itself.
    element("curtain", HTMLElement).onclick = () => this.#invited.hidden || this.#invited.click();
    this.#microphone.onclick = () => actions.toggleMicrophone();
    this.#camera.onclick = () => actions.toggleCamera();
    this.#mute.onclick = this.#unmute.onclick = () => actions.toggleSound();
    this.#fullscreen.onclick = this.video.ondblclick = () => actions.fullscreen(this.#stage);
    element("token-form", HTMLFormElement).onsubmit = (event) => {
      event.preventDefault();
      this.#dialog.close();
      actions.token(this.#token.value.trim());
      this.#token.value = "";
    };
    element("token-cancel", HTMLButtonElement).onclick = () => this.#dialog.close();
    document.addEventListener("keydown", (event) => this.#key(event, actions));
  }

  /** @param {Connection} connection */
  connection(connection) {
    this.#connection.dataset.state = connection.name;
    setText(this.#connection, connectionLabel(connection));
  }

  /** The button that begins a call of this part in the server's mode. */
  get #start() {
    if (this.#mode === "relay" && this.#part === "send") return this.#broadcast;
    return this.#invited;
  }

  /** The button that the curtain stands for: nobody goes live by a click on a picture. */
  get #invited() {
    return this.#mode === "record" ? this.#call : this.#watch;
  }

  /** @param {Mode} mode What the server is for, and so what there is to click. */
  mode(mode) {
    this.#mode = mode;
    this.#recordings.hidden = mode !== "record";
  }

  /** @param {Part} part */
  part(part) {
    const sends = part === "send";
    this.#part = part;
    this.#stage.dataset.part = part;
    this.video.hidden = sends;
    this.#preview.hidden = !sends;
    element("player", HTMLElement).setAttribute("aria-label", sends ? "Camera" : "Player");
    this.phase(this.#phase);
  }

  /** @param {number | null} count How many watch what is sent; null: nothing is known of it. */
  viewers(count) {
    setText(this.#live, count === null ? "Live" : `Live · ${count} watching`);
  }

  /** @param {boolean} slow Whether the network carries less than what is watched needs. */
  slow(slow) {
    this.#slow.hidden = !slow;
  }

  /** @param {boolean} live Whether what is watched happens now; a file does not. */
  live(live) {
    this.#isLive = live;
  }

  /** @param {string} text */
  status(text) {
    setText(this.#status, text);
  }

  /** @param {string} text Empty: nothing is wrong. */
  problem(text) {
    this.#problem.hidden = text === "";
    setText(this.#problem, text);
  }

  /** @param {string} text Who may use this server without a token; empty: nobody who is not known. */
  exposure(text) {
    this.#exposure.hidden = text === "";
    setText(this.#exposure, text === "" ? "" : `This server is open: ${text}.`);
  }

  /** @param {string} text Empty: nothing to say. */
  quality(text) {
    this.#quality.hidden = text === "";
    setText(this.#quality, text);
  }

  /** @param {Phase} phase */
  phase(phase) {
    const busy = phase !== "idle" && phase !== "ended";
    const record = this.#mode === "record";
    const relay = this.#mode === "relay";
    const sends = this.#part === "send";
    const focused = document.activeElement === this.#start || document.activeElement === this.#hangup;
    this.#phase = phase;
    this.#stage.dataset.phase = phase;
    setText(this.#curtain, CURTAINS[this.#mode][phase]);
    this.#watch.hidden = busy || record;
    this.#call.hidden = busy || !record;
    this.#broadcast.hidden = busy || !relay;
    this.#hangup.hidden = !busy;
    this.#curtain.hidden = !busy && this.#invited.disabled;
    this.#mute.hidden = this.#fullscreen.hidden = !busy || sends;
    this.#live.hidden = phase !== "playing" || !this.#isLive || record;
    // Whoever pressed one of the two stays on the one that took its place.
    if (focused) (busy ? this.#hangup : this.#start).focus();
    if (!busy) {
      this.quality("");
      this.#unmute.hidden = this.#slow.hidden = true;
    }
  }

  /** @param {MediaStream | null} stream What the camera sees; null: it is closed. */
  preview(stream) {
    this.#preview.srcObject = stream;
    const [video] = stream?.getVideoTracks() ?? [];
    // People know themselves from mirrors; what a camera on the back of a phone sees has writing on it.
    this.#preview.classList.toggle("mirrored", video?.getSettings().facingMode !== "environment");
    // Muted, so that no browser refuses to play it; AbortError where it is closed again at once.
    if (stream) this.#preview.play().catch((error) => console.debug("icey: no preview", error));
  }

  /**
   * @param {DeviceState} microphone
   * @param {DeviceState} camera
   */
  devices(microphone, camera) {
    const focused = document.activeElement === this.#microphone || document.activeElement === this.#camera;
    this.#microphone.hidden = this.#camera.hidden = camera === "none";
    if (focused && this.#camera.hidden) this.#start.focus();
    setSwitch(this.#microphone, "microphone", microphone === "on", "m");
    setSwitch(this.#camera, "camera", camera === "on", "v");
  }

  /** @param {RecordingState} recording */
  recording(recording) {
    clearInterval(this.#ticking);
    this.#recording.hidden = recording.name === "off";
    this.#recording.dataset.state = recording.name;
    if (recording.name !== "running") return setText(this.#recording, "Waiting");
    const { since } = recording;
    const show = () => setText(this.#recording, clock((performance.now() - since) / 1000));
    show();
    this.#ticking = setInterval(show, TIME_SHOWN_EVERY_MS);
  }

  /** @param {Sound} sound */
  sound(sound) {
    this.#unmute.hidden = sound !== "blocked";
    this.#mute.setAttribute("aria-pressed", String(sound !== "on"));
    this.#mute.title = sound === "on" ? "Mute (m)" : "Unmute (m)";
  }

  /** @param {Peer[]} servers */
  servers(servers) {
    if (!servers.some((server) => addressOf(server) === this.#selected)) {
      const first = servers.find(this.#usable) ?? servers[0];
      this.#selected = first ? addressOf(first) : "";
    }
    this.#servers.replaceChildren(...servers.map((server) => this.#row(server)));
    this.#noServers.hidden = servers.length > 0;
    this.#allow(servers);
  }

  /** @param {string} hint Why the token is asked for, where it is not for the first time. */
  askToken(hint) {
    if (hint) setText(this.#hint, hint);
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#token.focus();
  }

  /** @param {Peer} server */
  #usable = (server) => (this.#mode === "record" ? takes(server, "record") : watchable(server));

  /** @param {Peer[]} servers */
  #allow(servers) {
    const selected = servers.find((server) => addressOf(server) === this.#selected);
    const usable = selected !== undefined && this.#usable(selected);
    this.#watch.disabled = !selected || !watchable(selected);
    this.#call.disabled = !selected || !takes(selected, "record");
    this.#broadcast.disabled = !selected || !takes(selected, "relay");
    // No invitation to click what cannot be clicked.
    this.#curtain.hidden = !usable && this.#hangup.hidden;
    this.#watch.title = selected && !watchable(selected) ? "This server has nothing to watch in its present mode." : "";
    this.#call.title = selected && !takes(selected, "record") ? "This server does not record in its present mode." : "";
  }

  /** @param {Peer} server */
  #row(server) {
    const address = addressOf(server);
    const label = make("label", "server");
    label.dataset.address = address;
    const radio = make("input");
    radio.type = "radio";
    radio.name = "server";
    radio.value = address;
    radio.checked = address === this.#selected;
    radio.onchange = () => {
      this.#selected = address;
      this.#allow([server]);
    };
    const tags = make("span", "tags");
    for (const word of [server.mode, ...(server.capabilities ?? [])]) if (word) tags.append(make("span", "tag", word));
    const name = make("strong", "", server.name || server.user);
    name.append(tags);
    label.append(radio, name, make("small", "", modeText(server)));
    const item = make("li");
    item.append(label);
    return item;
  }

  /**
   * @param {KeyboardEvent} event
   * @param {Actions} actions
   */
  #key(event, actions) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLInputElement) return;
    if (this.#hangup.hidden) return;
    if (this.#part === "send") {
      if (event.key === "m" && !this.#microphone.hidden) actions.toggleMicrophone();
      else if (event.key === "v" && !this.#camera.hidden) actions.toggleCamera();
    } else if (event.key === "m") actions.toggleSound();
    else if (event.key === "f") actions.fullscreen(this.#stage);
  }
}

/**
 * @param {HTMLButtonElement} button
 * @param {string} name Of the device.
 * @param {boolean} on
 * @param {string} key Its shortcut.
 */
function setSwitch(button, name, on, key) {
  const words = on ? `Turn the ${name} off` : `Turn the ${name} on`;
  button.dataset.on = String(on);
  button.title = `${words} (${key})`;
  setText(/** @type {HTMLElement} */ (button.querySelector(".unseen")), words);
}
