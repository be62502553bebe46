// The page of a person's answers: times in the device's time zone, and taking a judgement back.

import { Fault, post } from "/static/api.js";
import { announce, h, uuid } from "/static/dom.js";

const list = document.getElementById("entries");
const notices = document.getElementById("notices");
const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function local() {
  for (const time of list.querySelectorAll("time[data-time]")) {
    const moment = new Date(Number(time.dataset.time) * 1000);
    time.dateTime = moment.toISOString();
    time.textContent = format.format(moment);
    time.removeAttribute("data-time");
  }
}

list.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-withdraw]");
  if (!button) return;
  button.disabled = true;
  try {
    await post("/api/work/undo", { judgement: button.dataset.withdraw, id: uuid() });
    const entry = button.closest("li");
    const neighbour = (entry.nextElementSibling ?? entry.previousElementSibling)?.querySelector("a, button");
    entry.remove();
    neighbour?.focus();
    announce("Taken back. The question is on the queue again.");
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    button.disabled = false;
    notices.replaceChildren(h("p", { class: "notice bad", role: "alert" }, error.message));
  }
});

document.addEventListener("htmx:afterSettle", local);
local();
