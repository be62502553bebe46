// The page of `plaudit chat --browser`: one model answers, or two side by side. The server remembers nothing of it.

import { events, Fault } from "/static/api.js";
import { announce, choose, h, harmless, icon, pips, setup } from "/static/dom.js";
import { Keys, keySettings } from "/static/keys.js";
import { own, sentence } from "/static/talk.js";

const { models, is_scored: isScored } = setup();
const log = document.getElementById("log");
const welcome = document.getElementById("welcome");
const composer = document.getElementById("composer");
const field = document.getElementById("say");
const sendButton = document.getElementById("send");
const stopButton = document.getElementById("stop");
const temperature = document.getElementById("temperature");
const tokens = document.getElementById("tokens");
const system = document.getElementById("system");
const BOTH = "both";

let view = models.length > 1 ? BOTH : "0"; // who answers: the index of a model, or both
let turns = []; // {say, answers: {model: text}, element}
let failed = null; // an exchange without any answer, which is no turn of the conversation
let aborter = null; // while models write

const answering = () => (view === BOTH ? models.map((_, index) => index) : [Number(view)]);

// What a model has heard so far. Where it did not answer itself, it reads the other model's answer.
function history(model) {
  return turns.flatMap(({ say, answers }) => [
    { role: "user", content: say },
    { role: "assistant", content: answers[model] ?? Object.values(answers)[0] },
  ]);
}

// One answer on the page, as it comes.
class Answer {
  constructor(model, heading) {
    this.model = model;
    this.text = "";
    this.isWhole = false;
    this.body = h("div", { class: "prose plain streaming", dir: "auto", "aria-busy": "true" });
    this.facts = h("p", { class: "facts small" });
    const name = h(heading ? "h2" : "p", { class: heading ? "name" : "who" }, models[model]);
    this.element = h("section", { class: heading ? "item card answer" : "turn assistant answer", "aria-label": models[model] }, name, this.body, this.facts);
  }

  add(piece) {
    this.text += piece;
    this.body.append(piece);
  }

  show({ text, html, tokens: count, is_complete: isComplete, omitted }) {
    this.text = text;
    this.isWhole = true;
    this.settle();
    this.body.classList.remove("plain");
    this.body.replaceChildren(text ? harmless(html) : h("span", { class: "muted" }, "(an empty response)"));
    this.fact(count === 1 ? "1 token" : `${count} tokens`);
    if (!isComplete) this.fact("cut off by the limit", "warn");
    if (omitted) this.fact(`window full: ${omitted} oldest messages left out`, "warn");
  }

  fact(text, tone = "") {
    const chip = h("span", { class: `chip numbers ${tone}` }, text);
    this.facts.append(chip);
    return chip;
  }

  score(value) {
    this.reward = value;
    this.chip = this.fact(`reward ${value.toFixed(2).replace("-", "−")}`);
  }

  fault(message) {
    this.settle();
    if (!this.text) this.body.hidden = true;
    this.facts.before(h("div", { class: "notice bad", role: "alert" }, sentence(message)));
  }

  settle() {
    this.body.classList.remove("streaming");
    this.body.removeAttribute("aria-busy");
  }
}

function nearBottom() {
  const page = document.documentElement;
  return page.scrollHeight - page.scrollTop - page.clientHeight < 160;
}

function follow(change) {
  const following = nearBottom();
  change();
  if (following) window.scrollTo({ top: document.documentElement.scrollHeight });
}

function busy(on) {
  sendButton.hidden = on;
  stopButton.hidden = !on;
  for (const button of log.querySelectorAll(".tools button")) button.disabled = on;
}

function tools(exchange) {
  for (const old of log.querySelectorAll(".tools")) old.remove();
  if (!exchange) return;
  const again = h("button", { type: "button", class: "quiet", on: { click: retry } }, icon("again"), "Retry ", h("kbd", { "data-key": "r" }));
  const change = h("button", { type: "button", class: "quiet", on: { click: edit } }, "Change my message");
  exchange.append(h("div", { class: "tools" }, h("div", { class: "row" }, again, change)));
  keys.label(exchange);
}

