// Map of the picture and noun that are shown: a name such as "10" (mean over the ten best) or "L2_u22" (one neuron).
let shown = null, chosen = 0, map = "", view = "heat", activation = data.activations[0];
// How strongly colors and black cover the picture, of 255, as in the released code.
const HEAT_COVER = 127, MASK_COVER = 200;
const maps = new WeakMap();

function grid(one, rows, columns) {
  if (!maps.has(one)) {
    const [, low, high, text] = one, bytes = atob(text);
    const step = (k) => bytes.charCodeAt(2 * k) + 256 * bytes.charCodeAt(2 * k + 1);
    maps.set(one, Float64Array.from({ length: rows * columns }, (_, k) => low + (high - low) * step(k) / 65535));
  }
  return maps.get(one);
}

// First cell and share of the second for every pixel of a line: see vlmscope/mm_neurons/image/maps.py.
function weights(size, cells) {
  return Array.from({ length: size }, (_, pixel) => {
    if (cells === 1) return [0, 0];
    const centre = Math.min(cells - 1, Math.max(0, (pixel + 0.5) * cells / size - 0.5));
    const place = data.interpolation === "official" ? pixel * cells / size : centre;
    const first = Math.min(Math.floor(place), cells - 2);
    return [first, place - first];
  });
}

function enlarged(values, rows, columns, height, width) {
  const down = weights(height, rows), across = weights(width, columns), found = new Float64Array(height * width);
  const next = columns > 1 ? 1 : 0, below = rows > 1 ? columns : 0;
  for (let y = 0; y < height; y += 1) {
    const [row, v] = down[y];
    for (let x = 0; x < width; x += 1) {
      const [column, u] = across[x], k = row * columns + column;
      found[y * width + x] = (1 - v) * ((1 - u) * values[k] + u * values[k + next])
        + v * ((1 - u) * values[k + below] + u * values[k + below + next]);
    }
  }
  return found;
}

