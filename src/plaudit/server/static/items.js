// What is judged, on the page: clips under one player, or a conversation with its responses side by side.

import { Player } from "/static/clips.js";
import { h } from "/static/dom.js";

export const LETTERS = "ABCDEFGHI";
const WHO = { system: "Setting", user: "Person", assistant: "Model" };

export function bubble(role, html, name = WHO[role]) {
  return h("div", { class: `turn ${role}` }, h("p", { class: "who" }, name), h("div", { class: "prose", dir: "auto", html }));
}

export function conversation(turns) {
  return h("div", { class: "talk" }, ...turns.map((turn) => bubble(turn.role, turn.html)));
}

function critique(html) {
  const heading = h("p", { class: "who" }, "A model's critique, which may be wrong");
  return h("aside", { class: "critique small", "aria-label": "A model's critique" }, heading, h("div", { class: "prose", dir: "auto", html }));
}

const said = (item) => JSON.stringify(item.prompt);

// Shows `items` under `root`, each in a card of its own when there are several. Returns the cards, a promise of
// everything being there, the keys that belong to it, and what ends it.
export function showItems(root, items, names = items.map((_, place) => LETTERS[place])) {
  const clips = items.every((item) => item.type === "clip");
  const cards = items.map((_, place) => h("section", { class: "item card", "aria-label": names[place] }));
  const shelf = h("div", { class: `shelf of-${Math.min(items.length, 4)} ${clips ? "clips" : "texts"}` }, ...cards);
  if (items.length > 1) cards.forEach((card, place) => card.append(h("h2", { class: "name" }, names[place])));
  if (!clips && items.some((item) => item.type === "clip")) throw new Error("A question has either clips or text.");
  if (clips) {
    const player = new Player(items, cards, items.length > 1 ? names : ["Clip"]);
    root.append(shelf, player.controls);
    return { cards, player, ready: player.start(), actions: player.actions, destroy: () => player.destroy() };
  }
  const shared = items.every((item) => item.type === "dialogue" && said(item) === said(items[0]));
  if (shared && items[0].prompt.length) root.append(h("div", { class: "prompt" }, conversation(items[0].prompt)));
  items.forEach((item, place) => {
    if (!shared && item.prompt.length) cards[place].append(conversation(item.prompt));
    if (item.response) cards[place].append(h("div", { class: "prose response", dir: "auto", html: item.response.html }));
    if (item.critique) cards[place].append(critique(item.critique));
  });
  if (items.some((item) => item.response || !shared)) root.append(shelf);
  return { cards, player: null, ready: Promise.resolve(), actions: {}, destroy: () => {} };
}
