// The player: film strips on canvases that move in lockstep, from one clock. A strip is one picture with all frames of a
// clip; it is loaded whole, so that nothing stutters and both sides always show the same moment.

import { h, icon, setIcon, storage } from "/static/dom.js";

const SPEEDS = [0.5, 1, 2];
const REST = 0.6; // seconds that the last frame stays before the clip begins anew
const SPEED = "plaudit.speed";

const strips = new Map(); // src -> promise of the decoded picture; a few, for the questions that come next
const MOST = 24;

// The strip of a clip item; asked for again after a failure.
export function load(item) {
  if (!item.src) return Promise.reject(new Error(item.error ?? "This clip has no picture."));
  if (!strips.has(item.src)) {
    const picture = new Image();
    picture.src = item.src;
    const loading = picture.decode().then(
      () => picture,
      () => {
        strips.delete(item.src);
        throw new Error("This clip could not be loaded.");
      },
    );
    loading.catch(() => {}); // the code that shows the clip reports it
    strips.set(item.src, loading);
    while (strips.size > MOST) strips.delete(strips.keys().next().value);
  }
  return strips.get(item.src);
}

export class Player {
  // `items` are clip items in the order shown; `places` the elements that their canvases go into, one each.
  constructor(items, places, names) {
    this.items = items;
    this.places = places;
    this.seconds = Math.max(...items.map((item) => (item.frames || 1) / item.fps));
    this.count = Math.max(...items.map((item) => item.frames || 1));
    this.fps = items[0].fps;
    this.time = 0;
    this.speed = SPEEDS.includes(storage.read(SPEED)) ? storage.read(SPEED) : 1;
    this.playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.pictures = items.map(() => null);
    this.drawn = items.map(() => -1);
    this.listeners = new Set();
    this.canvases = items.map((item, place) => this.#canvas(item, names[place]));
    places.forEach((place, index) => place.append(h("div", { class: "screen" }, this.canvases[index])));
    this.controls = this.#controls();
    this.loaded = Promise.all(items.map((_, place) => this.#load(place)));
    this.actions = {
      play: () => this.toggle(),
      back: () => this.step(-1),
      forward: () => this.step(1),
      slower: () => this.#faster(-1),
      faster: () => this.#faster(1),
    };
  }

  get frame() {
    return Math.min(this.count - 1, Math.floor(this.time * this.fps + 1e-6));
  }

  #canvas(item, name) {
    const canvas = h("canvas", { role: "img", "aria-label": `${name}: a clip of ${item.frames} frames` });
    canvas.width = item.width || 16;
    canvas.height = item.height || 12;
    canvas.classList.toggle("fine", canvas.width > 160); // drawings of few cells stay crisp, photographs smooth
    return canvas;
  }

  // Resolves when the strip can be drawn. A failure is shown with a way to try again, and the promise waits for that.
  async #load(place) {
    const screen = this.canvases[place].parentElement;
    while (true) {
      screen.classList.add("loading");
      try {
        this.pictures[place] = await load(this.items[place]);
        screen.classList.remove("loading");
        this.drawn[place] = -1;
        return;
      } catch (error) {
        screen.classList.remove("loading");
        await this.#retry(screen, error.message);
      }
    }
  }

  #retry(screen, message) {
    return new Promise((resolve) => {
      const again = h("button", { type: "button" }, "Try again");
      const notice = h("div", { class: "broken", role: "alert" }, h("p", {}, message), again);
      const resolveOnce = () => {
        notice.remove();
        resolve();
      };
      again.addEventListener("click", resolveOnce, { once: true });
      screen.append(notice);
    });
  }

  #controls() {
    this.button = h("button", { type: "button", class: "quiet square", on: { click: () => this.toggle() } }, icon("pause"));
    const back = h("button", { type: "button", class: "quiet square", "aria-label": "One frame back", on: { click: () => this.step(-1) } }, icon("back"));
    const forward = h("button", { type: "button", class: "quiet square", "aria-label": "One frame on", on: { click: () => this.step(1) } }, icon("forward"));
    this.line = h("input", { type: "range", min: "0", max: String(this.count - 1), step: "1", value: "0", "aria-label": "Frame" });
    this.line.addEventListener("input", () => this.seek(Number(this.line.value)));
    this.counter = h("span", { class: "numbers muted small counter", "aria-hidden": "true" });
    this.speeds = SPEEDS.map((speed) =>
      h("button", { type: "button", class: "speed", "aria-pressed": "false", "aria-label": `Speed ${speed}`, on: { click: () => this.setSpeed(speed) } }, `${speed === 0.5 ? "½" : speed}×`),
    );
    return h("div", { class: "controls", role: "group", "aria-label": "Clips" }, back, this.button, forward, this.line, this.counter, h("span", { class: "speeds" }, ...this.speeds));
  }

  // Begin when everything is there; resolves when the first frames are on the screen.
  async start() {
    await this.loaded;
    this.#show();
    return new Promise((resolve) => {
      let last = null;
      const tick = (now) => {
        if (this.stopped) return;
        if (this.playing && last !== null) this.#advance(((now - last) / 1000) * this.speed);
        const first = last === null;
        last = now;
        this.#draw();
        if (first) resolve();
        this.request = requestAnimationFrame(tick);
      };
      this.request = requestAnimationFrame(tick);
    });
  }

  #advance(seconds) {
    this.time += Math.min(seconds, 0.5); // after a stall the clip continues, it does not jump
    if (this.time > this.seconds + REST) this.time = 0;
  }

  #draw() {
    const frame = this.frame;
    this.items.forEach((item, place) => {
      const picture = this.pictures[place];
      const shown = Math.min(frame, item.frames - 1);
      if (!picture || this.drawn[place] === shown) return;
      const x = (shown % item.columns) * item.width;
      const y = Math.floor(shown / item.columns) * item.height;
      this.canvases[place].getContext("2d").drawImage(picture, x, y, item.width, item.height, 0, 0, item.width, item.height);
      this.drawn[place] = shown;
    });
    if (this.told !== frame) { // compared with the frame, not with the slider: a person who drags the slider has moved it already
      this.told = frame;
      this.line.value = String(frame);
      this.line.setAttribute("aria-valuetext", `frame ${frame + 1} of ${this.count}`);
      this.counter.textContent = `${frame + 1}/${this.count}`;
      for (const listener of this.listeners) listener(frame);
    }
  }

  #show() {
    setIcon(this.button, this.playing ? "pause" : "play");
    this.button.setAttribute("aria-label", this.playing ? "Pause" : "Play");
    this.speeds.forEach((button, place) => button.setAttribute("aria-pressed", String(SPEEDS[place] === this.speed)));
  }

  toggle() {
    this.playing = !this.playing;
    if (this.playing && this.frame === this.count - 1) this.time = 0;
    this.#show();
  }

  pause() {
    this.playing = false;
    this.#show();
  }

  step(by) {
    this.seek((this.frame + by + this.count) % this.count);
  }

  seek(frame) {
    this.pause();
    this.time = frame / this.fps;
  }

  setSpeed(speed) {
    this.speed = speed;
    storage.write(SPEED, speed);
    this.#show();
  }

  #faster(by) {
    this.setSpeed(SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, SPEEDS.indexOf(this.speed) + by))]);
  }

  destroy() {
    this.stopped = true;
    cancelAnimationFrame(this.request);
  }
}
