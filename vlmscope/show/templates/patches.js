const HEIGHT = 24, SPARE = 8;
const lines = at("lines"), body = at("grid").tBodies[0];
// `asked`: what is shown was asked for by the address, and not chosen here.
let rows = [], drawn = "", timer = 0, asked = false;

const KINDS = {
  all: () => true, patches: isPatch, text: (position) => !isPatch(position), object: (position) => isPatch(position) && inside.has(position - first),
  word: (position) => mapsOf((layer) => likeliest(layer, position, state.found)).some((one) => one > 0),
};

function refill() {
  rows = Array.from({ length: positions }, (_, position) => position).filter(KINDS[at("rows").value]);
  at("count").textContent = `${rows.length} of ${positions} positions`;
  drawn = "";
  fill();
}

function gap(count) {
  const row = made("tr", undefined, "gap"), cell = made("td");
  cell.colSpan = layers + 1;
  cell.style.height = `${count * HEIGHT}px`;
  row.append(cell);
  return row;
}

function line(position) {
  const row = made("tr"), name = made("th", `${position}  ${named(position)}`);
  if (isPatch(position) && inside.has(position - first)) name.className = "inside";
  row.dataset.position = position;
  row.append(name);
  for (let layer = 0; layer < layers; layer += 1) {
    const here = place(layer, position) * kept, cell = made("td", data.texts[tokens[here]]);
    cell.dataset.layer = layer;
    cell.style.setProperty("--v", (probs[here] / STEPS).toFixed(3));
    if (state.found[tokens[here]]) cell.classList.add("match");
    if (position === state.position && layer === state.layer) cell.classList.add("now");
    row.append(cell);
  }
  return row;
}

// Only the rows in view, and a few around them, are in the document.
function fill() {
  const from = Math.max(0, Math.floor(lines.scrollTop / HEIGHT) - SPARE);
  const to = Math.min(rows.length, Math.ceil((lines.scrollTop + lines.clientHeight) / HEIGHT) + SPARE);
  const key = `${from} ${to} ${state.position} ${state.layer} ${state.lens}`;
  if (key !== drawn) body.replaceChildren(gap(from), ...rows.slice(from, to).map(line), gap(rows.length - to));
  drawn = key;
  for (const row of body.rows) row.cells[0].toggleAttribute("aria-current", row.dataset.position === String(looked()));
  for (const head of at("grid").tHead.rows[0].cells) head.toggleAttribute("aria-current", head.dataset.layer === String(state.layer));
}

function head() {
  const row = at("grid").tHead.insertRow();
  row.append(made("th", "position"));
  for (let layer = 0; layer < layers; layer += 1) row.append(Object.assign(made("th", `layer ${layer}`), { scope: "col" }));
  [...row.cells].slice(1).forEach((cell, layer) => { cell.dataset.layer = layer; });
}

function reach() {
  const row = rows.indexOf(state.position), top = row * HEIGHT, height = lines.clientHeight - 2 * HEIGHT;
  if (row >= 0 && (top < lines.scrollTop || top > lines.scrollTop + height)) lines.scrollTop = Math.max(0, top - height / 2);
  const { cells } = at("grid").tHead.rows[0], cell = cells[state.layer + 1], name = cells[0].offsetWidth;
  if (cell.offsetLeft - name < lines.scrollLeft) lines.scrollLeft = Math.max(0, cell.offsetLeft - name - 20);
  else if (cell.offsetLeft + cell.offsetWidth > lines.scrollLeft + lines.clientWidth) lines.scrollLeft = cell.offsetLeft + cell.offsetWidth - lines.clientWidth;
}

// What is chosen from lists, and stands in the address.
const CHOSEN = ["match", "by", "over", "lens", "head"], NAMED = ["word", ...CHOSEN];

function address() {
  const told = new URLSearchParams({ layer: state.layer });
  if (isPatch(state.position)) told.set("patch", state.position - first); else told.set("position", state.position);
  for (const name of NAMED) if (state[name] !== start[name] || name === "word") told.set(name, state[name]);
  if (state.query !== start.query) told.set("query", looks.queries[state.query]);
  if (state.pins.length) told.set("pins", state.pins.join(" "));
  return `#${told}`;
}

