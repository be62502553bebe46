// One question at a time. The next ones are here already, so an answer brings the next question at once, while it travels
// to the server by itself (outbox.js). Leases are renewed while the annotator is active.

import { Fault, get, post } from "/static/api.js";
import { load } from "/static/clips.js";
import { announce, fromTemplate, h, setup, uuid } from "/static/dom.js";
import { Drafts } from "/static/drafts.js";
import { Keys, keySettings } from "/static/keys.js";
import { Leases } from "/static/leases.js";
import { Outbox } from "/static/outbox.js";
import { guidelineSeen, markGuideline, showGuideline, Status, Stopwatch } from "/static/parts.js";
import { AT_ONCE, WIDGETS } from "/static/widgets.js";

const AHEAD = 3; // questions on the page: the one shown and two that come next
const POLL = 4000;
const TALKS = ["conversation", "chat"];

const config = setup();
const main = document.getElementById("question");
const keys = new Keys(keySettings(config.preferences));
const drafts = new Drafts(config.person);
const status = new Status(document.getElementById("state"), document.getElementById("progress"), document.getElementById("notices"));
const outbox = new Outbox(config.person, withNext);
const leases = new Leases(config.person, () => [shown?.assignment, ...buffer].filter(Boolean), lostLease);

let buffer = []; // assignments that come next
let shown = null; // {assignment, widget, watch, remove}
let given = []; // what was answered here: {id, assignment, state}, the latest last, for undo
let asking = false;
let waits = 0; // how often the page has begun to wait for work
let since = new Date();
since.setHours(0, 0, 0, 0);

const held = () => [shown?.assignment, ...buffer].filter(Boolean).map((each) => each.lease).filter(Boolean);

// What an answer's request adds when it is sent: how many further questions the page could take.
function withNext(entry) {
  if (entry.path !== "/api/work/answer" || config.edit) return entry.body;
  const room = AHEAD - buffer.length - (shown ? 1 : 0);
  return room < 1 ? entry.body : { ...entry.body, next: { project: config.project, count: Math.min(3, room), held: held() } };
}

function take(assignments) {
  const there = new Set([shown?.assignment.question, ...buffer.map((each) => each.question)]);
  for (const each of assignments) {
    if (there.has(each.question)) continue;
    for (const item of each.items) if (item.type === "clip") load(item).catch(() => {}); // it plays when its turn comes
    leases.taken(each);
    buffer.push(each);
  }
  if (!shown && buffer.length && !main.querySelector("[data-guideline]")) next();
}

function clear() {
  shown?.remove();
  shown?.widget.destroy();
  shown = null;
  document.body.removeAttribute("data-question");
}

function next() {
  clear();
  const assignment = buffer.shift();
  if (assignment) return begin(assignment);
  waitForWork();
  return null;
}

function begin(assignment, how = {}) {
  if (assignment.guideline.html && !guidelineSeen(config, assignment)) {
    buffer.unshift(assignment);
    showGuideline(main, config, assignment, () => {
      markGuideline(config, assignment);
      next();
    });
    return;
  }
  mount(assignment, how);
}

