/**
 * What the server's detectors find in the stream that is watched: a short list, the newest first.
 *
 * Motion that goes on, and speech until it ends, stay one line. Most people have no detectors, so
 * the list shows with the first event only.
 *
 * @module detections
 */

/** @import {Message} from "./types.js" */

import { element, make, setText } from "./elements.js";

const SHOWN = 20;

/** Events of a detector that follow each other within this are one line. */
const SAME_MS = 3_000;

/**
 * One line of the list.
 *
 * @typedef {object} Line
 * @property {string} detector
 * @property {string} what What was found, in words.
 * @property {number} beginMs `Date.now()`.
 * @property {number} lastMs
 * @property {boolean} open It goes on: the next event of this detector belongs to it.
 * @property {HTMLLIElement} row
 */

export class Detections {
  #section = element("detections-section", HTMLElement);
  #list = element("detections", HTMLUListElement);
  /** @type {Line[]} The newest first. */
  #lines = [];

  /** Takes whatever message comes; what is no event of a detector is none of ours. @param {Message} message */
  receive({ type, subtype, data }) {
    if (type !== "message" || typeof data !== "object" || data === null) return;
    const event = /** @type {Record<string, any>} */ (data);
    if (subtype === "icey:vision") this.#seen(event);
    else if (subtype === "icey:speech") this.#heard(event);
  }

  /** Another stream is watched from now on. */
  clear() {
    this.#lines = [];
    this.#list.replaceChildren();
    this.#section.hidden = true;
  }

  /** @param {Record<string, any>} event */
  #seen(event) {
    const line = this.#note(String(event.detector), labels(event));
    const kept = event.data?.clip ?? event.data?.snapshot;
    if (typeof kept?.url === "string") this.#link(line, kept.url, event.data.clip ? "Clip" : "Picture");
  }

  /** @param {Record<string, any>} event */
  #heard(event) {
    const line = this.#note(String(event.detector), event.type === "detect" ? labels(event) : "speech");
    if (event.type === "speech:end") line.open = false;
  }

  /**
   * @param {string} detector
   * @param {string} what
   */
  #note(detector, what) {
    const now = Date.now();
    let line = this.#lines.find((known) => known.detector === detector);
    if (!line?.open || line.what !== what || now - line.lastMs > SAME_MS) {
      const row = make("li");
      row.append(make("span"));
      line = { detector, what, beginMs: now, lastMs: now, open: true, row };
      this.#lines.unshift(line);
      this.#list.prepend(row);
      for (const old of this.#lines.splice(SHOWN)) old.row.remove();
    }
    line.lastMs = now;
    const text = /** @type {HTMLElement} */ (line.row.firstElementChild);
    setText(text, inWords(line));
    this.#section.hidden = false;
    return line;
  }

  /**
   * @param {Line} line
   * @param {string} url
   * @param {string} words
   */
  #link(line, url, words) {
    // Ours come from this server; anything else would be a way to lead people elsewhere.
    const target = new URL(url, document.baseURI);
    if (target.origin !== location.origin) return;
    let link = line.row.querySelector("a");
    if (!link) {
      link = make("a");
      link.target = "_blank";
      link.rel = "noopener";
      line.row.append(" ", link);
    }
    link.href = target.href;
    setText(link, words);
  }
}

/** @param {Record<string, any>} event */
function labels(event) {
  const found = Array.isArray(event.detections) ? event.detections : [];
  const names = [...new Set(found.map((detection) => String(detection?.label ?? "")))].filter(Boolean);
  return names.slice(0, 3).join(", ") || String(event.detector);
}

/**
 * @param {Line} line
 * @returns {string} As in `14:05:12 motion, 3 s`.
 */
function inWords({ what, beginMs, lastMs }) {
  const seconds = Math.round((lastMs - beginMs) / 1000);
  const time = new Date(beginMs).toLocaleTimeString([], { hour12: false });
  return `${time} ${what}${seconds > 0 ? `, ${seconds} s` : ""}`;
}