// The rest of the page after a change; `deep`: of the word or of what is colored.
function draw(deep) {
  if (deep) { ({ k: kept, tokens, probs } = LENSES[state.lens]); state.found = matching(state.word, state.match); prepare(); about(); refill(); }
  at("layer").value = state.layer;
  at("layer").setAttribute("aria-valuetext", `layer ${state.layer} of ${layers - 1}`);
  at("layer-shown").textContent = state.layer;
  at("pin").setAttribute("aria-pressed", String(state.pins.includes(state.position)));
  for (const button of at("word-layers").children) button.setAttribute("aria-pressed", String(Number(button.dataset.layer) === state.layer));
  legend(); segmentation(); looking(); panel(); paint(); reach(); fill();
  const now = address();
  if (location.hash !== now) {
    history.replaceState(null, "", now);
    if (window.parent !== window && !asked) window.parent.postMessage({ layer: state.layer, layers, patch: state.position - first, side }, "*");
  }
}

function glance(position) { if (state.hover !== position) { state.hover = position; panel(); paint(); fill(); } }
// A position of the text is also one that looks at the picture.
function choose(change, deep) {
  const query = looks.queries.indexOf(change.position), other = query >= 0 && query !== state.query;
  Object.assign(state, change, other && change.query === undefined ? { query } : {});
  state.hover = null;
  draw(deep || (other && state.by === "look"));
}
const inRange = (value, end) => Math.min(end - 1, Math.max(0, value));
function step(by) { choose({ layer: inRange(state.layer + by, layers) }); }

function move(down, right) {
  const patch = state.position - first;
  if (!isPatch(state.position)) return choose({ position: inRange(state.position + down + right, positions) });
  const row = inRange(Math.floor(patch / side) + down, side), column = inRange(patch % side + right, side);
  choose({ position: first + row * side + column });
}

function pin() {
  const own = state.position;
  choose({ pins: state.pins.includes(own) ? state.pins.filter((one) => one !== own) : [...state.pins, own] });
}

function play(on = !timer) {
  clearInterval(timer);
  timer = on ? setInterval(() => choose({ layer: (state.layer + 1) % layers }), 500) : 0;
  at("play").textContent = timer ? "Stop" : "Play";
  at("play").setAttribute("aria-pressed", String(Boolean(timer)));
}

function copy() {
  const quote = (text) => `"${String(text).replaceAll('"', '""')}"`, found = [`layer,rank,id,token,${state.lens === "cosine" ? "cosine" : "probability"}`];
  for (let layer = 0; layer < layers; layer += 1) for (let k = 0; k < kept; k += 1) {
    const here = place(layer, state.position) * kept + k;
    if (tokens[here] !== NOTHING) found.push([layer, k + 1, vocabulary[tokens[here]], quote(data.texts[tokens[here]]), (probs[here] / STEPS).toFixed(6)].join(","));
  }
  Object.assign(at("csv"), { value: `${found.join("\n")}\n`, hidden: false }).select();
  if (navigator.clipboard) navigator.clipboard.writeText(at("csv").value).catch(() => at("csv").select());
}

// What the address asks for; whatever makes no sense is passed over.
function wanted() {
  const told = new URLSearchParams(location.hash.slice(1)), change = {}, whole = (name, end) => {
    const value = Number(told.get(name));
    return told.has(name) && Number.isInteger(value) && value >= 0 && value < end ? value : undefined;
  };
  const layer = whole("layer", layers), patch = whole("patch", patches), position = whole("position", positions);
  if (layer !== undefined) change.layer = layer;
  if (patch !== undefined) change.position = first + patch; else if (position !== undefined) change.position = position;
  if (told.has("word")) change.word = told.get("word");
  if (told.has("query") && looks.queries.includes(Number(told.get("query")))) change.query = looks.queries.indexOf(Number(told.get("query")));
  for (const name of CHOSEN) if ([...at(name).options].some((one) => one.value === told.get(name))) change[name] = told.get(name);
  if (told.has("pins")) change.pins = told.get("pins").split(" ").map(Number).filter((one) => Number.isInteger(one) && one >= 0 && one < positions);
  const deep = ["word", "match", "by", "lens", "head", "query"].some((name) => name in change && change[name] !== state[name]);
  asked = true;
  choose(change, deep || !colors.maps.length);
  asked = false;
  for (const name of NAMED) at(name).value = state[name];
}