function mount(assignment, { state = null, value = null } = {}) {
  const root = h("div", { class: `widget ${assignment.kind}` });
  // In a conversation the wording stands above the scale.
  const heading = h("h1", { tabindex: "-1", dir: "auto" }, assignment.kind === "conversation" ? assignment.title : assignment.wording);
  const send = fromTemplate("send").firstElementChild;
  const form = h("div", { class: "stack ask" }, heading, root, send);
  const watch = new Stopwatch();
  const host = {
    submit: (answer) => submit(answer),
    send: () => trySend(),
    changed: () => {
      watch.touch();
      if (shown) drafts.keep(assignment.question, shown.widget.state());
    },
    sendable: (can) => (send.hidden = !can),
    stopwatch: () => new Stopwatch(),
    record: (path, body) => {
      const judgement = uuid();
      outbox.add({ id: judgement, path, body: { judgement, ...body } });
      return judgement;
    },
  };
  send.hidden = AT_ONCE(assignment);
  main.replaceChildren(form);
  const widget = WIDGETS[assignment.kind](root, assignment, host);
  const ours = { assignment, widget, watch, ready: false, remove: () => {} };
  shown = ours;
  const draft = state ?? drafts.of(assignment);
  if (draft) restore(widget, assignment, draft);
  else if (value) widget.fill(value);
  const buttons = [...root.querySelectorAll("[data-vote], [data-choice]")];
  buttons.forEach((button) => (button.disabled = true));
  const sender = send.querySelector("[data-send]");
  sender.disabled = true;
  sender.addEventListener("click", trySend);
  const layer = keys.add({ send: trySend, undo, later, guidelines: openGuidelines, ...widget.actions });
  ours.remove = () => layer();
  if ([...root.querySelectorAll("textarea")].some((field) => field.checkVisibility())) send.querySelector("kbd").replaceWith(h("kbd", {}, "Ctrl+Enter"));
  keys.label(document.body);
  document.body.dataset.question = assignment.question;
  heading.focus({ preventScroll: true });
  scrollTo(0, 0);
  announce(assignment.wording);
  widget.ready.then(() => {
    if (shown !== ours) return;
    ours.ready = true;
    watch.start(); // what could not be seen yet could not be judged
    buttons.forEach((button) => (button.disabled = false));
    sender.disabled = false;
    document.dispatchEvent(new CustomEvent("plaudit:shown", { detail: assignment.question }));
  });
}

// A draft may be of an older version, or written by another program: one that does not fit is left out.
function restore(widget, assignment, draft) {
  try {
    widget.restore(draft);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    drafts.forget(assignment.question);
    status.ask("Your draft could not be read: begin again.");
  }
}

function trySend() {
  if (!shown?.ready) return;
  const value = shown.widget.value();
  if (!value.missing) return submit(value);
  status.ask(value.missing);
  main.querySelector(value.at)?.focus();
}

function submit(value) {
  if (!shown?.ready) return announce("The clips are still loading.");
  const { assignment, watch, widget } = shown;
  const judgement = uuid();
  const body = { judgement, question: assignment.question, value, elapsed: watch.elapsed() };
  if (config.edit) body.supersedes = config.edit;
  else body.lease = assignment.lease;
  given.push({ id: judgement, assignment, state: widget.state(), value });
  clear();
  outbox.add({ id: judgement, path: "/api/work/answer", body });
  drafts.forget(assignment.question);
  status.quiet();
  if (config.edit) return main.replaceChildren(h("p", { class: "empty" }, "Saving…"));
  status.count(1);
  next();
}

// Put off: the lease runs out by itself, and the question comes again, to this person or another.
function later() {
  if (!shown || config.edit) return;
  const put = shown.assignment;
  if (!buffer.length) return status.ask("There is no other question now.");
  leases.let(put);
  announce("Put off. Here is another question.");
  next();
  if (buffer.length < AHEAD - 1) claim();
}

function undo() {
  if (config.edit) return;
  const last = given.pop();
  if (!last) return undoEarlier();
  const current = shown?.assignment;
  if (shown) drafts.keep(current.question, shown.widget.state());
  clear();
  if (current) buffer.unshift(current);
  status.count(-1);
  if (!outbox.cancel(last.id)) outbox.add({ id: uuid(), path: "/api/work/undo", body: { judgement: last.id, id: uuid() }, question: last.assignment.question });
  mount(last.assignment, { state: last.state });
  announce("Taken back. Judge it again.");
}

// Nothing was answered since the page was loaded: the latest of before.
async function undoEarlier() {
  try {
    const [latest] = await get(`/api/work/history?project=${encodeURIComponent(config.project)}&limit=1`);
    if (!latest) return status.ask("There is nothing to take back.");
    const { value } = await get(`/api/work/history/${latest.judgement}`);
    const { assignment } = await post("/api/work/undo", { judgement: latest.judgement, id: uuid() });
    const current = shown?.assignment;
    clear();
    if (current) buffer.unshift(current);
    status.count(-1);
    mount(assignment, { value });
    announce("Taken back. Judge it again.");
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    status.ask(error.message);
  }
}

