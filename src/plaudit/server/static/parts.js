// Small parts of the page for judging: how long things took, what is saved, guidelines.

import { call } from "/static/api.js";
import { announce, h, storage } from "/static/dom.js";

// Durations by the monotonic clock, which no change of the wall clock moves.
export class Stopwatch {
  constructor() {
    this.start();
    const first = () => this.touch();
    for (const event of ["pointerdown", "keydown", "input"]) document.addEventListener(event, first, { once: true, capture: true });
  }

  start() {
    this.begun = performance.now();
    this.touched = null;
  }

  touch() {
    this.touched ??= performance.now();
  }

  elapsed() {
    const now = performance.now();
    return { shown_ms: Math.round(now - this.begun), first_input_ms: Math.round(now - (this.touched ?? now)) };
  }
}

const WORDS = {
  saved: () => "Saved",
  saving: () => "Saving…",
  offline: (waiting) => `Offline: ${waiting} kept on this device`,
  busy: (waiting) => `The server has trouble: ${waiting} kept on this device`,
  "signed-out": (waiting) => `Signed out: ${waiting} kept on this device`,
};

export class Status {
  constructor(state, progress, notices) {
    this.state = state;
    this.progress = progress;
    this.notices = notices;
    this.done = null;
    this.waiting = null;
    this.tasks = false;
  }

  sending({ state, waiting, reason, kept }) {
    this.state.className = `state ${state}`;
    this.state.textContent = kept || state === "saved" ? WORDS[state](waiting) : "Not saved yet: leave this page open";
    this.state.title = reason;
    if (state === "signed-out") this.#notice("sending", "warn", "You are signed out, or must read a text first. Nothing is lost.", [["Sign in again", () => location.assign(`/sign-in?next=${encodeURIComponent(location.pathname)}`)]]);
    else this.#gone("sending");
  }

  set(done, waiting) {
    this.done = done;
    this.waiting = waiting;
    this.#show();
  }

  count(by) {
    if (this.done === null) return;
    this.set(Math.max(0, this.done + by), Math.max(0, this.waiting - by));
  }

  #show() {
    const waiting = this.waiting >= 1000 ? "1000+" : this.waiting;
    this.progress.textContent = this.tasks && this.waiting ? `Task ${this.done + 1} of ${this.done + this.waiting}` : `${this.done} done today, ${waiting} waiting`;
  }

  // What is missing in an answer.
  ask(text) {
    this.#notice("ask", "warn", text, [], 6000);
    announce(text);
  }

  quiet() {
    this.#gone("ask");
    this.#gone("expired");
  }

  // `beside`: the server belongs to a training run or an audit, and ends with it.
  trouble(error, beside) {
    const ended = beside && error.status === 0 ? " It belongs to a training run or an audit, which may have ended; saved answers stay. If it continues, the page tries again by itself." : " The page tries again by itself.";
    this.#notice("trouble", "bad", `${error.message}${ended}`, []);
  }

  reached() {
    this.#gone("trouble");
  }

  refused(detail) {
    this.#notice("refused", "bad", `An answer was not accepted: ${detail}. A copy of it is kept on this device.`, [["Close", () => this.#gone("refused")]]);
  }

  expired(again, other) {
    const text = "The time for this question has run out, so another person may get it. You can continue: your answer is kept.";
    const act = (what) => () => {
      this.#gone("expired");
      what();
    };
    this.#notice("expired", "warn", text, [["Continue with it", act(again)], ["Another question", act(other)]]);
  }

  #notice(name, tone, text, actions, time = 0) {
    this.#gone(name);
    const buttons = actions.map(([label, act]) => h("button", { type: "button", on: { click: act } }, label));
    const notice = h("div", { class: `notice ${tone}`, "data-notice": name, role: tone === "bad" ? "alert" : "status" }, h("p", {}, text), buttons.length ? h("div", { class: "row" }, ...buttons) : null);
    this.notices.append(notice);
    if (time) setTimeout(() => notice.remove(), time);
  }

  #gone(name) {
    this.notices.querySelector(`[data-notice="${name}"]`)?.remove();
  }
}

const seenKey = (config) => `plaudit.guideline.${config.person}.${config.project}`;

export function guidelineSeen(config, assignment) {
  const kept = storage.read(seenKey(config)) ?? config.preferences.guidelines?.[config.project] ?? null;
  return kept === assignment.guideline.version;
}

export function markGuideline(config, assignment) {
  const version = assignment.guideline.version;
  storage.write(seenKey(config), version);
  const guidelines = { ...config.preferences.guidelines, [config.project]: version };
  config.preferences.guidelines = guidelines;
  call("PATCH", "/api/me", { preferences: { guidelines } }).catch(() => {}); // this device remembers it anyway
}

// In place of the question, before the first one; or, where `place` is null, in a dialog above it.
export function showGuideline(place, config, assignment, done) {
  const { version, html } = assignment.guideline;
  const text = html ? h("div", { class: "prose", dir: "auto", html }) : h("p", { class: "muted" }, "No guidelines were written for this project.");
  if (place) {
    const known = storage.read(seenKey(config)) ?? config.preferences.guidelines?.[config.project];
    const heading = h("h1", { tabindex: "-1" }, known ? "The guidelines have changed" : "Before you begin");
    const go = h("button", { type: "button", class: "primary", on: { click: done } }, "I have read this");
    place.replaceChildren(h("article", { class: "card stack guideline", "data-guideline": "" }, heading, h("p", { class: "muted" }, `Guidelines for ${config.title}, version ${version}`), text, go));
    heading.focus();
    announce(heading.textContent);
    return;
  }
  const close = h("button", { type: "button", class: "primary" }, "Close");
  const dialog = h("dialog", { "aria-labelledby": "guideline-title" }, h("div", { class: "card stack" }, h("h1", { id: "guideline-title" }, "Guidelines"), version ? h("p", { class: "muted" }, `Version ${version}`) : null, text, close));
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    dialog.remove();
    done();
  });
  document.body.append(dialog);
  dialog.showModal();
}