// Tokens of a row stay outlined until it is clicked again.
function hold(row, which) {
  state.held = state.held === which ? null : which;
  for (const other of document.querySelectorAll(".says tr[aria-current]")) other.removeAttribute("aria-current");
  if (state.held) row.setAttribute("aria-current", "true");
  paint();
}

function said(name, found) {
  const table = made("table", undefined, "says"), top = made("tr"), part = made("div");
  // An answer that is wrong anyway is not lost.
  const before = found.find(([condition]) => condition === "none")?.[3];
  top.append(made("th", name), made("th", "answer"), made("th"));
  table.append(top);
  for (const [condition, size, text, ok, which] of found) {
    const gone = !ok && before, row = made("tr"), verdict = made("td", ok ? "right" : gone ? "lost" : "wrong", gone ? "lost" : "");
    row.append(made("td", size === null ? condition : `${condition} ${size}`), made("td", text, "text"), verdict);
    if (which?.length) {
      const show = (on) => () => { state.marked = on ? which : null; paint(); };
      row.tabIndex = 0;
      for (const [event, on] of [["mouseenter", 1], ["focus", 1], ["mouseleave", 0], ["blur", 0]]) row.addEventListener(event, show(on));
      row.addEventListener("click", () => hold(row, which));
      row.addEventListener("keydown", (event) => { if (event.key === "Enter") hold(row, which); });
    }
    table.append(row);
  }
  part.append(table);
  return part;
}

// Rows are sources and targets, columns windows of layers.
function blocked() {
  const windows = [...new Set(data.blocked.map((one) => one[2]))].filter(Boolean), groups = new Map();
  for (const [source, target, ...rest] of data.blocked) {
    const name = source ? `${source} \u2192 ${target}` : "none";
    groups.set(name, [...(groups.get(name) ?? []), rest]);
  }
  const table = made("table", undefined, "says"), top = made("tr"), part = made("div", undefined, "broad");
  const before = data.blocked.find(([source]) => !source)?.[4];
  top.append(...["attention blocked", "", ...windows].map((text) => made("th", text)));
  table.append(top);
  for (const [name, found] of groups) {
    const row = made("tr"), of = (within) => found.find((one) => (one[0] ?? "") === within);
    row.append(made("td", name), ...["", ...windows].map((within) => made("td", of(within)?.[1] ?? "", before && of(within)?.[2] === false ? "lost" : "")));
    table.append(row);
  }
  part.append(table);
  return part;
}

const SETTINGS = { generative: "described", polling: "asked whether it is there", vqa: "asked for it" };
function answers() {
  const parts = Object.entries(SETTINGS).map(([setting, name]) => [name, data.answers.filter((one) => one[0] === setting).map((one) => one.slice(1))]);
  const found = parts.filter(([, each]) => each.length);
  at("groups").replaceChildren(...found.map(([name, each]) => said(name, each)));
  if (data.blocked.length) at("groups").append(blocked());
  if (!at("groups").children.length) at("groups").append(made("p", "This picture was not among those that were asked without some tokens.", "faint"));
}

function suggest() {
  const seen = new Map();
  for (let layer = 0; layer < layers; layer += 1) for (let p = first; p < first + patches; p += 1) {
    const text = data.texts[tokens[place(layer, p) * kept]];
    seen.set(text, (seen.get(text) ?? 0) + 1);
  }
  const best = [...seen].sort((a, b) => b[1] - a[1]).slice(0, 100);
  at("known").replaceChildren(...best.map(([text]) => Object.assign(made("option"), { value: text.replace(/^\u00b7/, "") })));
}

