/**
 * The page's elements: shows what it is told, reports what the person does. Decides nothing.
 *
 * @module view
 */

/** @import {Connection, Peer, Phase} from "./types.js" */
/** @import {Sound} from "./player.js" */

import { addressOf } from "./symple.js";
import { connectionLabel, modeText, watchable } from "./words.js";

/**
 * @typedef {object} Actions
 * @property {(address: string) => void} watch
 * @property {() => void} hangup
 * @property {() => void} toggleSound
 * @property {(stage: Element) => void} fullscreen
 * @property {(token: string) => void} token
 */

const CURTAIN = /** @type {Record<Phase, string>} */ ({
  idle: "Click Watch to start",
  calling: "Calling…",
  connecting: "Connecting…",
  playing: "",
  recovering: "Reconnecting…",
  ended: "Click Watch to start again",
});

export class View {
  #stage = element("stage", HTMLElement);
  #curtain = element("curtain-text", HTMLElement);
  #connection = element("connection", HTMLElement);
  #status = element("status", HTMLElement);
  #problem = element("problem", HTMLElement);
  #quality = element("quality", HTMLElement);
  #servers = element("servers", HTMLUListElement);
  #noServers = element("no-servers", HTMLElement);
  #live = element("live", HTMLElement);
  #watch = element("watch", HTMLButtonElement);
  #hangup = element("hangup", HTMLButtonElement);
  #mute = element("mute", HTMLButtonElement);
  #unmute = element("unmute", HTMLButtonElement);
  #fullscreen = element("fullscreen", HTMLButtonElement);
  #dialog = element("token-dialog", HTMLDialogElement);
  #hint = element("token-hint", HTMLElement);
  #token = element("token", HTMLInputElement);
  #selected = "";
  #isLive = true;

  video = element("video", HTMLVideoElement);

  /** @param {Actions} actions */
  constructor(actions) {
    this.#watch.onclick = () => this.#selected && actions.watch(this.#selected);
    this.#hangup.onclick = () => actions.hangup();
    // The big mark on the picture looks like a button, so it is one for the mouse; keys have #watch.
    element("curtain", HTMLElement).onclick = () => this.#watch.hidden || this.#watch.click();
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

  /** @param {string} text Empty: nothing to say. */
  quality(text) {
    this.#quality.hidden = text === "";
    setText(this.#quality, text);
  }

  /** @param {Phase} phase */
  phase(phase) {
    const watching = phase !== "idle" && phase !== "ended";
    const focused = document.activeElement === this.#watch || document.activeElement === this.#hangup;
    this.#stage.dataset.phase = phase;
    setText(this.#curtain, CURTAIN[phase]);
    this.#watch.hidden = watching;
    this.#hangup.hidden = !watching;
    this.#curtain.hidden = !watching && this.#watch.disabled;
    this.#mute.hidden = this.#fullscreen.hidden = !watching;
    this.#live.hidden = phase !== "playing" || !this.#isLive;
    // Whoever pressed one of the two stays on the one that took its place.
    if (focused) (watching ? this.#hangup : this.#watch).focus();
    if (!watching) {
      this.quality("");
      this.#unmute.hidden = true;
    }
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
      const first = servers.find(watchable) ?? servers[0];
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

  /** @param {Peer[]} servers */
  #allow(servers) {
    const selected = servers.find((server) => addressOf(server) === this.#selected);
    this.#watch.disabled = !selected || !watchable(selected);
    // No invitation to click what cannot be clicked.
    this.#curtain.hidden = this.#watch.disabled && this.#hangup.hidden;
    this.#watch.title = selected && !watchable(selected) ? "This server has nothing to watch in its present mode." : "";
  }

  /** @param {Peer} server */
  #row(server) {
    const address = addressOf(server);
    const item = document.createElement("li");
    const label = document.createElement("label");
    label.className = "server";
    label.dataset.address = address;
    const radio = document.createElement("input");
    radio.type = "radio";
    radio.name = "server";
    radio.value = address;
    radio.checked = address === this.#selected;
    radio.onchange = () => {
      this.#selected = address;
      this.#allow([server]);
    };
    const name = document.createElement("strong");
    name.textContent = server.name || server.user;
    const tags = document.createElement("span");
    tags.className = "tags";
    for (const word of [server.mode, ...(server.capabilities ?? [])]) {
      if (!word) continue;
      const tag = document.createElement("span");
      tag.className = "tag";
      tag.textContent = word;
      tags.append(tag);
    }
    const mode = document.createElement("small");
    mode.textContent = modeText(server);
    name.append(tags);
    label.append(radio, name, mode);
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
    if (event.key === "m") actions.toggleSound();
    else if (event.key === "f") actions.fullscreen(this.#stage);
  }
}

/**
 * Screen readers repeat a live region that is set again; so only set what changed.
 *
 * @param {HTMLElement} node
 * @param {string} text
 */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
function element(id, type) {
  const found = document.getElementById(id);
  if (found instanceof type) return found;
  throw new Error(`index.html lacks #${id}`);
}