async function send(say) {
  failed?.element.remove();
  failed = null;
  welcome.hidden = true;
  tools(null);
  const side = answering();
  const answers = side.map((model) => new Answer(model, side.length > 1));
  const shelf = side.length > 1 ? h("div", { class: "shelf of-2 texts" }, ...answers.map((answer) => answer.element)) : answers[0].element;
  const element = h("section", { class: "exchange" }, own(say), shelf);
  log.append(element);
  element.scrollIntoView({ block: "end" });
  const current = (aborter = new AbortController());
  busy(true);
  announce(side.length > 1 ? "The models are writing." : "The model is writing.");
  const body = {
    parts: side.map((model) => ({ model, turns: history(model) })),
    say,
    system: system.value,
    tokens: tokens.valueAsNumber,
    temperature: temperature.valueAsNumber,
  };
  let isStopped = false;
  try {
    await events("/api/turn", body, (name, data) => current === aborter && follow(() => receive(answers[data.side], name, data)), current.signal);
  } catch (error) {
    isStopped = current.signal.aborted;
    if (!isStopped && !(error instanceof Fault)) throw error;
    if (!isStopped) for (const answer of answers.filter(({ isWhole }) => !isWhole)) answer.fault(error.message);
  }
  if (current !== aborter) return; // a new conversation was begun meanwhile
  aborter = null;
  finish({ say, element }, answers, isStopped);
}

function receive(answer, name, data) {
  if (name === "piece") answer.add(data.text);
  else if (name === "response") answer.show(data);
  else if (name === "score") answer.score(data.score);
  else if (name === "fault") answer.fault(data.detail);
}

function finish(exchange, answers, isStopped) {
  for (const answer of answers) {
    answer.settle();
    if (isStopped && !answer.isWhole) answer.fact("stopped", "warn");
  }
  const spoken = answers.filter(({ text, isWhole }) => isWhole || text);
  if (spoken.length) turns.push({ ...exchange, answers: Object.fromEntries(spoken.map(({ model, text }) => [model, text])) });
  else failed = exchange;
  const [first, second] = answers.map(({ reward }) => reward);
  if (second !== undefined && first !== undefined && first !== second) answers[first > second ? 0 : 1].chip.classList.add("good");
  follow(() => tools(exchange.element));
  busy(false);
  announce(isStopped ? "Stopped." : spoken.length === 2 ? "Both responses are there." : spoken.length ? "The response is there." : "There is no response.");
  field.focus({ preventScroll: true });
}

// The last exchange leaves the conversation; its message.
function withdraw() {
  const exchange = failed ?? turns.pop();
  failed = null;
  exchange?.element.remove();
  tools(turns.at(-1)?.element);
  welcome.hidden = turns.length > 0;
  return exchange?.say ?? null;
}

function retry() {
  if (aborter) return;
  const say = withdraw();
  if (say !== null) send(say);
}

function edit() {
  if (aborter) return;
  field.value = withdraw() ?? field.value;
  field.focus();
}

function restart() {
  aborter?.abort();
  aborter = null;
  turns = [];
  failed = null;
  log.replaceChildren();
  welcome.hidden = false;
  busy(false);
  announce("A new conversation.");
  field.focus();
}

function setView(value) {
  view = String(value);
  choose(document, "view", view);
}

function summarise() {
  temperature.parentElement.querySelector("output").textContent = temperature.valueAsNumber.toFixed(2);
  const length = tokens.validity.valid ? `up to ${tokens.valueAsNumber.toLocaleString("en")} tokens` : "length?";
  document.getElementById("summary").textContent = `temperature ${temperature.valueAsNumber.toFixed(2)}, ${length}${system.value.trim() ? ", system message" : ""}${isScored ? ", with rewards" : ""}`;
}

field.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  composer.requestSubmit();
});
composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const say = field.value.trim();
  if (!say || aborter) return;
  if (!tokens.checkValidity()) {
    document.getElementById("settings").open = true;
    tokens.reportValidity();
    return;
  }
  field.value = "";
  send(say);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && aborter) aborter.abort();
});
stopButton.addEventListener("click", () => aborter?.abort());
document.getElementById("new").addEventListener("click", restart);
for (const input of [temperature, tokens, system]) input.addEventListener("input", summarise);

if (models.length > 1) {
  const points = [...models.map((name, index) => [String(index), name]), [BOTH, "Side by side"]];
  const place = document.getElementById("views");
  place.append(pips("view", "Who answers", points, { hidden: true, onChange: setView }));
  place.hidden = false;
  setView(view);
}
const keys = new Keys(keySettings());
const digits = models.length > 1 ? { 1: () => setView(0), 2: () => setView(1), 3: () => setView(BOTH) } : {};
keys.add({ n: restart, r: retry, "/": () => field.focus(), ...digits });
keys.label(document);
summarise();