function patchUnder(event) {
  const box = at("cover").getBoundingClientRect(), spot = (value, size) => inRange(Math.floor(value / size * side), side);
  return first + spot(event.clientY - box.top, box.height) * side + spot(event.clientX - box.left, box.width);
}

const layerOf = (event) => event.target.closest("[data-layer]")?.dataset.layer;
at("cover").addEventListener("mousemove", (event) => glance(patchUnder(event)));
at("cover").addEventListener("mouseleave", () => glance(null));
at("cover").addEventListener("click", (event) => { choose({ position: patchUnder(event) }); });
for (const id of ["reading", "pins", "word-layers", "cut-layers"]) {
  at(id).addEventListener("click", (event) => { if (layerOf(event) !== undefined) choose({ layer: Number(layerOf(event)) }); });
}
body.addEventListener("mouseover", (event) => { const row = event.target.closest("[data-position]"); if (row) glance(Number(row.dataset.position)); });
lines.addEventListener("mouseleave", () => glance(null));
at("grid").addEventListener("click", (event) => {
  const row = event.target.closest("[data-position]"), layer = layerOf(event);
  const change = { ...(row && { position: Number(row.dataset.position) }), ...(layer !== undefined && { layer: Number(layer) }) };
  if (Object.keys(change).length) choose(change);
});
lines.addEventListener("scroll", fill);
lines.addEventListener("keydown", (event) => {
  const steps = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }, by = steps[event.key];
  const across = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (event.ctrlKey || event.metaKey || event.altKey || !(by || across) || !rows.length) return;
  event.preventDefault();
  event.stopPropagation();
  if (across) return step(across);
  choose({ position: rows[inRange(rows.indexOf(state.position) + by, rows.length)] });
});
at("layer").addEventListener("input", () => choose({ layer: Number(at("layer").value) }));
at("play").addEventListener("click", () => play());
at("pin").addEventListener("click", pin);
at("copy").addEventListener("click", copy);
at("theme").addEventListener("click", theme);
at("word").addEventListener("input", () => choose({ word: at("word").value }, true));
for (const name of ["match", "by", "lens", "head"]) at(name).addEventListener("change", () => choose({ [name]: at(name).value }, true));
at("query").addEventListener("change", () => choose({ query: Number(at("query").value), head: "mean" }, true));
at("over").addEventListener("change", () => choose({ over: at("over").value }));
at("cut").addEventListener("input", () => { state.cut = Number(at("cut").value); recut(); draw(); });
at("rows").addEventListener("change", refill);
for (const id of ["show-object", "show-cut", "show-grid", "show-first", "show-long"]) at(id).addEventListener("change", paint);
addEventListener("hashchange", wanted);

function recolor() {
  const choices = [...at("by").options].map((one) => one.value);
  at("by").value = choices[(choices.indexOf(state.by) + 1) % choices.length];
  choose({ by: at("by").value }, true);
}

keys({ step: () => {}, choose }, {
  ArrowUp: () => move(-1, 0), ArrowDown: () => move(1, 0), ArrowLeft: () => move(0, -1), ArrowRight: () => move(0, 1),
  Home: () => choose({ layer: 0 }), End: () => choose({ layer: layers - 1 }), ",": () => step(-1), ".": () => step(1),
  "/": () => at("word").focus(), m: recolor, p: pin, j: () => step(-1), k: () => step(1),
});
// Beside other pages the one around them chooses the colors.
addEventListener("message", (event) => {
  if (window.parent !== window && event.source === window.parent && ["dark", "light"].includes(event.data?.theme)) document.documentElement.dataset.theme = event.data.theme;
});
if (window.parent !== window) document.documentElement.dataset.framed = "true";
at("picture").addEventListener("load", () => at("picture").classList.toggle("smooth", at("picture").naturalWidth > 200));
at("picture").src = data.picture;
at("cut").value = state.cut;
head(); suggest(); answers(); lookers(); wanted();
