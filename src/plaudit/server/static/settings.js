// The page /keys: each action with its key, to be changed, and one switch for all of them.

import { call, Fault } from "/static/api.js";
import { announce, h, setup } from "/static/dom.js";
import { ACTIONS, keepKeySettings, keyName, keySettings, normal } from "/static/keys.js";

const place = document.getElementById("keys");
const single = document.getElementById("single");
const kept = document.getElementById("kept");
const settings = keySettings(setup().preferences);
const TAKEN = ["Tab", "Shift", "Control", "Alt", "Meta", "CapsLock", "Escape"];
let waiting = null; // the action whose new key is awaited

const keyOf = (action) => settings.map[action] ?? ACTIONS[action].key;

async function save() {
  keepKeySettings(settings);
  draw();
  try {
    await call("PATCH", "/api/me", { preferences: { keys: settings } });
    kept.textContent = "Saved.";
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    kept.textContent = "Saved on this device only: the server cannot be reached.";
  }
}

function draw() {
  single.checked = settings.single;
  const groups = Object.groupBy
    ? Object.groupBy(Object.keys(ACTIONS), (action) => ACTIONS[action].group)
    : Object.keys(ACTIONS).reduce((all, action) => ((all[ACTIONS[action].group] ??= []).push(action), all), {});
  place.replaceChildren(
    ...Object.entries(groups).map(([group, actions]) =>
      h("section", { class: "card" }, h("h2", {}, group), ...actions.map((action) => row(action, actions))),
    ),
  );
}

function row(action, neighbours) {
  const double = neighbours.some((other) => other !== action && keyOf(other) === keyOf(action));
  const button = h("button", { type: "button", "data-action": action, "aria-label": `${ACTIONS[action].says}: ${keyName(keyOf(action))}. Change`, on: { click: () => wait(action) } });
  button.append(waiting === action ? "Press a key…" : h("kbd", {}, keyName(keyOf(action))));
  button.disabled = !settings.single;
  return h("div", { class: "row apart keyrow" }, h("span", {}, ACTIONS[action].says), double ? h("span", { class: "chip warn" }, "used twice") : null, button);
}

function wait(action) {
  waiting = action;
  draw();
  place.querySelector(`[data-action="${action}"]`).focus();
  announce(`Press the key for: ${ACTIONS[action].says}. Press Escape to keep the current key.`);
}

document.addEventListener(
  "keydown",
  (event) => {
    if (!waiting || event.ctrlKey || event.metaKey || event.altKey) return;
    if (TAKEN.includes(event.key) && event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    const action = waiting;
    waiting = null;
    if (event.key !== "Escape") {
      settings.map[action] = normal(event);
      announce(`${ACTIONS[action].says}: ${keyName(keyOf(action))}`);
      save();
    } else draw();
    place.querySelector(`[data-action="${action}"]`).focus();
  },
  true,
);
single.addEventListener("change", () => {
  settings.single = single.checked;
  save();
});
document.getElementById("usual").addEventListener("click", () => {
  settings.map = {};
  save();
});
draw();
