// What is looked at. `word` and the rest stand in the page's address; `hover` is a position under the pointer.
// Begins where the last layer says the class most, on the object.
const clearest = data.patches.reduce((best, patch) => share[place(layers - 1, first + patch)] > share[place(layers - 1, first + best)] ? patch : best, data.patches[0] ?? 0);
const start = { layer: layers - 1, position: first + clearest, word: data.class, match: "whole", by: "word", over: "layer", lens: "own", head: "mean", query: data.looks.queries.length - 1 };
const state = { ...start, cut: data.threshold, pins: [], hover: null, marked: null, held: null, found: matching(data.class, "whole") };
const isClass = () => state.match === "whole" && state.word.trim().toLowerCase() === data.class.toLowerCase();
const looked = () => state.hover ?? state.position;
// Of the class the own lens knows the whole probability.
const isWhole = () => !state.word.trim() || (isClass() && state.lens === "own");
const shareMap = (layer) => isWhole() ? classMap(layer) : wordMap(layer, state.found);
const strength = (value) => state.lens === "cosine" ? number(value) : percent(value);
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
  length: (layer) => perPatch((position) => lengths[place(layer, position)]),
  entropy: (layer) => perPatch((position) => entropy[place(layer, position)]),
  turned: (layer) => perPatch((position) => layer ? turned[place(layer - 1, position)] : 0),
  look: (layer) => layer ? look(layer) : perPatch(() => 0),
};
// What grows from layer to layer, or is next to nothing in most of them, reaches to the most of its own layer.
const BY_LAYER = new Set(["length", "look"]);
const mapsOf = (one) => Array.from({ length: layers }, (_, layer) => one(layer));
// Colors reach from nothing to the most of all layers, so that layers can be compared.
let colors = { maps: [], most: 1, own: [] }, cuts = { maps: [], scores: [] };

function prepare() {
  const most = (maps) => maps.reduce((a, map) => Math.max(a, ...map), 0);
  const maps = state.by === "none" ? [] : ["depth", "norm"].includes(state.by) ? [MAPS[state.by]()] : mapsOf(MAPS[state.by]);
  colors = { maps, most: most(maps), own: maps.map((one) => most([one])) };
  cuts.maps = mapsOf(shareMap);
  recut();
}

function recut() { cuts.scores = cuts.maps.map((map) => overlap(map, state.cut)); }

const brightest = () => BY_LAYER.has(state.by) ? colors.own[state.layer] : colors.most;
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
    const most = brightest();
    colored().forEach((value, patch) => {
      const [r, g, b] = color(most ? value / most : 0);
      brush.fillStyle = `rgba(${r}, ${g}, ${b}, .62)`;
      brush.fillRect((patch % side) * cell, Math.floor(patch / side) * cell, cell, cell);
    });
  }
  if (at("show-grid").checked) outlineAll(brush, cell);
  if (at("show-first").checked) written(brush, cell);
  const sets = [[at("show-object").checked && ((p) => inside.has(p)), "#fff", 4]];
  if (at("show-long").checked) sets.push([(p) => long.has(p), "#c9a6ff", 4]);
  if (at("show-cut").checked) { const { above } = scored(); sets.push([(p) => above[p], "#4fd1ff", 4, [10, 7]]); }
  if (state.marked ?? state.held) { const marked = new Set(state.marked ?? state.held); sets.push([(p) => marked.has(p), "#ff4fd1", 5]); }
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
  length: "length of the state, to the most of this layer", entropy: "entropy of the lens over the vocabulary, in nats",
  turned: "1 \u2212 cosine to the layer before",
};
function legend() {
  const shown = state.by === "word" && isWhole() ? "share" : state.by, quoted = `\u201c${state.word.trim()}\u201d`;
  at("what").textContent = shown === "depth" ? `first layer where ${quoted} is among the ${kept} likeliest`
    : shown === "share" ? `probability of \u201c${data.class}\u201d, complete`
      : shown === "look" ? `attention of ${named(looks.queries[state.query])}, to the most of this layer`
        : shown === "word" ? `${state.lens === "cosine" ? "cosine" : "probability"} of ${quoted} where it is among the ${kept} likeliest`
          : shown === "top" && state.lens === "cosine" ? "cosine of the first token" : LEGENDS[shown];
  at("low").textContent = shown === "depth" ? "never" : "0";
  const text = shown === "depth" ? `layer ${layers - colors.most}` : ["norm", "rank", "same", "length", "entropy", "turned"].includes(shown) ? number(brightest())
    : ["share", "look"].includes(shown) ? percent(brightest()) : strength(brightest());
  at("high").textContent = shown === "depth" && !colors.most ? "" : text;
  for (const one of ["low", "high"]) at(one).hidden = shown === "none";
}

function entry(layer, position, k) {
  const here = place(layer, position) * kept + k, cell = made("td"), text = data.texts[tokens[here]];
  if (tokens[here] === NOTHING) return cell;
  cell.append(made("span", text), " ", made("small", probs[here] ? strength(probs[here] / STEPS) : "< 0.002\u00a0%"));
  cell.title = `token ${vocabulary[tokens[here]]}`;
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
  if (isPatch(position) && long.has(patch)) own.push("a long token");
  own.push(`at layer ${state.layer} \u201c${data.class}\u201d has rank ${rank[place(state.layer, position)] + 1}, ${percent(share[place(state.layer, position)] / STEPS)}`);
  own.push(`entropy ${entropy[place(state.layer, position)].toFixed(2)} nats, length ${number(lengths[place(state.layer, position)])}`);
  at("about").textContent = `Position ${position}. ${own.join("; ")}.`;
  ranks([position, ...state.pins.filter((pin) => pin !== position)]);
  const best = Array.from({ length: kept }, (_, k) => k);
  reading("reading", best.map((k) => k ? String(k + 1) : "first"), (layer) => best.map((k) => entry(layer, position, k)));
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
