const ROW = 48, SPARE = 6, BINS = 36;
const columns = Object.fromEntries(Object.entries(data.columns).map(([name, own]) => [name, unpacked(own)]));
const places = new Map([...columns.latent].map((latent, place) => [latent, place]));
const pages = new Map(data.pages.map((one) => [places.get(one.latent), one]));
const explainers = Object.keys(data.names);
const sheet = at("sheet"), room = at("room"), picked = new Set();
let names = new Map(), listed = [], chosen = null, drawn = "", asked = "", view = "dark";

// Place of a latent -> its name by an explainer; the best one agrees most with the regions of held-out pictures.
function named(by) {
  const found = new Map(), rank = (one) => (one.refused ? -2 : one.iou ?? -1);
  for (const own of explainers) for (const one of by === "best" || by === own ? data.names[own] : []) {
    const before = found.get(one.place);
    if (!before || rank(one) > rank(before)) found.set(one.place, { ...one, by: own });
  }
  return found;
}

const shownName = (place) => { const own = names.get(place); return own && !own.refused ? own.refined : ""; };
const words = (place) => pages.get(place)?.words ?? [];
const ORDERS = {
  number: ["number", (place) => columns.latent[place], 1], density: ["density, densest first", (place) => columns.density[place], -1],
  rare: ["density, rarest first", (place) => columns.density[place], 1], pictures: ["share of pictures", (place) => columns.pictures[place], -1],
  highest: ["highest value", (place) => columns.highest[place], -1], iou: ["IoU", (place) => measure(place, "iou"), -1],
  clip: ["CLIP score", (place) => measure(place, "clip"), -1], detection: ["detection", (place) => measure(place, "detection"), -1],
  name: ["name", (place) => shownName(place) || null, 1],
};
const measure = (place, key) => names.get(place)?.[key] ?? null;
const KEEP = {
  named: (place) => shownName(place) !== "", refused: (place) => names.get(place)?.refused === true, asked: (place) => !names.has(place),
  steered: (place) => columns.steered[place] === 1, paged: (place) => columns.paged[place] === 1,
};

const logs = [...columns.density].map(Math.log10), least = Math.min(...bounds(logs)), most = Math.max(...bounds(logs));
function bounds(values) { let low = 0, high = -9; for (const one of values) { low = Math.min(low, one); high = Math.max(high, one); } return [low, high]; }
const bin = (place) => Math.min(BINS - 1, Math.floor((logs[place] - least) / (most - least || 1) * BINS));

function compared(a, b, key, way) {
  const [x, y] = [key(a), key(b)];
  if (x === null || y === null) return (x === null) - (y === null) || a - b;
  return way * (typeof x === "string" ? x.localeCompare(y) : x - y) || a - b;
}

