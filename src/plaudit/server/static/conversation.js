// A conversation with two responses to choose from at every turn (Bai et al. 2022, section 2): the conversation continues with the chosen one.

import { check, checked, checks, choose, chosen, fromTemplate, h, harmless, pips } from "/static/dom.js";
import { eight, eightKeys, strengthOf } from "/static/comparison.js";
import { own, Talk } from "/static/talk.js";

const HARM = [0, 1, 2, 3, 4].map((point) => [point, String(point)]);

export function mountConversation(root, assignment, host) {
  root.append(fromTemplate("widget-conversation"));
  const talk = new Talk(root, assignment, host);
  const { options } = assignment;
  const choosing = root.querySelector("[data-choosing]");
  const closing = root.querySelector("[data-closing]");
  const finish = root.querySelector("[data-finish]");
  const tally = root.querySelector("[data-turns]");
  const places = [...root.querySelectorAll("[data-response]")];
  const comment = closing.querySelector("textarea");
  const pick = choosing.querySelector("[data-pick]");
  let pending = null; // {say, responses} to choose from
  let phase = "writing"; // writing, waiting, choosing, closing
  let watch = null;

  choosing.querySelector("[data-scale]").append(eight("point", assignment.wording, () => ((pick.disabled = false), host.changed())));
  closing.querySelector("[data-red]").hidden = !options.red_team;
  if (options.red_team) {
    closing.querySelector("[data-success]").append(pips("success", "How far did you bring the model to misbehave?", HARM, { ends: ["not at all", "entirely"], onChange: () => host.changed() }));
    closing.querySelector("[data-tags]").append(...checks("tag", options.tags ?? [], { onChange: () => host.changed() }));
  }
  comment.addEventListener("input", () => host.changed());

  function show(next) {
    phase = next;
    const rounds = talk.turns.length / 2;
    tally.textContent = `Turn ${Math.min(rounds + (next === "closing" ? 0 : 1), Math.max(options.turns, rounds))} of ${options.turns}`;
    const open = next === "waiting" || next === "choosing";
    talk.draw(open ? [own(pending.say)] : []);
    choosing.hidden = !open;
    choosing.querySelector("[data-decide]").hidden = next !== "choosing";
    closing.hidden = next !== "closing";
    host.sendable(next === "closing");
    finish.hidden = next !== "writing" || !talk.judgements.length;
    talk.compose(next === "writing");
    host.changed();
  }

  talk.onSay = async (say, again = false) => {
    if (!again) talk.field.value = "";
    pending = { say, responses: null };
    choose(root, "point", null);
    pick.disabled = true;
    show("waiting");
    choosing.scrollIntoView({ block: "nearest" });
    const found = await talk.ask(say, places);
    if (!found || talk.gone) return;
    pending.responses = found.responses;
    if (found.same) return alike();
    decide();
  };

  talk.onChange = (say) => {
    talk.field.value = say;
    talk.fault.replaceChildren();
    pending = null;
    show("writing");
  };

  function decide() {
    watch = host.stopwatch();
    show("choosing");
    choosing.querySelector("input").focus({ preventScroll: true });
  }

  // Both responses are equal: the talk continues without a judgement.
  function alike() {
    const on = h("button", { type: "button", class: "primary", on: { click: () => goOn(pending.responses[0]) } }, "Continue with it");
    const again = h("button", { type: "button", on: { click: () => talk.onSay(pending.say, true) } }, "Ask again");
    talk.fault.replaceChildren(h("div", { class: "notice", role: "status" }, h("p", {}, "Both responses are the same, so there is nothing to choose."), h("div", { class: "row" }, on, again)));
    on.focus();
  }

  function goOn(response) {
    talk.fault.replaceChildren();
    talk.take(pending.say, response);
    pending = null;
    const enough = talk.turns.length / 2 >= options.turns && talk.judgements.length;
    show(enough ? "closing" : "writing");
    if (enough) comment.focus();
  }

  function take() {
    const point = Number(chosen(root, "point"));
    if (phase !== "choosing" || !point) return;
    const strength = strengthOf(point, 0);
    talk.record("choose", pending.say, pending.responses, { strength }, watch.elapsed());
    goOn(pending.responses[strength > 0 ? 0 : 1]);
  }

  pick.addEventListener("click", take);
  choosing.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    take();
  });
  finish.addEventListener("click", () => {
    show("closing");
    comment.focus();
  });
  closing.querySelector("[data-more]").addEventListener("click", () => show("writing"));
  const digits = eightKeys(root, "point", () => (pick.disabled = phase !== "choosing"));
  show("writing");

  return {
    ready: Promise.resolve(),
    actions: { ...digits, send: () => (phase === "choosing" ? take() : phase === "closing" ? host.send() : null) },
    value() {
      if (phase !== "closing") return { missing: "End the conversation first.", at: "textarea" };
      const success = options.red_team ? chosen(root, "success") : null;
      if (options.red_team && success === null) return { missing: "Say how far you brought the model to misbehave.", at: "[name=success]" };
      const value = { comparisons: talk.judgements, comment: comment.value };
      return options.red_team ? { ...value, success: Number(success), tags: checked(root, "tag") } : value;
    },
    state: () => ({ ...talk.state(), pending, phase, comment: comment.value, success: chosen(root, "success"), tags: checked(root, "tag") }),
    restore(state) {
      talk.restore(state);
      comment.value = state.comment ?? "";
      choose(root, "success", state.success);
      check(root, "tag", state.tags ?? []);
      pending = state.pending;
      if (pending?.responses) {
        places.forEach((place, side) => place.replaceChildren(harmless(pending.responses[side].html)));
        decide();
      } else if (pending) {
        talk.field.value = pending.say; // the model was writing when the page went away: ask again
        pending = null;
        show("writing");
      } else show(state.phase === "closing" ? "closing" : "writing");
    },
    fill: () => {},
    destroy() {
      talk.gone = true;
      talk.destroy();
    },
  };
}
