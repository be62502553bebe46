// Marking passages of a text, or stretches of a clip. Offsets count Unicode characters (code points), as the store does;
// JavaScript counts UTF-16 units, so every offset is converted at the door.

import { announce, fromTemplate, h } from "/static/dom.js";
import { showItems } from "/static/items.js";

export function toPoints(text, units) {
  return [...text.slice(0, units)].length;
}

export function toUnits(text, points) {
  let units = 0;
  for (const character of text) {
    if (points-- <= 0) break;
    units += character.length;
  }
  return units;
}

export function mountSpans(root, assignment, host) {
  root.append(fromTemplate("widget-spans"));
  const item = assignment.items[0];
  const categories = assignment.options.categories;
  const list = root.querySelector("[data-marks]");
  const none = root.querySelector("[data-none]");
  let marks = []; // {start, end, category, note}

  const board = item.type === "clip" ? clipBoard(root, assignment, () => marks) : textBoard(root, item, () => marks);
  const bar = root.querySelector("[data-categories]");
  bar.append(
    ...categories.map((category, place) =>
      h("button", { type: "button", class: `category c${place % 8}`, on: { pointerdown: (event) => event.preventDefault(), click: () => mark(place) } }, category, place < 9 ? h("kbd", { "data-key": String(place + 1) }) : null),
    ),
  );

  function mark(place) {
    const range = board.range();
    if (!range) {
      announce(board.how);
      root.querySelector("[data-how]").classList.add("urgent");
      return;
    }
    marks = [...marks, { ...range, category: categories[place], note: "" }].sort((a, b) => a.start - b.start || a.end - b.end);
    board.clear();
    show();
    board.at?.(range.end);
    announce(`Marked as ${categories[place]}: ${board.words(range)}`);
    host.changed();
  }

  function remove(which) {
    marks = marks.filter((each) => each !== which);
    show();
    announce("Mark removed");
    host.changed();
    (list.querySelector("button") ?? root.querySelector("[data-focus]"))?.focus();
  }

  function show() {
    board.draw();
    none.hidden = marks.length > 0;
    list.replaceChildren(
      ...marks.map((each) => {
        const note = h("input", { type: "text", value: each.note, placeholder: "Note (optional)", "aria-label": `Note on ${each.category}: ${board.words(each)}` });
        note.addEventListener("input", () => {
          each.note = note.value;
          host.changed();
        });
        const gone = h("button", { type: "button", class: "quiet", "aria-label": `Remove the mark ${each.category}: ${board.words(each)}`, on: { click: () => remove(each) } }, "Remove");
        return h("li", { class: "marked" }, h("span", { class: `chip c${categories.indexOf(each.category) % 8}` }, each.category), h("q", { class: "words", dir: "auto" }, board.words(each)), note, gone);
      }),
    );
  }

  const restore = (given) => {
    marks = given.map((each) => ({ ...each }));
    show();
  };
  show();
  return {
    ready: board.ready,
    actions: { ...board.actions, ...Object.fromEntries(categories.slice(0, 9).map((_, place) => [String(place + 1), () => mark(place)])) },
    value: () => ({ spans: marks }),
    state: () => ({ spans: marks }),
    restore: (state) => restore(state.spans),
    fill: (value) => restore(value.spans),
    destroy: board.destroy,
  };
}