function refresh() {
  const searched = at("search").value.trim().toLowerCase().split(/\s+/).filter(Boolean), kind = at("class").value;
  const keep = KEEP[at("which").value] ?? (() => true), [, key, way] = ORDERS[at("order").value];
  const text = (place) => `${shownName(place)} ${words(place).join(" ")}`.toLowerCase();
  const hits = (place) => searched.every((part) => (/^#?\d+$/.test(part) ? String(columns.latent[place]) === part.replace("#", "") : text(place).includes(part)));
  const fits = [...places.values()].filter((place) => keep(place) && (!kind || names.get(place)?.concept === kind) && hits(place));
  histogram(fits);
  listed = fits.filter((place) => !picked.size || picked.has(bin(place))).sort((a, b) => compared(a, b, key, way));
  at("count").textContent = `${listed.length.toLocaleString("en")} of ${places.size.toLocaleString("en")} that fire; ${(data.latents - places.size).toLocaleString("en")} are silent.`;
  room.style.height = `${listed.length * ROW}px`;
  drawn = "";
  if (!listed.includes(chosen) && listed.length) choose(listed[0]); else { reach(); show(); }
}

function histogram(fits) {
  const counts = new Array(BINS).fill(0);
  for (const place of fits) counts[bin(place)] += 1;
  const high = Math.max(...counts, 1);
  at("bins").classList.toggle("picked", picked.size > 0);
  at("bins").replaceChildren(...counts.map((count, k) => {
    const button = made("button"), bar = made("span"), from = 10 ** (least + k * (most - least) / BINS);
    button.type = "button";
    button.title = `${count} latents from ${percent(from)} of tokens`;
    button.setAttribute("aria-label", button.title);
    button.setAttribute("aria-pressed", String(picked.has(k)));
    bar.style.setProperty("--v", String(Math.sqrt(count / high)));
    button.append(bar);
    button.addEventListener("click", () => { if (!picked.delete(k)) picked.add(k); refresh(); });
    return button;
  }));
}

function entry(place, k) {
  const row = made("div", undefined, "entry"), own = names.get(place), page = pages.get(place), name = shownName(place);
  row.style.top = `${k * ROW}px`;
  row.id = `entry-${place}`;
  row.dataset.place = place;
  row.setAttribute("role", "option");
  row.setAttribute("aria-selected", String(place === chosen));
  const image = page?.thumb ? Object.assign(made("img"), { src: page.thumb, alt: "" }) : made("div", undefined, "blank");
  const middle = made("div"), top = made("b", `${columns.latent[place]} `);
  top.append(made("span", name));
  const says = own?.refused ? "no name found" : words(place).map(dotted).join(" ");
  middle.append(top, made("small", says, "faint"));
  const score = (key, digits) => made("span", own?.[key] === null || own?.[key] === undefined ? "\u2013" : own[key].toFixed(digits));
  row.append(image, middle, made("span", percent(columns.density[place])), score("iou", 2), score("clip", 1));
  return row;
}

// Only the lines in view are in the document.
function show() {
  const from = Math.max(0, Math.floor(sheet.scrollTop / ROW) - SPARE), to = Math.min(listed.length, from + Math.ceil(sheet.clientHeight / ROW) + 2 * SPARE);
  const key = `${from} ${to} ${chosen}`;
  if (key === drawn) return;
  drawn = key;
  room.replaceChildren(...listed.slice(from, to).map((place, k) => entry(place, from + k)));
  if (chosen !== null) sheet.setAttribute("aria-activedescendant", `entry-${chosen}`);
}

function reach() {
  const k = listed.indexOf(chosen), space = sheet.clientHeight - 2 * ROW;
  if (k >= 0 && (k * ROW < sheet.scrollTop || k * ROW > sheet.scrollTop + space)) sheet.scrollTop = Math.max(0, k * ROW - space / 2);
}

function address() {
  const now = new URLSearchParams({ latent: columns.latent[chosen] });
  for (const id of ["search", "by", "class", "which", "order"]) if (at(id).value && at(id).value !== at(id).dataset.start) now.set(id, at(id).value);
  return `#${now}`;
}

// `come`: the page in the frame went there by itself.
function choose(place, come) {
  chosen = place;
  reach(); show();
  history.replaceState(null, "", address());
  const paged = columns.paged[place] === 1;
  at("stand").hidden = !paged;
  at("lonely").hidden = paged;
  if (!paged) return lonely(place);
  const theme = document.documentElement.dataset.theme, more = new URLSearchParams({ view, ...(theme ? { theme } : {}) });
  const wanted = pageOf(columns.latent[place]);
  if (!come && asked !== wanted) at("stand").src = `${wanted}#${more}`;
  asked = wanted;
}

function lonely(place) {
  const own = names.get(place);
  at("lonely").replaceChildren(
    made("h2", `Latent ${columns.latent[place]}`), made("p", own && !own.refused ? own.refined : "No name."),
    made("p", `Fires at ${percent(columns.density[place])} of the tokens, in ${percent(columns.pictures[place])} of ${data.samples} pictures; highest value ${number(columns.highest[place])}.`),
    made("p", "It has no page: raise multimodal_sae.show.latents for more of them.", "faint"),
  );
}

function step(by) {
  if (!listed.length) return;
  choose(listed[Math.min(listed.length - 1, Math.max(0, listed.indexOf(chosen) + by))]);
}

const inPage = (message) => at("stand").contentWindow?.postMessage(message, "*");
const DOES = {
  ArrowDown: () => step(1), ArrowUp: () => step(-1), j: () => step(1), k: () => step(-1), Home: () => step(-Infinity),
  End: () => step(Infinity), "/": () => at("search").focus(), m: () => inPage({ next: "view" }), t: turn,
};

// A page tells where it is, how it shows masks, and which of our keys were pressed in it.
function heard(event) {
  const own = event.data;
  if (event.source !== at("stand").contentWindow || !own) return;
  if (["mask", "raw", "dark"].includes(own.view)) view = own.view;
  if (places.has(own.latent) && places.get(own.latent) !== chosen) choose(places.get(own.latent), true);
  if (Object.hasOwn(DOES, own.key ?? "")) DOES[own.key]();
}

function turn() {
  theme();
  inPage({ theme: document.documentElement.dataset.theme });
}

function renamed() {
  names = named(at("by").value);
  const classes = [...new Set([...names.values()].map((one) => one.concept).filter(Boolean))].sort(), kept = at("class").value;
  at("class").replaceChildren(Object.assign(made("option", "any"), { value: "" }));
  options("class", classes);
  at("class").value = classes.includes(kept) ? kept : "";
}

for (const [value, [text]] of Object.entries(ORDERS)) at("order").append(Object.assign(made("option", text), { value }));
at("by").append(...[["best", "best of all"], ...explainers.map((own) => [own, own === "oracle" ? "oracle, which knows the masks" : own])].map(([value, text]) => Object.assign(made("option", text), { value })));
at("by").disabled = !explainers.length;
at("order").value = explainers.length ? "iou" : "density";
for (const id of ["by", "order"]) at(id).dataset.start = at(id).value;
renamed();
for (const id of ["search", "by", "class", "which", "order"]) {
  const kept = told.get(id);
  if (kept !== null && (id === "search" || [...at(id).options].some((one) => one.value === kept))) at(id).value = kept;
  if (id === "by") renamed();
  at(id).addEventListener("input", () => { if (id === "by") renamed(); refresh(); history.replaceState(null, "", chosen === null ? "#" : address()); });
}
at("low").textContent = percent(10 ** least);
at("high").textContent = percent(10 ** most);
at("theme").addEventListener("click", turn);
sheet.addEventListener("scroll", show);
addEventListener("resize", show);
addEventListener("message", heard);
room.addEventListener("click", (event) => {
  const row = event.target.closest(".entry");
  if (row) choose(Number(row.dataset.place));
});
keys({ step }, { ...DOES, Enter: () => { if (chosen !== null && columns.paged[chosen]) location.href = pageOf(columns.latent[chosen]); } });
chosen = places.get(Number(told.get("latent") ?? NaN)) ?? null;
refresh();
if (chosen !== null) choose(chosen);
