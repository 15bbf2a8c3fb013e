/**
 * Finding the page's elements, and changing them without waking screen readers.
 *
 * @module elements
 */

/**
 * Screen readers repeat a live region that is set again; so only set what changed.
 *
 * @param {HTMLElement} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function element(id, type) {
  const found = document.getElementById(id);
  if (found instanceof type) return found;
  throw new Error(`index.html lacks #${id}`);
}
