const ROW = 56, SPARE = 6, SAID = { generative: "described", polling: "polled", vqa: "asked" };
const sheet = at("sheet"), room = at("room");
let listed = [], chosen = null, order = "sample", falling = false, drawn = "";
const collator = new Intl.Collator("en", { numeric: true });
const verdict = (one, setting) => one.verdicts[setting]?.[0];
const COLUMNS = [
  ["", null], ["sample", (one) => one.sample], ["class", (one) => one.class],
  ["named", (one) => one.rate?.[0]], ["map", (one) => one.iou?.[0]],
  ...Object.entries(SAID).map(([setting, name]) => [name, (one) => ({ true: 1, false: 2 })[verdict(one, setting)]]),
];

function refresh() {
  const words = at("search").value.trim().toLowerCase().split(/\s+/).filter(Boolean), [setting, ok] = at("verdict").value.split(" ");
  const fits = (one) => (!at("class").value || one.class === at("class").value) && (!setting || String(verdict(one, setting)) === ok);
  listed = data.pictures.filter((one) => fits(one) && words.every((part) => `${one.sample} ${one.class}`.toLowerCase().includes(part)));
  const key = COLUMNS.find(([name]) => name === order)[1], way = falling ? -1 : 1;
  listed.sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if ((x ?? null) === null || (y ?? null) === null) return ((x ?? null) === null) - ((y ?? null) === null);
    return way * (typeof x === "number" ? x - y : collator.compare(x, y)) || collator.compare(a.sample, b.sample);
  });
  at("count").textContent = `${listed.length} of ${data.pictures.length} pictures`;
  room.style.height = `${listed.length * ROW}px`;
  if (!listed.includes(chosen)) chosen = listed[0] ?? null;
  for (const button of at("head").querySelectorAll("button")) {
    const own = button.dataset.name === order;
    button.setAttribute("aria-pressed", String(own));
    button.textContent = `${button.dataset.name}${own ? falling ? " \u2193" : " \u2191" : ""}`;
  }
  drawn = "";
  show();
}

function rate(best, unit) {
  const node = made("span");
  if (best) node.append(`${unit(best[0])} `, made("span", `layer ${best[1]}`, "faint")); else node.append("\u2013");
  return node;
}

function said(one, setting) {
  const found = one.verdicts[setting], text = (ok) => ok === null ? "\u2013" : ok ? "stays" : "lost";
  if (!found) return Object.assign(made("span", "\u2013", "faint"), { title: "not counted: the untouched answer is wrong, or it was not asked" });
  const node = made("span");
  node.append(made("span", text(found[0]), found[0] === false ? "lost" : undefined), made("span", ` / ${text(found[1])}`, "faint"));
  return node;
}

function line(one, k) {
  const row = made("a"), image = Object.assign(made("img"), { src: one.thumb, alt: "" });
  row.href = `${encodeURIComponent(one.sample)}.html`;
  row.style.top = `${k * ROW}px`;
  row.dataset.sample = one.sample;
  if (one === chosen) row.setAttribute("aria-current", "true");
  const named = rate(one.rate, percent);
  named.title = `${one.criterion}; ${one.patches} patches`;
  row.append(image, made("span", one.sample), made("b", one.class), named, rate(one.iou, number), ...Object.keys(SAID).map((each) => said(one, each)));
  return row;
}

// Only the lines in view are in the document.
function show() {
  const from = Math.max(0, Math.floor(sheet.scrollTop / ROW) - SPARE), to = Math.min(listed.length, from + Math.ceil(sheet.clientHeight / ROW) + 2 * SPARE);
  const key = `${from} ${to} ${chosen?.sample}`;
  if (key === drawn) return;
  drawn = key;
  room.replaceChildren(...listed.slice(from, to).map((one, k) => line(one, from + k)));
}

function step(by) {
  if (!listed.length) return;
  const k = Math.min(listed.length - 1, Math.max(0, listed.indexOf(chosen) + by)), top = k * ROW;
  chosen = listed[k];
  const space = sheet.clientHeight - 2 * ROW;
  if (top < sheet.scrollTop || top > sheet.scrollTop + space) sheet.scrollTop = Math.max(0, top - space / 2);
  show();
}

function sort(name) {
  falling = name === order ? !falling : ["named", "map", ...Object.values(SAID)].includes(name);
  order = name;
  refresh();
}

for (const [name, key] of COLUMNS) {
  const cell = key ? made("button", name) : made("span");
  if (key) Object.assign(cell, { type: "button" }).addEventListener("click", () => sort(name));
  if (key) cell.dataset.name = name;
  at("head").append(cell);
}
options("class", [...new Set(data.pictures.map((one) => one.class))].sort(collator.compare));
for (const [setting, name] of Object.entries(SAID)) for (const [ok, text] of [["false", "lost"], ["true", "stays"]]) {
  at("verdict").append(Object.assign(made("option", `${text}, ${name}`), { value: `${setting} ${ok}` }));
}
for (const id of ["search", "class", "verdict"]) at(id).addEventListener("input", refresh);
at("theme").addEventListener("click", theme);
sheet.addEventListener("scroll", show);
room.addEventListener("focusin", (event) => {
  const own = event.target.closest("a");
  chosen = data.pictures.find((one) => one.sample === own?.dataset.sample) ?? chosen;
  for (const row of room.children) row.toggleAttribute("aria-current", row === own);
});
addEventListener("resize", show);
keys({ step }, {
  Enter: () => { if (chosen) location.href = `${encodeURIComponent(chosen.sample)}.html`; },
  s: () => { const names = COLUMNS.filter(([, key]) => key).map(([name]) => name); sort(names[(names.indexOf(order) + 1) % names.length]); },
});
refresh();
