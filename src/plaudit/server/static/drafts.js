// What is typed, kept on this device at once and on the server a second later: a crash, a closed tab or another device
// finds it again.

import { put } from "/static/api.js";
import { storage } from "/static/dom.js";

const PAUSE = 1000;

export class Drafts {
  constructor(person) {
    this.person = person;
    this.waiting = new Map(); // question -> {timer, body}
    addEventListener("pagehide", () => this.flush());
  }

  #key(question) {
    return `plaudit.draft.${this.person}.${question}`;
  }

  keep(question, body) {
    storage.write(this.#key(question), body);
    clearTimeout(this.waiting.get(question)?.timer);
    this.waiting.set(question, { body, timer: setTimeout(() => this.#send(question), PAUSE) });
  }

  // This device's draft, or else the one that the server had.
  of(assignment) {
    const drafts = [storage.read(this.#key(assignment.question)), assignment.draft];
    return drafts.find((each) => each && typeof each === "object" && !Array.isArray(each)) ?? null;
  }

  forget(question) {
    storage.write(this.#key(question), null);
    clearTimeout(this.waiting.get(question)?.timer);
    this.waiting.delete(question);
  }

  flush() {
    for (const question of [...this.waiting.keys()]) this.#send(question, true);
  }

  #send(question, leaving = false) {
    const entry = this.waiting.get(question);
    if (!entry) return;
    clearTimeout(entry.timer);
    this.waiting.delete(question);
    // A draft that does not arrive stands on this device still, and the next key sends it again.
    put("/api/work/draft", { question, body: entry.body }, { keepalive: leaving }).catch(() => {});
  }
}
