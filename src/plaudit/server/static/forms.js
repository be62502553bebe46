// Kinds that are a form: words to write, a thumb with tags, scales to rate on.

import { announce, check, checked, checks, choose, chosen, fromTemplate, h, pips } from "/static/dom.js";
import { diff } from "/static/diff.js";
import { showItems } from "/static/items.js";

function begun(root, assignment, template) {
  root.append(fromTemplate(template));
  return showItems(root.querySelector("[data-items]"), assignment.items);
}

// One text to write.
function written(template, missing) {
  return (root, assignment, host) => {
    const shown = begun(root, assignment, template);
    const field = root.querySelector("textarea");
    field.addEventListener("input", () => host.changed());
    return {
      ready: shown.ready,
      actions: shown.actions,
      value: () => (field.value.trim() ? { text: field.value } : { missing, at: "textarea" }),
      state: () => ({ text: field.value }),
      restore: (state) => (field.value = state.text),
      fill: (value) => (field.value = value.text),
      destroy: shown.destroy,
    };
  };
}

export const mountDemonstration = written("widget-demonstration", "Write the response first.");
export const mountCritique = written("widget-critique", "Write the critique first.");

export function mountCorrection(root, assignment, host) {
  const shown = begun(root, assignment, "widget-correction");
  const field = root.querySelector("textarea");
  const marked = root.querySelector("[data-diff]");
  const original = assignment.items[0].response?.text ?? "";
  const seen = original.replace(/\r\n?/g, "\n"); // as a text field has it
  let timer = 0;

  function compare() {
    marked.replaceChildren(...diff(seen, field.value).map(({ op, text }) => (op === "same" ? text : h(op === "in" ? "ins" : "del", {}, text))));
    root.querySelector("[data-unchanged]").hidden = field.value !== seen;
    marked.hidden = field.value === seen;
  }

  function write(text) {
    field.value = text;
    compare();
  }

  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(compare, 120);
    host.changed();
  });
  root.querySelector("[data-reset]").addEventListener("click", () => {
    write(original);
    host.changed();
    announce("The original text is back.");
  });
  write(original);
  return {
    ready: shown.ready,
    actions: shown.actions,
    value() {
      if (!field.value.trim()) return { missing: "The corrected response is empty.", at: "textarea" };
      return { text: field.value === seen ? original : field.value };
    },
    state: () => ({ text: field.value }),
    restore: (state) => write(state.text),
    fill: (value) => write(value.text),
    destroy: shown.destroy,
  };
}

export function mountThumbs(root, assignment, host) {
  const shown = begun(root, assignment, "widget-thumbs");
  const buttons = [...root.querySelectorAll("[data-thumb]")];
  const more = root.querySelector("[data-more]");
  const tags = root.querySelector("[data-tags]");
  const field = root.querySelector("textarea");
  let thumb = null;
  tags.append(...checks("tag", assignment.options.tags ?? [], { onChange: () => host.changed() }));
  field.addEventListener("input", () => host.changed());

  function set(which) {
    thumb = which;
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.thumb === which)));
    more.hidden = which === null;
    tags.hidden = which !== "down" || !assignment.options.tags?.length;
    if (which !== "down") check(root, "tag", []);
  }

  function press(which) {
    set(which);
    announce(`Thumb ${which}`);
    host.changed();
  }

  buttons.forEach((button) => button.addEventListener("click", () => press(button.dataset.thumb)));
  const restore = (state) => {
    set(state.thumb);
    check(root, "tag", state.tags ?? []);
    field.value = state.text ?? "";
  };
  set(null);
  return {
    ready: shown.ready,
    actions: { ...shown.actions, up: () => press("up"), down: () => press("down") },
    value: () => (thumb ? { thumb, tags: checked(root, "tag"), text: field.value } : { missing: "Choose a thumb, up or down.", at: "[data-thumb]" }),
    state: () => ({ thumb, tags: checked(root, "tag"), text: field.value }),
    restore,
    fill: restore,
    destroy: shown.destroy,
  };
}

export function mountRating(root, assignment, host) {
  const shown = begun(root, assignment, "widget-rating");
  const place = root.querySelector("[data-scales]");
  const names = Object.keys(assignment.options.scales);
  let current = 0;
  names.forEach((name, index) => {
    const [least, most] = assignment.options.scales[name];
    const points = Array.from({ length: most - least + 1 }, (_, step) => [least + step, String(least + step)]);
    const field = pips(`scale-${index}`, name, [...points, ["", "can't tell"]], { onChange: () => (pick(index), host.changed()) });
    field.addEventListener("focusin", () => pick(index));
    place.append(field);
  });
  const fields = [...place.children];

  function pick(index) {
    current = index;
    fields.forEach((field, each) => field.classList.toggle("current", each === index && names.length > 1));
  }

  const ratings = () => Object.fromEntries(names.map((name, index) => [name, [null, ""].includes(chosen(root, `scale-${index}`)) ? null : Number(chosen(root, `scale-${index}`))]));
  const touched = () => names.map((_, index) => chosen(root, `scale-${index}`) !== null);

  // A digit rates on the scale that is marked, and continues with the next.
  function digit(number) {
    const [least, most] = assignment.options.scales[names[current]];
    if (number < least || number > most) return;
    choose(root, `scale-${current}`, number);
    announce(`${names[current]}: ${number}`);
    host.changed();
    const next = touched().indexOf(false);
    if (next >= 0) pick(next);
  }

  const restore = (given) => names.forEach((name, index) => name in given && choose(root, `scale-${index}`, given[name] ?? ""));
  pick(0);
  return {
    ready: shown.ready,
    actions: { ...shown.actions, ...Object.fromEntries([...Array(10).keys()].map((number) => [String(number), () => digit(number)])) },
    value() {
      const missing = touched().indexOf(false);
      if (missing >= 0) return { missing: `Rate "${names[missing]}", or say that you can't tell.`, at: `[name=scale-${missing}]` };
      if (Object.values(ratings()).every((rating) => rating === null)) return { missing: "Rate at least one of the scales.", at: "[name=scale-0]" };
      return { ratings: ratings() };
    },
    state: () => ({ ratings: Object.fromEntries(Object.entries(ratings()).filter((_, index) => touched()[index])) }),
    restore: (state) => restore(state.ratings),
    fill: (value) => restore(value.ratings),
    destroy: shown.destroy,
  };
}
