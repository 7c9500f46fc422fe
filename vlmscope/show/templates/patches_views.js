// What is looked at. `word` and the rest stand in the page's address; `hover` is a position under the pointer.
// Begins where the last layer says the class most, on the object.
const clearest = data.patches.reduce((best, patch) => share[place(layers - 1, first + patch)] > share[place(layers - 1, first + best)] ? patch : best, data.patches[0] ?? 0);
const start = { layer: layers - 1, position: first + clearest, word: data.class, match: "whole", by: "word", over: "layer" };
const state = { ...start, cut: data.threshold, pins: [], hover: null, marked: null, found: matching(data.class, "whole") };
const isClass = () => state.match === "whole" && state.word.trim().toLowerCase() === data.class.toLowerCase();
const looked = () => state.hover ?? state.position;
const shareMap = (layer) => isClass() || !state.word.trim() ? classMap(layer) : wordMap(layer, state.found);
const MAPS = {
  top: (layer) => perPatch((position) => probs[place(layer, position) * kept] / STEPS),
  word: shareMap,
  same: (layer) => perPatch((position) => topIs(layer, position, state.found) ? 1 : 0),
  depth: () => perPatch((position) => {
    for (let layer = 0; layer < layers; layer += 1) if (likeliest(layer, position, state.found) > 0) return layers - layer;
    return 0;
  }),
  share: classMap,
  rank: (layer) => perPatch((position) => 1 / (1 + rank[place(layer, position)])),
  norm: () => data.norms.length === patches ? data.norms : perPatch(() => 0),
};
const mapsOf = (one) => Array.from({ length: layers }, (_, layer) => one(layer));
// Colors reach from nothing to the most of all layers, so that layers can be compared.
let colors = { maps: [], most: 1 }, cuts = { maps: [], scores: [] };

function prepare() {
  const most = (maps) => maps.reduce((a, map) => Math.max(a, ...map), 0);
  const maps = state.by === "none" ? [] : ["depth", "norm"].includes(state.by) ? [MAPS[state.by]()] : mapsOf(MAPS[state.by]);
  colors = { maps, most: most(maps) };
  cuts.maps = mapsOf(shareMap);
  recut();
}

function recut() { cuts.scores = cuts.maps.map((map) => overlap(map, state.cut)); }

const colored = () => colors.maps[colors.maps.length === 1 ? 0 : state.layer];
const scored = () => state.over === "layer" ? cuts.scores[state.layer] : overlap(pooled(cuts.maps, state.over), state.cut);

// Lines along the edges of a set of patches.
function outline(brush, has, cell, ink, width, dash = []) {
  brush.strokeStyle = ink; brush.lineWidth = width; brush.setLineDash(dash); brush.beginPath();
  for (let patch = 0; patch < patches; patch += 1) {
    if (!has(patch)) continue;
    const row = Math.floor(patch / side), column = patch % side, x = column * cell, y = row * cell;
    if (!row || !has(patch - side)) { brush.moveTo(x, y); brush.lineTo(x + cell, y); }
    if (row === side - 1 || !has(patch + side)) { brush.moveTo(x, y + cell); brush.lineTo(x + cell, y + cell); }
    if (!column || !has(patch - 1)) { brush.moveTo(x, y); brush.lineTo(x, y + cell); }
    if (column === side - 1 || !has(patch + 1)) { brush.moveTo(x + cell, y); brush.lineTo(x + cell, y + cell); }
  }
  brush.stroke();
}

function written(brush, cell) {
  brush.font = `${Math.max(9, Math.min(cell / 4, 22))}px system-ui, sans-serif`;
  brush.textBaseline = "middle"; brush.fillStyle = "#fff"; brush.strokeStyle = "#000"; brush.lineWidth = 3; brush.setLineDash([]);
  for (let patch = 0; patch < patches; patch += 1) {
    const text = data.texts[tokens[place(state.layer, first + patch) * kept]];
    const x = (patch % side) * cell + 2, y = (Math.floor(patch / side) + 0.5) * cell;
    brush.strokeText(text, x, y, cell - 4);
    brush.fillText(text, x, y, cell - 4);
  }
}

