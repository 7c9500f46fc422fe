"use strict";
// What every page to pick things from needs.
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
// Black, red, orange, yellow: brighter means more, also without color vision.
const HEAT = [[0, 0, 0], [122, 31, 0], [213, 94, 0], [255, 176, 0], [255, 243, 176]];

function made(kind, text, style) {
  const node = document.createElement(kind);
  if (text !== undefined) node.textContent = text;
  if (style) node.className = style;
  return node;
}

function options(id, values) {
  for (const value of values) at(id).append(Object.assign(made("option", value), { value }));
}

function number(value) {
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 10000)) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
}

const percent = (share) => `${number(100 * share)}\u00a0%`;

// A token's piece as it can be read.
const word = (text) => text.replace(/[\u0120\u2581]/g, "\u00b7");

function color(share) {
  const place = share * (HEAT.length - 1), low = Math.min(HEAT.length - 2, Math.floor(place)), rest = place - low;
  return HEAT[low].map((part, k) => Math.round(part + rest * (HEAT[low + 1][k] - part)));
}

function theme() {
  const dark = getComputedStyle(document.body).backgroundColor === "rgb(20, 23, 27)";
  document.documentElement.dataset.theme = dark ? "light" : "dark";
}

// A list on the left to pick one thing from: search, arrow keys, and the choice in the page's address.
//   items   name -> the address, text -> what is searched, line -> what the list shows, fits -> further filters,
//           place -> 0 for what should stand first when these words are searched, else 1
function picker({ items, what, name, text, line, fits = () => true, place = () => 0, draw }) {
  let listed = [], chosen = null;
  function refresh() {
    const words = at("search").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    listed = items.filter((one) => fits(one) && words.every((part) => text(one).includes(part)));
    listed.sort((a, b) => place(a, words) - place(b, words));
    at("count").textContent = `${listed.length} of ${items.length} ${what}`;
    at("list").replaceChildren(...listed.map((one, k) => {
      const row = made("div");
      row.id = `item-${k}`;
      row.setAttribute("role", "option");
      row.append(...line(one));
      row.addEventListener("click", () => choose(one));
      return row;
    }));
    if (!listed.includes(chosen) && listed.length) choose(listed[0]);
    else mark();
  }
  function mark() {
    const own = listed.indexOf(chosen);
    [...at("list").children].forEach((row, k) => row.setAttribute("aria-selected", String(k === own)));
    if (own < 0) return at("list").removeAttribute("aria-activedescendant");
    at("list").setAttribute("aria-activedescendant", `item-${own}`);
    at(`item-${own}`).scrollIntoView({ block: "nearest" });
  }
  function choose(one) {
    chosen = one;
    history.replaceState(null, "", "#" + encodeURIComponent(name(one)));
    mark();
    draw(one);
  }
  function step(by) {
    if (!listed.length) return;
    const own = Math.max(0, listed.indexOf(chosen));
    choose(listed[Math.min(listed.length - 1, Math.max(0, own + by))]);
  }
  function wanted() {
    let address = "";
    try { address = decodeURIComponent(location.hash.slice(1)); } catch { return; }
    const one = items.find((each) => name(each) === address);
    if (one && one !== chosen) choose(one);
  }
  at("search").addEventListener("input", refresh);
  at("theme").addEventListener("click", theme);
  addEventListener("hashchange", wanted);
  wanted();
  refresh();
  return { refresh, choose, step };
}

// Keys of a page with a picker; `more` are its own.
function keys(list, more) {
  const does = {
    ArrowDown: () => list.step(1), ArrowUp: () => list.step(-1), j: () => list.step(1), k: () => list.step(-1),
    Home: () => list.step(-Infinity), End: () => list.step(Infinity), "/": () => at("search").focus(), t: theme, ...more,
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const own = event.target, typing = ["INPUT", "SELECT"].includes(own.tagName) && own.type !== "radio";
    if (event.key === "Escape") return own.blur();
    if (typing && !(own.id === "search" && ["ArrowDown", "ArrowUp"].includes(event.key))) return;
    if (!does[event.key] || (own.type === "radio" && event.key.startsWith("Arrow"))) return;
    event.preventDefault();
    does[event.key]();
  });
}

// The next of a group of radio buttons.
function next(group) {
  const radios = [...document.getElementsByName(group)];
  if (radios.length) radios[(radios.findIndex((one) => one.checked) + 1) % radios.length].click();
}

// Radio buttons behind a legend; `use` is told the value of the chosen one.
function radios(id, group, choices, value, use) {
  for (const [text, own] of choices) {
    const label = made("label"), radio = Object.assign(made("input"), { type: "radio", name: group, value: own });
    radio.checked = own === value;
    radio.addEventListener("change", () => use(own));
    label.append(radio, ` ${text}`);
    at(id).append(label);
  }
}