async function claim() {
  if (asking || config.edit) return;
  asking = true;
  try {
    const room = AHEAD - buffer.length - (shown ? 1 : 0);
    if (room > 0) take(await post("/api/work/claim", { project: config.project, count: Math.min(3, room), held: held() }));
    status.reached();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    if (error.next) location.assign(error.next);
    if (!shown) status.trouble(error, config.beside);
  } finally {
    asking = false;
  }
}

// Nothing to do: look again and again, cheaply, until there is something.
function waitForWork() {
  main.replaceChildren(fromTemplate(outbox.size ? "coming" : "idle"));
  let first = true;
  const wait = (waits += 1);
  const look = async () => {
    if (shown || wait !== waits || main.querySelector("[data-guideline]")) return;
    if (document.visibilityState === "visible" || first) {
      const waiting = first ? 1 : await count();
      first = false;
      if (waiting && !outbox.size) await claim();
      if (!shown && !main.querySelector("[data-idle], [data-guideline]") && !outbox.size) main.replaceChildren(fromTemplate("idle"));
    }
    if (!shown) setTimeout(look, outbox.size ? 300 : POLL * (0.75 + Math.random() / 2));
  };
  look();
}

async function count() {
  try {
    const told = await get(`/api/work/progress?project=${encodeURIComponent(config.project)}&since=${since.getTime() / 1000}`);
    status.set(told.done + outbox.entries.filter((entry) => entry.path === "/api/work/answer").length, told.waiting);
    return told.waiting;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return shown ? 0 : 1; // asking for a question says what is wrong
  }
}

function lostLease(assignment) {
  if (shown?.assignment !== assignment) {
    buffer = buffer.filter((each) => each !== assignment);
    return;
  }
  const goOn = () => leases.renew([assignment]);
  status.expired(goOn, later);
}

function openGuidelines() {
  const guideline = shown?.assignment.guideline;
  showGuideline(null, config, { guideline: guideline ?? { version: "", html: "" } }, () => {});
}

outbox.addEventListener("state", ({ detail }) => status.sending(detail));
outbox.addEventListener("sent", ({ detail: { entry, reply } }) => {
  if (entry.path === "/api/work/undo") leases.replace(entry.question, reply.assignment, [shown?.assignment, ...buffer]);
  if (entry.path !== "/api/work/answer") return;
  if (config.edit && entry.body.supersedes === config.edit) location.assign(`/history/${encodeURIComponent(config.project)}`);
  if (reply.next?.length) take(reply.next);
  else if (!config.edit && buffer.length < 1) claim();
});
outbox.addEventListener("refused", ({ detail }) => status.refused(detail.fault.message));
document.querySelectorAll("[data-undo]").forEach((button) => button.addEventListener("click", undo));
document.querySelectorAll("[data-later]").forEach((button) => button.addEventListener("click", later));
document.querySelectorAll("[data-guidelines]").forEach((button) => button.addEventListener("click", openGuidelines));
// When the page is left, its questions go back to the queue at once; drafts are kept.
addEventListener("pagehide", () => {
  const names = held();
  if (names.length) post("/api/work/release", { leases: names }, { keepalive: true, timeout: 0 }).catch(() => {});
});
addEventListener("pageshow", (event) => event.persisted && location.reload());

if (TALKS.includes(config.kind)) status.tasks = true;
keys.label(document.body);
if (config.edit) {
  get(`/api/work/history/${config.edit}`)
    .then((again) => mount(again.assignment, { value: again.value }))
    .catch((error) => status.trouble(error, config.beside));
} else {
  count();
  setInterval(() => document.visibilityState === "visible" && shown && count(), 30000);
  leases.recover().then(waitForWork);
}