function paint() {
  const canvas = at("cover"), cell = Math.ceil(840 / side), size = cell * side;
  if (canvas.width !== size) { canvas.width = size; canvas.height = size; }
  const brush = canvas.getContext("2d");
  brush.clearRect(0, 0, size, size);
  if (state.by !== "none") {
    colored().forEach((value, patch) => {
      const [r, g, b] = color(colors.most ? value / colors.most : 0);
      brush.fillStyle = `rgba(${r}, ${g}, ${b}, .62)`;
      brush.fillRect((patch % side) * cell, Math.floor(patch / side) * cell, cell, cell);
    });
  }
  if (at("show-grid").checked) outlineAll(brush, cell);
  if (at("show-first").checked) written(brush, cell);
  const sets = [[at("show-object").checked && ((p) => inside.has(p)), "#fff", 4]];
  if (at("show-cut").checked) { const { above } = scored(); sets.push([(p) => above[p], "#4fd1ff", 4, [10, 7]]); }
  if (state.marked) { const marked = new Set(state.marked); sets.push([(p) => marked.has(p), "#ff4fd1", 5]); }
  for (const pin of state.pins) sets.push([(p) => p + first === pin, "#7dff6a", 5]);
  sets.push([(p) => p + first === looked(), "#ffa04d", 7]);
  for (const [has, ink, width, dash] of sets) {
    if (!has) continue;
    outline(brush, has, cell, "rgba(0, 0, 0, .75)", width + 3);
    outline(brush, has, cell, ink, width, dash);
  }
}

function outlineAll(brush, cell) {
  for (let patch = 0; patch < patches; patch += 1) {
    brush.strokeStyle = "rgba(255, 255, 255, .45)"; brush.lineWidth = 1; brush.setLineDash([]);
    brush.strokeRect((patch % side) * cell, Math.floor(patch / side) * cell, cell, cell);
  }
}

const LEGENDS = {
  top: "probability of the first token", same: "first token is the word", rank: "1 / rank, one is likeliest",
  norm: "length of the token in front of the decoder", none: "",
};
function legend() {
  const shown = state.by === "word" && isClass() ? "share" : state.by, quoted = `\u201c${state.word.trim()}\u201d`;
  at("what").textContent = shown === "depth" ? `first layer where ${quoted} is among the ${kept} likeliest`
    : shown === "share" ? `probability of \u201c${data.class}\u201d, complete`
      : shown === "word" ? `probability of ${quoted} where it is among the ${kept} likeliest` : LEGENDS[shown];
  at("low").textContent = shown === "depth" ? "never" : "0";
  const text = shown === "depth" ? `layer ${layers - colors.most}` : ["norm", "rank", "same"].includes(shown) ? number(colors.most) : percent(colors.most);
  at("high").textContent = shown === "depth" && !colors.most ? "" : text;
  for (const one of ["low", "high"]) at(one).hidden = shown === "none";
}

function entry(layer, position, k) {
  const here = place(layer, position) * kept + k, cell = made("td"), text = data.texts[tokens[here]];
  cell.append(made("span", text), " ", made("small", probs[here] ? percent(probs[here] / STEPS) : "< 0.002\u00a0%"));
  cell.title = `token ${ids[here]}`;
  cell.style.setProperty("--v", (probs[here] / STEPS).toFixed(3));
  cell.classList.toggle("match", state.found[tokens[here]] === 1);
  return cell;
}

// Rows are layers, the last one on top.
function reading(id, head, cells) {
  const body = made("tbody"), top = made("thead"), line = made("tr");
  line.append(...["layer", ...head].map((text) => made("th", text)));
  top.append(line);
  for (let layer = layers - 1; layer >= 0; layer -= 1) {
    const row = made("tr"), name = made("th", String(layer));
    if (layer === state.layer) row.setAttribute("aria-current", "true");
    row.dataset.layer = layer;
    row.append(name, ...cells(layer));
    body.append(row);
  }
  at(id).replaceChildren(top, body);
}

