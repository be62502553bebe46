// A training run as it goes: asks the server every two seconds, draws curves, plays the latest clip.

const SECONDS = 2;
const TITLES = {
  true_return: "True return",
  predicted_return: "Predicted return",
  holdout_accuracy: "Held-out accuracy",
  held_out: "Satisfies the held-out rule",
  score: "Reward",
  kl: "Distance from the start (KL, nats)",
  accuracy: "Reward model's held-out accuracy",
  tokens: "Tokens per response",
};
const OVER = { finished: "The run is finished: its report is in the run folder.", stopped: "The run has stopped: continue it with `plaudit resume`." };
const SVG = "http://www.w3.org/2000/svg";
const at = (id) => document.getElementById(id);
const csrf = document.querySelector('meta[name="csrf"]')?.content ?? "";

const number = (value) => {
  if (Math.abs(value) >= 1e6) return `${(value / 1e6).toFixed(1)} M`;
  return Math.abs(value) >= 100 || Number.isInteger(value) ? Math.round(value).toLocaleString("en") : value.toFixed(2);
};

// Curves

function curve(name, steps, values, unit) {
  let figure = at(`curve-${name}`);
  if (!figure) {
    figure = document.createElement("figure");
    figure.className = "curve";
    figure.id = `curve-${name}`;
    const caption = document.createElement("figcaption");
    caption.append(TITLES[name], document.createElement("output"));
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "0 0 100 100");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    const ends = document.createElement("div");
    ends.className = "ends";
    ends.append(document.createElement("span"), document.createElement("span"));
    figure.append(caption, svg, ends);
    at("curves").append(figure);
  }
  const points = steps.map((step, index) => [step, values[index]]).filter(([, value]) => value !== null);
  figure.hidden = points.length < 2;
  if (figure.hidden) return;
  const heights = points.map(([, value]) => value);
  const [low, high] = [Math.min(...heights), Math.max(...heights)];
  const [first, last] = [points[0][0], points[points.length - 1][0]];
  const x = (step) => (100 * (step - first)) / (last - first || 1);
  const y = (value) => 96 - (92 * (value - low)) / (high - low || 1);
  const path = points.map(([step, value], index) => `${index ? "L" : "M"}${x(step).toFixed(2)} ${y(value).toFixed(2)}`);
  const svg = figure.querySelector("svg");
  svg.replaceChildren();
  if (low < 0 && high > 0) svg.append(drawn("rule", `M0 ${y(0)}L100 ${y(0)}`));
  svg.append(drawn("line", path.join("")));
  const now = heights[heights.length - 1];
  svg.setAttribute("aria-label", `${TITLES[name]}: now ${number(now)}, between ${number(low)} and ${number(high)}`);
  figure.querySelector("output").textContent = number(now);
  const [left, right] = figure.querySelectorAll(".ends span");
  left.textContent = `${number(low)} to ${number(high)}`;
  right.textContent = `${number(last)} ${unit}`;
}

function drawn(kind, path) {
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("class", kind);
  line.setAttribute("d", path);
  return line;
}

// The clip

const film = { image: null, clip: null, src: "", paused: matchMedia("(prefers-reduced-motion: reduce)").matches };

function show(clip) {
  if (!at("film")) return;
  at("no-film").hidden = clip !== null;
  at("film").hidden = clip === null;
  if (clip === null || clip.src === film.src) return;
  film.src = clip.src;
  const image = new Image();
  image.onload = () => {
    Object.assign(film, { image, clip });
    if (film.paused) draw(0); // a clip that stands still is still to be seen
  };
  image.onerror = () => { film.src = ""; };
  image.src = clip.src;
}

function play(now) {
  if (film.image && !film.paused) draw(Math.floor((now / 1000) * film.clip.fps) % film.clip.frames);
  requestAnimationFrame(play);
}

function draw(frame) {
  const { image, clip } = film;
  const canvas = at("film");
  if (canvas.width !== clip.width || canvas.height !== clip.height) {
    canvas.width = clip.width;
    canvas.height = clip.height;
  }
  const left = (frame % clip.columns) * clip.width;
  const top = Math.floor(frame / clip.columns) * clip.height;
  canvas.getContext("2d").drawImage(image, left, top, clip.width, clip.height, 0, 0, clip.width, clip.height);
}

at("pause")?.setAttribute("aria-pressed", String(film.paused));
at("pause")?.addEventListener("click", () => {
  film.paused = !film.paused;
  at("pause").setAttribute("aria-pressed", String(film.paused));
});

// What the server says

let said = "";

function take(run) {
  at("state").textContent = run.state;
  at("judged").textContent = run.labels.judged.toLocaleString("en");
  at("wanted").textContent = run.labels.wanted.toLocaleString("en");
  at("bar").value = run.labels.judged / run.labels.wanted;
  at("compare").hidden = run.state in OVER;
  at("waiting").textContent = OVER[run.state] ?? (run.labels.waiting
    ? `${run.labels.waiting} waiting for an answer`
    : "No question is waiting: the agent will ask again soon");
  at("judging").textContent = run.judging.length ? `Judging now: ${run.judging.join(", ")}` : "No annotator is judging now.";
  const { step, ...columns } = run.curves;
  at("no-curves").hidden = step.length >= 2;
  for (const name of Object.keys(TITLES)) if (columns[name]) curve(name, step, columns[name], run.unit);
  show(run.clip);
  const finish = at("finish");
  if (finish) finish.hidden = run.state in OVER || run.state === "finishing";
  const news = `${run.state}, ${run.labels.judged} of ${run.labels.wanted} comparisons`;
  if (run.state !== said) at("spoken").textContent = news;
  said = run.state;
}

async function ask() {
  try {
    const answer = await fetch("/api/run", { headers: { Accept: "application/json" } });
    if (answer.status === 401) {
      location.assign("/sign-in?next=/run");
      return;
    }
    if (!answer.ok) throw new Error((await answer.json()).detail);
    take(await answer.json());
    at("lost").hidden = true;
  } catch (error) {
    at("lost").hidden = false;
    console.info(`plaudit: ${error.message}`);
  }
  setTimeout(ask, document.hidden ? 5000 * SECONDS : 1000 * SECONDS);
}

at("finish")?.addEventListener("click", async () => {
  at("finish").disabled = true;
  const answer = await fetch("/api/run/finish", { method: "POST", headers: { "X-CSRF-Token": csrf } });
  if (!answer.ok) at("finish").disabled = false;
});

requestAnimationFrame(play);
ask();
