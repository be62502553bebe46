// What a conversation and a chat share: the talk so far, the field to write in, responses as they stream in.

import { events, Fault } from "/static/api.js";
import { announce, h, harmless } from "/static/dom.js";
import { bubble } from "/static/items.js";

// A person's own words: plain text, as typed.
export function own(text) {
  return h("div", { class: "turn user" }, h("p", { class: "who" }, "You"), h("div", { class: "plain", dir: "auto" }, text));
}

export class Talk {
  // `assignment` begins it; `host` submits, keeps drafts and records what is said on the way.
  constructor(root, assignment, host) {
    this.root = root;
    this.assignment = assignment;
    this.host = host;
    this.log = root.querySelector("[data-log]");
    this.composer = root.querySelector("[data-composer]");
    this.field = this.composer.querySelector("textarea");
    this.fault = root.querySelector("[data-fault]");
    this.turns = []; // {role, content, html?}
    this.proof = "";
    this.judgements = [];
    this.aborter = null;
    this.opening = assignment.items[0].prompt;
    this.field.value = assignment.items[0].suggestion ?? "";
    this.field.addEventListener("input", () => host.changed());
    this.field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.composer.requestSubmit();
    });
    this.composer.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.field.value.trim();
      if (!text || this.busy) return;
      this.onSay?.(text);
    });
  }

  get busy() {
    return this.aborter !== null;
  }

  draw(extra = []) {
    this.log.replaceChildren(
      ...this.opening.map((turn) => bubble(turn.role, turn.html)),
      ...this.turns.map((turn) => (turn.role === "user" ? own(turn.content) : bubble("assistant", turn.html))),
      ...extra,
    );
  }

  compose(shown) {
    this.composer.hidden = !shown;
    if (shown) this.field.focus({ preventScroll: false });
  }

  // Ask for `places.length` responses to `say`; each streams into its place. Resolves with them, or with null when it
  // failed: then the fault is shown, with a way to try again and one to change what was said.
  async ask(say, places) {
    this.fault.replaceChildren();
    this.aborter = new AbortController();
    const found = places.map(() => null);
    let fault = null;
    let same = false;
    places.forEach((place) => {
      place.replaceChildren();
      place.classList.add("plain", "streaming");
      place.setAttribute("aria-busy", "true");
    });
    const body = { question: this.assignment.question, lease: this.assignment.lease, turns: this.turns.map(({ role, content }) => ({ role, content })), proof: this.proof, say, samples: places.length };
    announce("The model is writing.");
    try {
      await events("/api/live/turn", body, (name, data) => {
        const place = places[data.side ?? 0];
        if (name === "piece") place.append(data.text);
        else if (name === "response") {
          found[data.side] = { text: data.text, html: data.html, proof: data.proof };
          place.replaceChildren(harmless(data.html));
          place.classList.remove("plain", "streaming");
        } else if (name === "fault") fault ??= data.detail;
        else if (name === "same") same = true;
      }, this.aborter.signal);
    } catch (error) {
      if (this.aborter?.signal.aborted) return null;
      if (!(error instanceof Fault)) throw error;
      fault = error.message;
    } finally {
      places.forEach((place) => {
        place.classList.remove("streaming");
        place.removeAttribute("aria-busy");
      });
      this.aborter = null;
    }
    if (fault === null) {
      announce(places.length > 1 ? "Both responses are there." : "The response is there.");
      return { responses: found, same };
    }
    this.trouble(fault, say);
    return null;
  }

  trouble(message, say) {
    const again = h("button", { type: "button", class: "primary", on: { click: () => this.onSay(say, true) } }, "Try again");
    const change = h("button", { type: "button", on: { click: () => this.onChange(say) } }, "Change what I said");
    this.fault.replaceChildren(h("div", { class: "notice bad", role: "alert" }, h("p", {}, sentence(message)), h("div", { class: "row" }, again, change)));
    again.focus();
  }

  // One judgement on what was just said, through the outbox.
  record(what, say, responses, value, elapsed) {
    const proven = responses.map(({ text, proof }) => ({ text, proof }));
    const turns = this.turns.map(({ role, content }) => ({ role, content }));
    const id = this.host.record(`/api/live/${what}`, { question: this.assignment.question, lease: this.assignment.lease, turns, say, responses: proven, value, elapsed });
    this.judgements.push(id);
  }

  take(say, response) {
    this.turns.push({ role: "user", content: say }, { role: "assistant", content: response.text, html: response.html });
    this.proof = response.proof;
  }

  state() {
    return { turns: this.turns, proof: this.proof, judgements: this.judgements, typed: this.field.value };
  }

  restore(state) {
    this.turns = state.turns ?? [];
    this.proof = state.proof ?? "";
    this.judgements = state.judgements ?? [];
    this.field.value = state.typed ?? "";
  }

  destroy() {
    this.aborter?.abort();
  }
}

export function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
