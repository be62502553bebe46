// Making elements. Text always goes in as text; `html` is what the server has cleaned, and is cut down here once more,
// because drafts hold it too, and a draft may hold any text.

const TAGS = new Set("a blockquote br code del em h1 h2 h3 h4 h5 h6 hr li ol p pre s strong table tbody td th thead tr ul".split(" "));
const KEPT = { a: ["href", "rel", "target"], ol: ["start"] };
const HTML = "http://www.w3.org/1999/xhtml";

// The elements that `html` may have; anything else is left as its text.
export function harmless(html) {
  const inert = document.createElement("template"); // nothing in it loads or runs
  inert.innerHTML = String(html);
  for (const element of inert.content.querySelectorAll("*")) {
    const name = element.localName;
    if (!TAGS.has(name) || element.namespaceURI !== HTML) {
      element.replaceWith(element.textContent);
      continue;
    }
    for (const { name: attribute } of [...element.attributes]) if (!KEPT[name]?.includes(attribute)) element.removeAttribute(attribute);
    if (name === "a" && !/^https?:\/\//i.test(element.getAttribute("href") ?? "")) element.removeAttribute("href");
  }
  return inert.content;
}

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "html") element.append(harmless(value));
    else if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function icon(name) {
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("class", "icon");
  picture.setAttribute("viewBox", "0 0 16 16");
  picture.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `/static/icons.svg#${name}`);
  picture.append(use);
  return picture;
}

export function setIcon(button, name) {
  button.querySelector("use")?.setAttribute("href", `/static/icons.svg#${name}`);
}

// The markup of a widget stands in a <template>; this is a fresh copy of it.
export function fromTemplate(id) {
  return document.getElementById(id).content.cloneNode(true);
}

export function setup() {
  return JSON.parse(document.getElementById("setup").textContent);
}

// A row of native radio buttons that looks like one control: points are [value, label] pairs.
export function pips(name, legend, points, { hidden = false, ends = null, onChange = () => {} } = {}) {
  const row = h("div", { class: "pips" });
  for (const [value, label] of points) {
    const input = h("input", { type: "radio", name, value: String(value), on: { change: () => onChange(value) } });
    row.append(h("label", { class: "pip" }, input, h("span", {}, label)));
  }
  const field = h("fieldset", { class: "scale" }, h("legend", { class: hidden ? "visually-hidden" : "" }, legend), row);
  if (ends) field.append(h("div", { class: "ends", "aria-hidden": "true" }, h("span", {}, ends[0]), h("span", {}, ends[1])));
  return field;
}

export function chosen(root, name) {
  return root.querySelector(`input[name="${CSS.escape(name)}"]:checked`)?.value ?? null;
}

export function choose(root, name, value) {
  for (const input of root.querySelectorAll(`input[name="${CSS.escape(name)}"]`)) {
    input.checked = value !== null && value !== undefined && input.value === String(value);
  }
}

export function checks(name, labels, { onChange = () => {} } = {}) {
  return labels.map((label) =>
    h("label", { class: "check" }, h("input", { type: "checkbox", name, value: label, on: { change: onChange } }), h("span", {}, label)),
  );
}

export function checked(root, name) {
  return [...root.querySelectorAll(`input[name="${CSS.escape(name)}"]:checked`)].map((input) => input.value);
}

export function check(root, name, values) {
  for (const input of root.querySelectorAll(`input[name="${CSS.escape(name)}"]`)) input.checked = values.includes(input.value);
}

// localStorage that may be full or forbidden: what cannot be kept is reported by the return value, never thrown.
export const storage = {
  read(key) {
    try {
      return JSON.parse(localStorage.getItem(key));
    } catch {
      return null;
    }
  },
  write(key, value) {
    try {
      if (value === null) localStorage.removeItem(key);
      else localStorage.setItem(key, JSON.stringify(value));
      return true;
    } catch {
      return false;
    }
  },
};

// What the page says aloud to those who listen to it.
export function announce(text) {
  const place = document.getElementById("spoken");
  if (!place) return;
  place.textContent = "";
  requestAnimationFrame(() => (place.textContent = text));
}

// crypto.randomUUID exists on https and localhost only; many teams serve a LAN by plain http.
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
