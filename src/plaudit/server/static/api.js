// The one way to the server: JSON there and back, the CSRF token always with it, faults as one line.

export class Fault extends Error {
  constructor(status, detail, next = null) {
    super(detail);
    this.status = status; // 0: the server was not reached
    this.next = next; // the page that solves the problem, or null
  }

  // Whether the same request may work later.
  get passing() {
    return this.status === 0 || this.status === 401 || this.status === 429 || this.status >= 500;
  }
}

function headers(body) {
  const csrf = document.querySelector('meta[name="csrf"]')?.content;
  return { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...(csrf ? { "X-CSRF-Token": csrf } : {}) };
}

async function send(method, path, body, options = {}) {
  const { timeout = 20000, signal, ...rest } = options;
  const signals = [signal, timeout ? AbortSignal.timeout(timeout) : null].filter(Boolean);
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: headers(body),
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      signal: signals.length > 1 ? AbortSignal.any(signals) : signals[0],
      ...rest,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Fault(0, "The server cannot be reached.");
  }
  if (response.ok) return response;
  let told = {};
  try {
    told = await response.json();
  } catch {
    // a proxy's own page, say: the status has to do
  }
  throw new Fault(response.status, told.detail ?? `The server answered ${response.status}.`, told.next ?? null);
}

export async function call(method, path, body, options) {
  const response = await send(method, path, body, options);
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch {
    throw new Fault(0, "The server's answer was incomplete.");
  }
}

export const get = (path, options) => call("GET", path, undefined, options);
export const post = (path, body, options) => call("POST", path, body, options);
export const put = (path, body, options) => call("PUT", path, body, options);

// Server-sent events of a POST: calls `on(name, data)` for each. Raises a Fault where the stream breaks off.
export async function events(path, body, on, signal) {
  const response = await send("POST", path, body, { signal, timeout: 0 });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let ended = false;
  while (true) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Fault(0, "The connection was interrupted.");
    }
    if (part.done) break;
    const blocks = (rest + part.value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s).slice(0, 2)));
      if (fields.event === "end") ended = true;
      else if (fields.event) on(fields.event, JSON.parse(fields.data ?? "{}"));
    }
  }
  if (!ended) throw new Fault(0, "The connection was interrupted.");
}
