/**
 * The list of finished recordings, and the player for one of them.
 *
 * @module recordings
 */

/** @import {Recording} from "./types.js" */

import { element, make, setText } from "./elements.js";
import { recordingFacts } from "./words.js";

const START = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** @typedef {{item: HTMLLIElement, play: HTMLButtonElement, link: HTMLAnchorElement, facts: HTMLElement}} Row */

export class Recordings {
  /** @type {() => Promise<Recording[]>} */ #load;
  #list = element("recordings", HTMLUListElement);
  #none = element("no-recordings", HTMLElement);
  #figure = element("playback-figure", HTMLElement);
  #video = element("playback", HTMLVideoElement);
  #title = element("playback-title", HTMLElement);
  #problem = element("playback-problem", HTMLElement);
  #download = element("playback-download", HTMLAnchorElement);
  /** @type {Map<string, Row>} */ #rows = new Map();
  /** @type {Map<string, Recording>} */ #known = new Map();
  #playing = "";
  #retried = false;
  #loading = 0;

  /** @param {() => Promise<Recording[]>} load */
  constructor(load) {
    this.#load = load;
    element("playback-close", HTMLButtonElement).onclick = () => this.close();
    this.#video.onerror = () => void this.#failed();
    this.#video.onplaying = () => {
      this.#retried = false;
      this.#say("");
    };
  }

  /** Show what there is now. */
  async refresh() {
    const turn = ++this.#loading;
    /** @type {Recording[]} */
    let recordings;
    try {
      recordings = await this.#load();
    } catch (error) {
      console.warn("icey: the list of recordings", error); // the old list stays; the next event asks again
      return;
    }
    if (turn === this.#loading) this.#show(recordings);
  }

  /** Put the player away. */
  close() {
    const row = this.#rows.get(this.#playing);
    this.#playing = "";
    this.#figure.hidden = true;
    this.#video.removeAttribute("src");
    this.#video.load(); // lets go of the connection
    this.#mark();
    row?.play.focus();
  }

  /** @param {Recording[]} recordings */
  #show(recordings) {
    this.#known = new Map(recordings.map((recording) => [recording.name, recording]));
    for (const name of this.#rows.keys()) if (!this.#known.has(name)) this.#rows.delete(name);
    const items = recordings.map((recording) => this.#row(recording).item);
    const shown = [...this.#list.children];
    if (items.length !== shown.length || items.some((item, at) => item !== shown[at])) {
      const focused = document.activeElement;
      this.#list.replaceChildren(...items);
      if (focused instanceof HTMLElement && this.#list.contains(focused)) focused.focus();
    }
    this.#none.hidden = items.length > 0;
    this.#mark();
  }

  /**
   * @param {Recording} recording
   * @returns {Row} The one that is there already, up to date, or a new one.
   */
  #row(recording) {
    const row = this.#rows.get(recording.name) ?? this.#newRow(recording);
    this.#rows.set(recording.name, row);
    row.link.href = recording.url;
    setText(row.facts, recordingFacts(recording));
    return row;
  }

  /**
   * @param {Recording} recording
   * @returns {Row}
   */
  #newRow(recording) {
    const { name, start, recovered } = recording;
    const item = make("li", "recording");
    item.dataset.name = name;
    const play = make("button", "play");
    play.type = "button";
    play.onclick = () => this.#play(name);
    const known = !Number.isNaN(start.getTime());
    const time = make("time", "", known ? START.format(start) : "Start unknown");
    time.dateTime = known ? start.toISOString() : "";
    const title = make("strong");
    title.append(time);
    if (recovered) {
      const tag = make("span", "tag", "recovered");
      tag.title = "The server stopped in the middle of it, and repaired the file when it came back.";
      title.append(tag);
    }
    const facts = make("small");
    const words = make("span", "words");
    words.append(title, facts, make("small", "file", name));
    play.append(make("span", "arrow"), words);
    const link = make("a", "button", "Download");
    link.download = name;
    link.setAttribute("aria-label", `Download ${name}`);
    item.append(play, link);
    return { item, play, link, facts };
  }

  /** @param {string} name */
  #play(name) {
    const recording = this.#known.get(name);
    if (!recording) return;
    this.#playing = name;
    this.#retried = false;
    this.#figure.hidden = false;
    setText(this.#title, name);
    this.#say("");
    this.#download.href = recording.url;
    this.#download.download = name;
    this.#open(recording.url, 0);
    this.#mark();
    this.#figure.scrollIntoView({ block: "nearest" });
  }

  /**
   * @param {string} url
   * @param {number} at In seconds.
   */
  #open(url, at) {
    this.#video.src = url;
    if (at > 0) this.#video.currentTime = at;
    this.#video.play().catch((error) => console.debug("icey: not played by itself", error)); // has controls
  }

  /** The link may have expired, or been made by a server that is gone: once, a new one is tried. */
  async #failed() {
    const name = this.#playing;
    if (!name) return;
    const at = this.#video.currentTime;
    if (!this.#retried) {
      this.#retried = true;
      await this.refresh();
      if (name !== this.#playing) return;
      const recording = this.#known.get(name);
      if (recording) return this.#open(recording.url, at);
    }
    const gone = this.#known.has(name) ? "" : "It is no longer on the server.";
    this.#say(`This recording does not play here. ${gone || "Download it, and try another player."}`);
  }

  /** @param {string} problem */
  #say(problem) {
    this.#problem.hidden = problem === "";
    setText(this.#problem, problem);
  }

  #mark() {
    for (const [name, { play }] of this.#rows) {
      if (name === this.#playing) play.setAttribute("aria-current", "true");
      else play.removeAttribute("aria-current");
    }
  }
}
