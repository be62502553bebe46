// Search for pages that are opened from a folder. The theme searches in a worker, and browsers start no worker for a
// file:// address. A hidden frame runs the same script instead; the theme recognises it by the name IFrameWorker.
"use strict";

class IFrameWorker extends EventTarget {
  #frame = document.createElement("iframe");
  #started;

  constructor(url) {
    super();
    const address = new URL(url, document.baseURI).href;
    this.#frame.hidden = true;
    this.#frame.srcdoc = "<!doctype html>"; // of the page's own origin, so that the page reaches into the frame
    this.#started = new Promise((resolve) => this.#frame.addEventListener("load", resolve, { once: true }))
      .then(() => this.#start(address))
      .catch((error) => this.dispatchEvent(new ErrorEvent("error", { error, message: error.message })));
    document.body.append(this.#frame);
  }

  // In a worker postMessage sends to the page and importScripts loads scripts in order; in a frame neither is so.
  async #start(address) {
    const scope = this.#frame.contentWindow;
    const load = (source) =>
      new Promise((resolve, reject) => {
        const script = scope.document.createElement("script");
        script.addEventListener("load", resolve);
        script.addEventListener("error", () => reject(new Error(`cannot load ${source}`)));
        script.src = source;
        scope.document.head.append(script);
      });
    scope.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
    scope.importScripts = async (...sources) => {
      for (const source of sources) await load(source);
    };
    await load(address);
  }

  postMessage(data) { // messages wait until the script listens, and keep their order
    this.#started.then(() => this.#frame.contentWindow?.dispatchEvent(new MessageEvent("message", { data })));
  }

  terminate() {
    this.#frame.remove();
  }
}

if (location.protocol === "file:") {
  window.IFrameWorker = IFrameWorker;
  window.Worker = IFrameWorker;
}
