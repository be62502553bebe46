// Questions are reserved for a while. While the annotator is active, they are renewed at a third of that time; after ten
// minutes without a key or a touch, others get them.

import { Fault, post } from "/static/api.js";
import { storage, uuid } from "/static/dom.js";

const AWAY = 600000;
const BEAT = 5000;

export class Leases {
  // `all()` are the assignments on the page; `lost(assignment)` is told of one that could not be renewed.
  constructor(person, all, lost) {
    this.key = `plaudit.held.${person}`; // {page: {at, leases}}: what a page that crashes leaves behind
    this.page = uuid();
    this.all = all;
    this.lost = lost;
    this.put = new Set();
    this.told = new Set(); // questions whose end was told of
    this.touched = performance.now();
    for (const event of ["pointerdown", "pointermove", "keydown", "wheel", "touchstart"]) {
      addEventListener(event, () => (this.touched = performance.now()), { passive: true, capture: true });
    }
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.#due(true));
    setInterval(() => {
      this.#due(false);
      this.#note();
    }, BEAT);
    addEventListener("pagehide", () => this.#note([]));
  }

  #note(leases = this.all().map((each) => each.lease)) {
    const { [this.page]: _, ...others } = storage.read(this.key) ?? {};
    const all = leases.length ? { ...others, [this.page]: { at: Date.now(), leases } } : others;
    storage.write(this.key, Object.keys(all).length ? all : null);
  }

  // Give back what pages held that are gone without a word, so that it need not lapse first.
  async recover() {
    const found = Object.entries(storage.read(this.key) ?? {});
    const gone = found.filter(([, { at }]) => Date.now() - at > 3 * BEAT);
    if (!gone.length) return;
    const left = Object.fromEntries(found.filter((each) => !gone.includes(each)));
    storage.write(this.key, Object.keys(left).length ? left : null);
    const leases = gone.flatMap(([, entry]) => entry.leases).slice(0, 20);
    await post("/api/work/release", { leases }).catch(() => {}); // else they lapse by themselves
  }

  // It has just come. Its end is reckoned by this page's monotonic clock: clocks on the wall differ.
  taken(assignment) {
    assignment.end = performance.now() / 1000 + assignment.lease_seconds;
    this.told.delete(assignment.question);
    queueMicrotask(() => this.#note());
  }

  // Renewed no more.
  let(assignment) {
    this.put.add(assignment.lease);
  }

  #due(now) {
    const here = performance.now() - this.touched < AWAY;
    const due = this.all().filter((each) => each.lease && !this.put.has(each.lease) && (now || left(each) < (each.lease_seconds * 2) / 3));
    if (!due.length) return;
    if (here) this.renew(due);
    else due.filter((each) => left(each) < 0).forEach((each) => this.#lose(each));
  }

  #lose(assignment) {
    if (this.told.has(assignment.question)) return;
    this.told.add(assignment.question);
    this.lost(assignment);
  }

  async renew(due) {
    if (this.busy) return;
    this.busy = true;
    try {
      const told = await post("/api/work/renew", { leases: due.map((each) => each.lease) });
      for (const each of told) {
        const assignment = due.find((one) => one.lease === each.lease);
        if (!assignment) continue;
        if (each.renewed) {
          assignment.lease = each.renewed;
          this.taken(assignment);
        } else this.#lose(assignment);
      }
    } catch (error) {
      if (!(error instanceof Fault)) throw error; // offline: tried again in a moment
    } finally {
      this.busy = false;
    }
  }

  // An undone question is reserved anew.
  replace(question, fresh, on) {
    const assignment = on.find((each) => each?.question === question);
    if (!assignment) return;
    assignment.lease = fresh.lease;
    this.taken(assignment);
  }
}

// Seconds until the lease ends.
const left = (assignment) => assignment.end - performance.now() / 1000;
