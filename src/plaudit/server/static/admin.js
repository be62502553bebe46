// The admin pages' forms: each names a call of the API, and its fields are the body.
//
//   data-method, data-path   the call; `group.name` is nested
//   data-done                what to say when it worked; the page is loaded again first
//   data-show                the field of the answer to show, with a button that copies it
//   data-go                  where to go then; {name} is that field of the answer
//   data-auto                send whenever a field has changed
//   data-confirm             what to ask first
// A field with data-number, data-percent or data-json is sent as that, and as null (or, with data-optional, not at all)
// where it is empty. A fieldset with data-list is the list of what is checked in it.

import { call } from "./api.js";
import { h } from "./dom.js";

const TOLD = "plaudit.told";
const told = document.getElementById("told");

function tell(kind, ...what) {
  told.className = `notice ${kind}`;
  told.hidden = false;
  told.replaceChildren(...what);
}

// Loading again keeps the page true; what there was to say is said afterwards.
function again(message) {
  try {
    sessionStorage.setItem(TOLD, message);
  } catch {
    // storage is forbidden here: the page alone has to show it
  }
  location.reload();
}

// `group.name` is nested; a name is whatever an admin has called a question, so nothing is inherited here.
function put(body, name, value) {
  const [, group, last] = /^(\w+)\.(.+)$/s.exec(name) ?? [null, null, name];
  const place = group === null ? body : (body[group] ??= Object.create(null));
  place[last] = value;
}

class Wrong extends Error {}

function read(field) {
  const text = field.value;
  const { number, percent, json } = field.dataset;
  if (number !== undefined) return text === "" ? null : Number(text);
  if (percent !== undefined) return text === "" ? null : Number(text) / 100;
  if (json !== undefined) {
    try {
      return text.trim() === "" ? {} : JSON.parse(text);
    } catch (error) {
      throw new Wrong(`${field.labels?.[0]?.textContent ?? field.name}: ${error.message}`);
    }
  }
  return field.dataset.optional !== undefined && text === "" ? null : text;
}

const SHAPES = {
  // One JSON object a line.
  questions(form) {
    const questions = [];
    for (const [index, line] of form.elements.lines.value.split("\n").entries()) {
      if (line.trim() === "") continue;
      try {
        questions.push(JSON.parse(line));
      } catch (error) {
        throw new Wrong(`Line ${index + 1} is not JSON: ${error.message}`);
      }
    }
    return { questions, judgements_wanted: read(form.elements.judgements_wanted) };
  },

  survey(form) {
    const survey = [];
    for (const row of form.querySelectorAll("li.question")) {
      const of = (name) => row.querySelector(`[data-field="${name}"]`).value.trim();
      if (of("label") === "") continue;
      const question = { name: of("name") || unused(slug(of("label")), survey), label: of("label"), type: of("type") };
      if (question.type === "choice") question.choices = of("choices").split(",").map((each) => each.trim()).filter(Boolean);
      survey.push(question);
    }
    return { survey };
  },
};

function unused(name, survey) {
  let free = name;
  for (let count = 2; survey.some((each) => each.name === free); count += 1) free = `${name}-${count}`;
  return free;
}

function slug(text) {
  const plain = text.normalize("NFKD").replace(/[^\p{ASCII}]/gu, "").toLowerCase();
  return plain.replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 60) || "question";
}

function bodyOf(form) {
  if (form.dataset.shape) return SHAPES[form.dataset.shape](form);
  const body = Object.create(null);
  for (const field of form.elements) {
    if (!field.name || field.disabled) continue;
    const value = read(field);
    if (value === null && field.dataset.optional !== undefined && !field.name.includes(".")) continue;
    put(body, field.name, value);
  }
  for (const list of form.querySelectorAll("fieldset[data-list]")) {
    put(body, list.dataset.list, [...list.querySelectorAll("input:checked")].map((each) => each.value));
  }
  return body;
}