// Linear between values, as numpy's.
function percentile(values, percent) {
  const sorted = Float64Array.from(values).sort(), place = (sorted.length - 1) * percent / 100, low = Math.floor(place);
  return sorted[low] + (place - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

function overlay(one, [rows, columns], height, width) {
  const canvas = Object.assign(made("canvas"), { width, height });
  const values = enlarged(grid(one, rows, columns), rows, columns, height, width);
  const brush = canvas.getContext("2d"), pixels = brush.createImageData(width, height);
  const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
  const bar = view === "mask" ? percentile(values, data.percentile) : 0;
  values.forEach((value, k) => {
    const rgba = view === "mask"
      ? [0, 0, 0, value > bar ? 0 : MASK_COVER]
      : [...color(high > low ? (value - low) / (high - low) : 0), HEAT_COVER];
    pixels.data.set(rgba, 4 * k);
  });
  brush.putImageData(pixels, 0, 0);
  return canvas;
}

function picture(one, label) {
  const node = made("div", undefined, "large");
  const image = Object.assign(made("img"), { src: shown.address, alt: label });
  node.append(image);
  const own = current();
  if (one && own && view !== "off") node.append(overlay(one, own.grid, shown.height, shown.width));
  return node;
}

const current = () => shown.nouns[chosen]?.by[activation];
const mapName = (text) => text.startsWith("L") ? text.replace("_", ".") : text === "1" ? "best" : `mean of ${text}`;
function caption() {
  const node = made("p", undefined, "caption");
  for (const [text, noun] of shown.pieces) {
    if (noun < 0) { node.append(text); continue; }
    const button = made("button", text), one = shown.nouns[noun];
    button.type = "button";
    button.setAttribute("aria-pressed", String(noun === chosen));
    if (one.in_picture === false) { button.classList.add("absent"); button.title = "The picture does not show it."; }
    button.addEventListener("click", () => pick(noun));
    node.append(button);
  }
  return node;
}

function remarks() {
  const notes = [], one = shown.nouns[chosen];
  if (shown.reference) notes.push(`Caption of the data set: ${shown.reference}`);
  for (const [noun, why] of shown.dropped) notes.push(`Not looked at: ${noun} (${why}).`);
  if (one?.in_picture === false) notes.push(`The picture does not show \u201c${one.noun}\u201d: the model made it up.`);
  if (one?.n_subtokens > 1) notes.push(`\u201c${one.noun}\u201d has ${one.n_subtokens} tokens; neurons are scored by the first.`);
  if (one?.starts_word === false) notes.push(`The first place of its token does not begin the word \u201c${one.noun}\u201d.`);
  return notes.map((text) => made("p", text, "faint"));
}

function strips(own) {
  const node = made("div", undefined, "strips");
  for (const one of own.maps) {
    const button = made("button");
    button.type = "button";
    button.setAttribute("aria-pressed", String(one[0] === map));
    button.append(picture(one, mapName(one[0])), made("span", mapName(one[0])));
    button.addEventListener("click", () => { map = one[0]; draw(shown); });
    node.append(button);
  }
  return node;
}

function neurons(own, noun) {
  const most = Math.max(...own.neurons.map(([, score]) => Math.abs(score)), 1e-9), names = own.maps.map((one) => one[0]);
  const rows = own.neurons.map(([place, score, below], rank) => {
    const one = data.neurons[place], name = made("span", below ? `\u2212${neuronName(one)}` : neuronName(one));
    if (below) name.title = "Active below zero here: it raises what stands at its lower end.";
    return [String(rank + 1), name, number(score), bar(Math.abs(score) / most), tokens(one[2], noun)];
  });
  const wrap = table("neurons", ["", "neuron", "score", "", "raises here"], rows, ["number faint", "", "number", "", ""]);
  [...wrap.querySelectorAll("tr")].slice(1).forEach((row, rank) => {
    const name = neuronName(data.neurons[own.neurons[rank][0]]).replace(".", "_");
    if (!names.includes(name)) return;
    const use = () => { map = name; draw(shown); };
    row.tabIndex = 0;
    row.setAttribute("role", "button");
    row.setAttribute("aria-pressed", String(map === name));
    row.title = "Show where this neuron alone is active";
    row.addEventListener("click", use);
    row.addEventListener("keydown", (event) => { if (event.key === "Enter") use(); });
  });
  return wrap;
}

const SETS = { contribution: "its neurons", random_layers: "random, same layers", random: "random" };

// Rows of one kind for the activation that is shown, by number of neurons and strength.
function steps(one, kind) {
  const rows = one.changed.filter((row) => row.kind === kind && (!row.activation || row.activation === activation));
  const size = (row) => `${row.sigma} ${row.k}`;
  return [...new Set(rows.map(size))].map((name) => rows.filter((row) => size(row) === name));
}

function rates(found, sigmas) {
  const sets = Object.keys(SETS).filter((name) => found.some((rows) => rows.some((row) => row.set === name)));
  const lines = found.map((rows) => [String(rows[0].k), ...(sigmas ? [`\u03c3 ${rows[0].sigma}`] : []), ...sets.map((name) => {
    const row = rows.find((each) => each.set === name);
    return row ? `${percent(row.gone)} (${signed(row.dlogp)})` : "";
  })]);
  const head = ["neurons", ...(sigmas ? ["noise"] : []), ...sets.map((name) => SETS[name])];
  return table("rates", head, lines, head.map((name) => name === "noise" ? "" : "number"));
}

function said(before, row) {
  const line = made("p", undefined, "said");
  line.append(made("span", `${before}: `, "faint"), row.caption || "(nothing)");
  return line;
}

const these = (row) => row.k === 1 ? "its best neuron" : `its ${row.k} best neurons`;
const others = (row) => `${row.k} random neuron${row.k === 1 ? "" : "s"}${row.set === "random" ? "" : " of the same layers"}`;
const whom = (row) => row.set === "contribution" ? these(row) : others(row);

function removed(one) {
  const found = steps(one, "zero");
  if (!found.length) return [made("p", "No neurons of this word were set to zero.", "faint")];
  const own = found.flat().filter((row) => row.set === "contribution");
  const controls = found[found.length - 1].filter((row) => row.set !== "contribution");
  return [...own.concat(controls).map((row) => said(`Without ${whom(row)}`, row)), rates(found, false)];
}

function noise(one) {
  const found = steps(one, "noise");
  if (!found.length) return [made("p", "No noise was put on the neurons of this word.", "faint")];
  return [...found[found.length - 1].map((row) => said(`Noise on ${whom(row)}`, row)), rates(found, true)];
}

function effects(one) {
  const unit = data.sigma_mode === "relative" ? " \u03c3 counts in root mean squares of a neuron's output weights." : "";
  const note = `Tables: how often the word is gone from the new caption, and the change of its log-probability where it stood.${unit}`;
  return [
    made("h3", "Set to zero, what the model writes then"), ...removed(one),
    made("h3", "Noise on their output weights"), ...noise(one), made("p", note, "faint"),
  ];
}

function draw(image) {
  if (!image) return;
  if (image !== shown) { shown = image; chosen = 0; }
  const own = current(), one = shown.nouns[chosen], parts = [caption(), ...remarks()];
  if (own && !own.maps.some((each) => each[0] === map)) map = (own.maps.find((each) => each[0] === "10") ?? own.maps[0])[0];
  const split = made("div", undefined, "split"), left = made("div"), right = made("div");
  left.append(picture(own?.maps.find((each) => each[0] === map), shown.caption));
  if (own) {
    const [, low, high] = own.maps.find((each) => each[0] === map);
    const how = shown.carried ? ", carried back from the queries that read them" : "";
    left.append(made("p", `${mapName(map)}: activation ${number(low)} to ${number(high)} at the ${own.grid.join(" \u00d7 ")} patches${how}`, "faint"), strips(own));
    right.append(made("h2", `Neurons of \u201c${one.noun}\u201d`), neurons(own, one.noun), ...effects(one));
  }
  split.append(left, right);
  parts.push(split);
  at("image").replaceChildren(...parts);
}

function pick(noun) { chosen = noun; draw(shown); }

function turn(by) {
  const count = shown?.nouns.length ?? 0;
  if (count) pick((chosen + by + count) % count);
}

function other(by) {
  const names = current()?.maps.map((one) => one[0]) ?? [];
  if (!names.length) return;
  map = names[(names.indexOf(map) + by + names.length) % names.length];
  draw(shown);
}

function line(one) {
  const image = Object.assign(made("img"), { src: one.address, alt: "", loading: "lazy" });
  return [image, made("span", one.caption)];
}

radios("activations", "activation", activationChoices(), activation, (own) => { activation = own; draw(shown); });
radios("views", "view", [["heat", "heat"], ["mask", "mask"], ["off", "off"]], view, (own) => { view = own; draw(shown); });
const list = picker({
  items: data.images, what: "pictures", name: (one) => one.sample, line, draw,
  text: (one) => `${one.sample} ${one.caption} ${one.reference ?? ""}`.toLowerCase(),
});
keys(list, {
  ArrowRight: () => turn(1), ArrowLeft: () => turn(-1), "+": () => other(1), "-": () => other(-1),
  m: () => next("view"), a: () => next("activation"),
});
