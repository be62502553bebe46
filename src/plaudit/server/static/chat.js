// A chat as in a product: one response at a time. A thumb with tags and words; another response, and whether it is
// better; or both side by side.

import { checked, checks, fromTemplate, h, harmless, icon } from "/static/dom.js";
import { bubble } from "/static/items.js";
import { own, Talk } from "/static/talk.js";

export function mountChat(root, assignment, host) {
  root.append(fromTemplate("widget-chat"));
  const talk = new Talk(root, assignment, host);
  const { options } = assignment;
  const form = root.querySelector("[data-thumb-form]");
  const versus = root.querySelector("[data-versus]");
  const closing = root.querySelector("[data-closing]");
  const finish = root.querySelector("[data-finish]");
  const comment = closing.querySelector("textarea");
  const tags = form.querySelector("[data-tags]");
  const words = form.querySelector("textarea");
  let last = null; // {say, response, thumb?}: the latest response, which can be judged and asked for again
  let newer = null; // a second response to the same words, to be compared
  let phase = "writing"; // writing, waiting, thumb, versus, closing
  let asked = null; // what the model is answering just now
  let thumb = null;
  let watch = host.stopwatch();

  tags.append(...checks("tag", options.tags ?? []));
  comment.addEventListener("input", () => host.changed());

  function tools() {
    const button = (which) =>
      h("button", { type: "button", class: "quiet square", "aria-label": `Thumb ${which}`, "aria-pressed": String(last.thumb === which), disabled: Boolean(last.thumb), on: { click: () => openThumb(which) } }, icon(`thumb-${which}`));
    const again = h("button", { type: "button", class: "quiet", on: { click: regenerate } }, icon("again"), "Regenerate");
    const said = last.thumb ? h("span", { class: "muted small" }, "Thank you.") : null;
    return h("div", { class: "row judge" }, button("up"), button("down"), again, said);
  }

  function show(next, extra = []) {
    phase = next;
    talk.draw([...(last ? [own(last.say), bubble("assistant", last.response.html)] : []), ...(last && next === "writing" ? [tools()] : []), ...extra]);
    form.hidden = next !== "thumb";
    versus.hidden = next !== "versus";
    closing.hidden = next !== "closing";
    finish.hidden = next !== "writing" || !last;
    host.sendable(next === "closing");
    talk.compose(next === "writing");
    host.changed();
  }

  // The last response is settled when the person continues.
  function settle() {
    if (last) talk.take(last.say, last.response);
    last = null;
  }

  async function stream(say, heading) {
    const place = h("div", { class: "prose", dir: "auto" });
    const box = h("div", { class: "turn assistant" }, h("p", { class: "who" }, heading), place);
    show("waiting", [...(last ? [] : [own(say)]), box]);
    box.scrollIntoView({ block: "nearest" });
    return talk.ask(say, [place]);
  }

  talk.onSay = async (say, again = false) => {
    if (last && again) return regenerate();
    if (!again) talk.field.value = "";
    settle();
    asked = say;
    const found = await stream(say, "Model");
    if (!found || talk.gone) return;
    asked = null;
    last = { say, response: found.responses[0] };
    watch = host.stopwatch();
    show("writing");
  };

  talk.onChange = (say) => {
    talk.fault.replaceChildren();
    asked = null;
    if (!last) talk.field.value = say;
    show("writing");
  };

  function openThumb(which) {
    if (phase !== "writing" || !last || last.thumb) return;
    thumb = which;
    words.value = "";
    tags.querySelectorAll("input").forEach((input) => (input.checked = false));
    tags.hidden = which !== "down" || !options.tags?.length;
    form.querySelector("[data-title]").textContent = which === "up" ? "What is good about it?" : "What is wrong with it?";
    show("thumb");
    (tags.hidden ? words : tags.querySelector("input")).focus();
  }

  function sendThumb() {
    talk.record("thumb", last.say, [last.response], { thumb, tags: thumb === "down" ? checked(form, "tag") : [], text: words.value }, watch.elapsed());
    last.thumb = thumb;
    show("writing");
  }

  async function regenerate() {
    if (!last || talk.busy) return;
    talk.fault.replaceChildren();
    const found = await stream(last.say, "Another response");
    if (!found || talk.gone) return;
    newer = found.responses[0];
    if (newer.text === last.response.text) {
      newer = null;
      talk.fault.replaceChildren(h("p", { class: "notice", role: "status" }, "The model said the same again."));
      return show("writing");
    }
    compare();
  }

  function compare() {
    watch = host.stopwatch();
    talk.draw([own(last.say)]);
    phase = "versus";
    versus.hidden = false;
    talk.compose(false);
    finish.hidden = true;
    const beside = Boolean(options.side_by_side);
    versus.querySelector("[data-old]").replaceChildren(harmless(last.response.html));
    versus.querySelector("[data-new]").replaceChildren(harmless(newer.html));
    versus.querySelector("[data-regeneration]").hidden = beside;
    versus.querySelector("[data-side-by-side]").hidden = !beside;
    versus.querySelector(beside ? "[data-side-by-side] button" : "[data-regeneration] button").focus();
    host.changed();
  }

  function decide(choice) {
    if (phase !== "versus") return;
    const what = options.side_by_side ? "side-by-side" : "regenerate";
    talk.record(what, last.say, [last.response, newer], { choice }, watch.elapsed());
    if (!["worse", "original"].includes(choice)) last = { say: last.say, response: newer };
    newer = null;
    watch = host.stopwatch();
    show("writing");
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    sendThumb();
  });
  form.querySelector("[data-cancel]").addEventListener("click", () => show("writing"));
  versus.querySelectorAll("[data-choice]").forEach((button) => button.addEventListener("click", () => decide(button.dataset.choice)));
  finish.addEventListener("click", () => {
    settle();
    show("closing");
    comment.focus();
  });
  closing.querySelector("[data-more]").addEventListener("click", () => show("writing"));
  const BESIDE = { left: "original", right: "new", tie: "neither", unsure: "skip" };
  const PLAIN = { 1: "better", 2: "worse", 3: "same" };
  const choices = Object.entries(options.side_by_side ? BESIDE : PLAIN).map(([key, choice]) => [key, () => decide(choice)]);
  show("writing");

  return {
    ready: Promise.resolve(),
    actions: {
      ...Object.fromEntries(choices),
      up: () => openThumb("up"),
      down: () => openThumb("down"),
      send: () => (phase === "thumb" ? sendThumb() : phase === "closing" ? host.send() : null),
    },
    value: () => (phase === "closing" ? { judgements: talk.judgements, comment: comment.value } : { missing: "End the chat first.", at: "textarea" }),
    state: () => ({ ...talk.state(), last, newer, asked, phase, comment: comment.value }),
    restore(state) {
      talk.restore(state);
      last = state.last ?? null;
      newer = state.newer ?? null;
      comment.value = state.comment ?? "";
      if (state.asked && !talk.field.value) talk.field.value = state.asked; // the model was writing: ask again
      if (newer) compare();
      else show(state.phase === "closing" ? "closing" : "writing");
    },
    fill: () => {},
    destroy() {
      talk.gone = true;
      talk.destroy();
    },
  };
}
