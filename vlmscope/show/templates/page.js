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