function panel() {
  const position = looked(), patch = position - first;
  at("here").textContent = isPatch(position) ? `${named(position)}: row ${Math.floor(patch / side)}, column ${patch % side}` : `${named(position)}: text`;
  const own = isPatch(position) ? [inside.has(patch) ? `On the ${data.class}` : `Beside the ${data.class}`] : [];
  if (isPatch(position) && data.norms.length === patches) own.push(`length ${number(data.norms[patch])}`);
  own.push(`at layer ${state.layer} \u201c${data.class}\u201d has rank ${rank[place(state.layer, position)] + 1}, ${percent(share[place(state.layer, position)] / STEPS)}`);
  at("about").textContent = `Position ${position}. ${own.join("; ")}.`;
  const ranks = Array.from({ length: kept }, (_, k) => k);
  reading("reading", ranks.map((k) => k ? String(k + 1) : "first"), (layer) => ranks.map((k) => entry(layer, position, k)));
  at("pinned").hidden = !state.pins.length;
  if (state.pins.length) reading("pins", state.pins.map(named), (layer) => state.pins.map((pin) => entry(layer, pin, 0)));
}

function columns(id, values, most, label) {
  at(id).replaceChildren(...values.map((value, layer) => {
    const button = made("button"), bar = made("span"), step = Math.ceil(layers / 17);
    button.type = "button";
    button.dataset.layer = layer;
    button.title = label(layer);
    button.setAttribute("aria-label", label(layer));
    button.setAttribute("aria-pressed", String(layer === state.layer));
    bar.style.setProperty("--v", String(most ? value / most : 0));
    button.append(bar, layer % step && layer !== state.layer ? "\u00a0" : String(layer));
    return button;
  }));
}

function about() {
  const quoted = `\u201c${state.word.trim()}\u201d`, count = (test) => mapsOf((layer) => perPatch((p) => test(layer, p)).filter(Boolean).length);
  const tops = count((layer, p) => topIs(layer, p, state.found)), seen = count((layer, p) => likeliest(layer, p, state.found) > 0);
  const from = seen.findIndex((one) => one > 0), best = tops.indexOf(Math.max(...tops));
  at("word-head").textContent = state.word.trim() ? `Where the layers say ${quoted}` : "No word to look for";
  const texts = data.texts.filter((_, k) => state.found[k]);
  at("word-note").textContent = !state.word.trim() ? "" : from < 0 ? `No patch has it among its ${kept} likeliest tokens in any layer.`
    : `Among the ${kept} likeliest from layer ${from} on; most often first in layer ${best}, at ${tops[best]} of ${patches} patches. Tokens: ${texts.slice(0, 12).join(" ")}${texts.length > 12 ? " \u2026" : ""}`;
  columns("word-layers", tops, Math.max(...tops), (layer) => `layer ${layer}: first at ${tops[layer]} patches, among the ${kept} likeliest at ${seen[layer]}`);
}

function segmentation() {
  const own = scored(), shown = isClass() || !state.word.trim() ? data.class : state.word.trim();
  at("cut-note").textContent = `Patches where the map of \u201c${shown}\u201d is above a share of its maximum, against the patches of the ${data.class}.`;
  at("cut-shown").textContent = percent(state.cut);
  const where = state.over === "layer" ? `Layer ${state.layer}` : "Over all layers";
  at("cut-score").textContent = `${where}: overlap (IoU) ${number(own.iou)}, average precision ${number(own.ap)}, highest patch ${own.pointing ? "on" : "beside"} the object.`;
  columns("cut-layers", cuts.scores.map((one) => one.iou), 1, (layer) => `layer ${layer}: IoU ${number(cuts.scores[layer].iou)}`);
}
