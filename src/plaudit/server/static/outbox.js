// Judgements on their way: kept on this device until the server has acknowledged them, sent one after the other, again
// and again under the same id. Closing the laptop loses nothing: the next page that opens sends what is left.

import { call, Fault } from "/static/api.js";
import { storage, uuid } from "/static/dom.js";

const LONGEST = 30000;
const ORPHAN = 60000; // ms after which another page's entry is taken for left behind

export class Outbox extends EventTarget {
  // `prepare(entry)` may add to a body what is only known when it is sent.
  constructor(person, prepare = (entry) => entry.body) {
    super();
    this.key = `plaudit.outbox.${person}`;
    this.lost = `plaudit.refused.${person}`;
    this.page = uuid();
    this.prepare = prepare;
    this.entries = []; // of this page, in order; the device holds a copy
    this.wait = 0;
    this.busy = false;
    this.state = "saved";
    this.kept = true;
    addEventListener("online", () => this.#soon(0));
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.#soon(0));
    this.#adopt();
  }

  get size() {
    return this.entries.length;
  }

  has(id) {
    return this.entries.some((entry) => entry.id === id);
  }

  add(entry) {
    this.entries.push({ ...entry, page: this.page, at: Date.now() });
    this.#store();
    this.#show(this.state === "saved" ? "saving" : this.state);
    this.#soon(0);
  }

  // Take back what was not sent yet; false where it is on its way or there already.
  cancel(id) {
    const place = this.entries.findIndex((entry) => entry.id === id);
    if (place < 0 || (place === 0 && this.busy)) return false;
    if (this.entries[place].tried) return false; // it may have arrived although no answer came
    this.entries.splice(place, 1);
    this.#store();
    if (!this.entries.length) this.#show("saved");
    return true;
  }

  #adopt() {
    const all = storage.read(this.key) ?? [];
    const left = all.filter((entry) => Date.now() - entry.at > ORPHAN || !entry.page);
    const own = left.map((entry) => ({ ...entry, page: this.page, at: Date.now(), late: true, tried: true }));
    this.entries.push(...own);
    if (own.length) {
      storage.write(this.key, [...all.filter((entry) => !left.includes(entry)), ...own]);
      this.#show("saving");
      this.#soon(0);
    } else if (all.length) {
      setTimeout(() => this.#adopt(), ORPHAN); // by then they are sent, or their page is closed
    }
  }

  #store() {
    const others = (storage.read(this.key) ?? []).filter((entry) => entry.page !== this.page);
    const all = [...others, ...this.entries];
    this.kept = storage.write(this.key, all.length ? all : null);
  }

  #soon(delay) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#pump(), delay);
  }

  async #pump() {
    if (this.busy || !this.entries.length) return;
    this.busy = true;
    const entry = this.entries[0];
    try {
      const body = entry.late ? entry.body : this.prepare(entry);
      entry.tried = true;
      const reply = await call(entry.method ?? "POST", entry.path, body);
      this.#done(entry);
      this.wait = 0;
      this.dispatchEvent(new CustomEvent("sent", { detail: { entry, reply } }));
      this.#show(this.entries.length ? "saving" : "saved");
      this.#soon(0);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      if (error.passing || error.next) {
        this.wait = Math.min(LONGEST, Math.max(1000, this.wait * 2));
        this.#show(error.status === 401 || error.next ? "signed-out" : error.status ? "busy" : "offline", error.message);
        this.#soon(this.wait * (0.75 + Math.random() / 2));
      } else {
        this.#done(entry);
        const refused = [...(storage.read(this.lost) ?? []), { ...entry, detail: error.message }].slice(-50);
        storage.write(this.lost, refused); // the annotator's words are kept, even if the server refuses them
        this.dispatchEvent(new CustomEvent("refused", { detail: { entry, fault: error } }));
        this.#show(this.entries.length ? "saving" : "saved");
        this.#soon(0);
      }
    } finally {
      this.busy = false;
    }
  }

  #done(entry) {
    this.entries = this.entries.filter((each) => each !== entry);
    this.#store();
  }

  #show(state, detail = "") {
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, waiting: this.entries.length, reason: detail, kept: this.kept } }));
  }
}