// Text: selected with the mouse, or with the keyboard, by a caret of our own: arrows move it (Ctrl by words), Shift selects.
function textBoard(root, item, marks) {
  const place = root.querySelector("[data-items]");
  const shown = showItems(place, [{ ...item, response: null }]);
  const raw = item.response?.text ?? "";
  const caret = h("span", { class: "caret", "aria-hidden": "true", hidden: true });
  const text = h("div", { class: "markable", tabindex: "0", role: "textbox", "aria-readonly": "true", "aria-multiline": "true", "aria-label": "The response", "aria-describedby": "how-to-mark", "data-own-keys": "", "data-focus": "", dir: "auto" });
  place.append(h("div", { class: "card board" }, text, caret));
  const selection = getSelection();

  function offset(node, at) {
    const before = document.createRange();
    before.selectNodeContents(text);
    before.setEnd(node, at);
    return toPoints(raw, before.toString().length);
  }

  function range() {
    if (!selection.rangeCount || selection.isCollapsed) return null;
    const chosen = selection.getRangeAt(0);
    if (!text.contains(chosen.startContainer) || !text.contains(chosen.endContainer)) return null;
    let [start, end] = [offset(chosen.startContainer, chosen.startOffset), offset(chosen.endContainer, chosen.endOffset)];
    const characters = [...raw];
    while (start < end && !characters[start].trim()) start += 1; // spaces at either end are no part of a mark
    while (start < end && !characters[end - 1].trim()) end -= 1;
    return end > start ? { start, end } : null;
  }

  // Put the caret there, after the text has been drawn anew.
  function at(point) {
    if (document.activeElement !== text) return;
    let left = toUnits(raw, point);
    const pieces = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
    while (pieces.nextNode()) {
      const { length } = pieces.currentNode;
      if (left <= length) return selection.collapse(pieces.currentNode, left);
      left -= length;
    }
  }

  function follow() {
    const inside = selection.rangeCount && text.contains(selection.focusNode) && document.activeElement === text;
    caret.hidden = !inside;
    if (!inside) return;
    const at = document.createRange();
    at.setStart(selection.focusNode, selection.focusOffset);
    const box = at.getClientRects()[0] ?? text.getBoundingClientRect();
    const frame = text.parentElement.getBoundingClientRect();
    caret.style.left = `${box.left - frame.left}px`;
    caret.style.top = `${box.top - frame.top}px`;
    caret.style.height = `${Math.min(box.height || 24, 28)}px`;
  }

  const ARROWS = { ArrowLeft: ["left", "character"], ArrowRight: ["right", "character"], ArrowUp: ["backward", "line"], ArrowDown: ["forward", "line"], Home: ["backward", "lineboundary"], End: ["forward", "lineboundary"] };

  function step(event) {
    const move = ARROWS[event.key];
    if (!move || event.altKey) return;
    event.preventDefault();
    const byWord = (event.ctrlKey || event.metaKey) && move[1] === "character";
    selection.modify(event.shiftKey ? "extend" : "move", move[0], byWord ? "word" : move[1]);
    if (!text.contains(selection.focusNode)) selection.setBaseAndExtent(text, 0, text, 0);
    follow();
    const chosen = range();
    announce(chosen ? `selected: ${words(chosen)}` : raw.slice(toUnits(raw, offset(selection.focusNode, selection.focusOffset))).match(/^\S+|^\s/)?.[0]?.trim() || "space");
  }

  function begin() {
    if (!text.contains(selection.focusNode)) selection.setBaseAndExtent(text, 0, text, 0);
    follow();
  }

  const words = ({ start, end }) => raw.slice(toUnits(raw, start), toUnits(raw, end));

  // The text in pieces between all ends of marks; each piece shows the last category that covers it.
  function draw() {
    const all = marks();
    const names = [...root.querySelectorAll("[data-categories] .category")].map((each) => each.firstChild.textContent);
    const edges = [...new Set([0, [...raw].length, ...all.flatMap((each) => [each.start, each.end])])].sort((a, b) => a - b);
    const pieces = edges.slice(1).map((end, index) => {
      const start = edges[index];
      const over = all.filter((each) => each.start <= start && each.end >= end);
      const words_ = words({ start, end });
      return over.length ? h("mark", { class: `c${Math.max(0, names.indexOf(over.at(-1).category)) % 8}`, title: over.map((each) => each.category).join(", ") }, words_) : words_;
    });
    text.replaceChildren(...pieces);
  }

  text.addEventListener("keydown", step);
  text.addEventListener("focus", begin);
  text.addEventListener("blur", follow);
  document.addEventListener("selectionchange", follow);
  const digits = (event) => /^[1-9]$/.test(event.key) && !event.ctrlKey && !event.altKey && !event.metaKey;
  text.addEventListener("keydown", (event) => digits(event) && root.querySelectorAll("[data-categories] button")[Number(event.key) - 1]?.click());
  return {
    range,
    draw,
    words,
    at,
    clear: () => selection.collapseToEnd?.(),
    how: "Select a passage of the response first.",
    ready: shown.ready,
    actions: {},
    destroy: () => document.removeEventListener("selectionchange", follow),
  };
}

// A clip: a mark begins and ends at frames of the timeline.
function clipBoard(root, assignment, marks) {
  const place = root.querySelector("[data-items]");
  const shown = showItems(place, assignment.items);
  const player = shown.player;
  const track = h("div", { class: "track", "aria-hidden": "true" });
  const said = h("p", { class: "small numbers", "aria-live": "polite" });
  const begin = h("button", { type: "button", "data-focus": "", on: { click: () => from() } }, "Begin here", h("kbd", { "data-key": "markin" }));
  const end = h("button", { type: "button", on: { click: () => to() } }, "End here", h("kbd", { "data-key": "markout" }));
  root.querySelector("[data-how]").textContent = "Mark where a passage begins and ends. Then choose a category.";
  place.append(track, h("div", { class: "row" }, begin, end, said));
  let start = null;
  let stop = null;

  function tell() {
    said.textContent = start === null ? "" : stop === null ? `from frame ${start + 1}` : `frames ${start + 1} to ${stop}`;
    draw();
  }

  function from() {
    start = player.frame;
    if (stop !== null && stop <= start) stop = null;
    player.pause();
    tell();
  }

  function to() {
    start = Math.min(start ?? 0, player.frame);
    stop = player.frame + 1;
    player.pause();
    tell();
  }

  function draw() {
    const stretch = (each, name) => {
      const piece = h("span", { class: name });
      piece.style.left = `${(100 * each.start) / player.count}%`;
      piece.style.width = `${(100 * (each.end - each.start)) / player.count}%`;
      return piece;
    };
    const open = start === null ? [] : [stretch({ start, end: stop ?? start + 1 }, "open")];
    track.replaceChildren(...marks().map((each) => stretch(each, `done c${Math.max(0, assignment.options.categories.indexOf(each.category)) % 8}`)), ...open);
  }

  return {
    range: () => (start === null || stop === null ? null : { start, end: stop }),
    draw,
    words: (each) => `frames ${each.start + 1} to ${each.end}`,
    clear: () => {
      start = stop = null;
      tell();
    },
    how: "First mark where the passage begins and ends.",
    ready: shown.ready,
    actions: { ...shown.actions, markin: from, markout: to },
    destroy: shown.destroy,
  };
}