function show(text) {
  const copy = h("button", { type: "button" }, "Copy");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code); // no clipboard on plain http: it can be copied by hand
    }
  });
  const code = h("code", {}, text);
  tell("good", "Copy it now; it is shown only once.", h("div", { class: "row" }, code, copy));
  told.tabIndex = -1;
  told.focus();
}

async function submit(form) {
  const { method, path, done, confirm: question, go, show: field } = form.dataset;
  if (question && !window.confirm(question)) return;
  const buttons = [...form.querySelectorAll("button")].filter((each) => !each.disabled);
  try {
    const body = method === "DELETE" ? undefined : bodyOf(form);
    for (const each of buttons) each.disabled = true;
    const answer = await call(method, path, body, { timeout: 120000 });
    if (field) show(answer[field]);
    else if (go) location.assign(go.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(answer?.[name] ?? "")));
    else if (form.dataset.shape === "questions") {
      form.elements.lines.value = "";
      const before = answer.ids.length - answer.new;
      tell("good", `${answer.new} asked.${before ? ` ${before} had been asked before.` : ""}`);
    } else again(done ?? "Done.");
  } catch (error) {
    if (error.next) location.assign(error.next);
    tell("bad", error.message);
    told.scrollIntoView({ block: "nearest" });
  } finally {
    for (const each of buttons) each.disabled = false;
  }
}

for (const form of document.querySelectorAll("form[data-method]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(form);
  });
  if (form.dataset.auto !== undefined) form.addEventListener("change", () => form.reportValidity() && submit(form));
}

// On a narrow screen a table's rows become blocks, whose lines need their columns' names. Laid out so it would be no
// table any more to those who listen; the roles keep it one.
const ROLES = { TABLE: "table", THEAD: "rowgroup", TBODY: "rowgroup", TFOOT: "rowgroup", TR: "row", TD: "cell" };
for (const table of document.querySelectorAll(".scroll > table")) {
  const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
  for (const each of [table, ...table.querySelectorAll("thead, tbody, tfoot, tr, td")]) each.setAttribute("role", ROLES[each.tagName]);
  for (const each of table.querySelectorAll("th")) each.setAttribute("role", each.closest("thead") ? "columnheader" : "rowheader");
  for (const row of table.querySelectorAll("tbody tr, tfoot tr")) [...row.cells].forEach((cell, place) => (cell.dataset.label = names[place] ?? ""));
  table.classList.add("labelled");
}

// A file's lines go into a field.
for (const file of document.querySelectorAll("input[data-into]")) {
  file.addEventListener("change", async () => {
    if (file.files[0]) document.getElementById(file.dataset.into).value = await file.files[0].text();
  });
}

// The name follows the title until the admin changes it.
for (const title of document.querySelectorAll("input[data-names]")) {
  const name = document.getElementById(title.dataset.names);
  let own = false;
  name.addEventListener("input", () => (own = name.value !== ""));
  title.addEventListener("input", () => {
    if (!own) name.value = title.value === "" ? "" : slug(title.value);
  });
}

for (const kind of document.querySelectorAll("select[data-wording]")) {
  const wording = document.getElementById(kind.dataset.wording);
  kind.addEventListener("change", () => (wording.placeholder = kind.selectedOptions[0].dataset.wording));
}

// Rows of the survey

const questions = document.getElementById("questions");
let rows = questions?.children.length ?? 0;

function addRow() {
  const row = document.getElementById("blank").content.firstElementChild.cloneNode(true);
  rows += 1;
  for (const each of row.querySelectorAll("[id], [for]")) {
    for (const name of ["id", "for"]) if (each.hasAttribute(name)) each.setAttribute(name, each.getAttribute(name).replace(/\d+$/, rows));
  }
  questions.append(row);
  return row;
}

if (questions) {
  document.getElementById("add").addEventListener("click", () => addRow().querySelector("input:not([type])").focus());
  questions.addEventListener("click", (event) => event.target.closest("[data-remove]")?.closest("li").remove());
  if (rows === 0) addRow();
}

try {
  const message = sessionStorage.getItem(TOLD);
  if (message) {
    sessionStorage.removeItem(TOLD);
    tell("good", message);
  }
} catch {
  // nothing was kept
}
