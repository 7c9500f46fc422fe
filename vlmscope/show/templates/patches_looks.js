// Attention to the patches, and the class's rank by layer. Block l makes layer l; layer 0 has none in front of it.
const looks = data.looks, blocks = layers - 1, paid = { mean: unpacked(looks.mean), single: unpacked(looks.single) };
const isLast = () => state.query === looks.queries.length - 1;
// Which row of which maps: single heads are known of the last position alone.
const looker = () => isLast() && state.head !== "mean" ? ["single", Number(state.head)] : ["mean", state.query];

// What is paid to every patch in the block that makes a layer.
function look(layer) {
  const [part, row] = looker(), from = (row * blocks + layer - 1) * patches, most = looks[part].most[row][layer - 1];
  return Array.from({ length: patches }, (_, patch) => paid[part][from + patch] * most / 255);
}

function lookers() {
  looks.queries.forEach((position, k) => at("query").append(Object.assign(made("option", `${position} \u201c${named(position)}\u201d${k === looks.queries.length - 1 ? ", which answers" : ""}`), { value: k })));
  looks.heads.forEach((_, k) => at("head").append(Object.assign(made("option", k ? `number ${k + 1} by attention to the picture` : "that of most attention to the picture"), { value: k })));
  at("minis").classList.toggle("many", layers > 12);
  at("minis").append(...mapsOf((layer) => layer).slice(1).map((layer) => {
    const button = made("button"), canvas = Object.assign(made("canvas"), { width: side, height: side });
    button.type = "button";
    button.dataset.layer = layer;
    button.append(canvas, made("span"));
    button.addEventListener("click", () => choose({ layer }));
    return button;
  }));
}

function mini(canvas, map) {
  const most = Math.max(...map), brush = canvas.getContext("2d"), pixels = brush.createImageData(side, side);
  map.forEach((value, patch) => pixels.data.set([...color(most ? value / most : 0), 255], 4 * patch));
  brush.putImageData(pixels, 0, 0);
}

function looking() {
  const [part, row] = looker(), onObject = (map) => map.reduce((sum, one, patch) => sum + (inside.has(patch) ? one : 0), 0);
  at("query").value = state.query;
  at("head").disabled = !isLast();
  if (!isLast()) at("head").value = "mean";
  for (const button of at("minis").children) {
    const layer = Number(button.dataset.layer), map = look(layer), picture = looks[part].picture[row][layer - 1];
    mini(button.firstChild, map);
    button.lastChild.textContent = `${layer}: ${percent(picture)}`;
    button.title = `layer ${layer}: ${percent(picture)} to the picture, ${percent(onObject(map))} to the ${data.class}`;
    button.setAttribute("aria-label", button.title);
    button.setAttribute("aria-pressed", String(layer === state.layer));
  }
  if (!state.layer) { at("look-score").textContent = "Layer 0 is what enters the decoder: no block stands in front of it."; return; }
  const picture = looks[part].picture[row][state.layer - 1], who = part === "single" ? `head ${looks.heads[row][state.layer - 1]} of ` : "";
  at("look-score").textContent = `Layer ${state.layer}: ${who}position ${looks.queries[state.query]} (\u201c${named(looks.queries[state.query])}\u201d) pays ${percent(picture)} to the picture, `
    + `${percent(onObject(look(state.layer)))} to the ${data.class}, which has ${percent(inside.size / patches)} of the patches.`;
}

// Lines of the class's rank over the whole vocabulary, best on top; the first position is the one that is looked at.
function ranks(wanted) {
  // A line at the worst rank, and at powers of ten above it.
  const LEFT = 46, RIGHT = 590, TOP = 10, BOTTOM = 145, worst = Math.log10(1 + Math.max(...wanted.map((one) => Math.max(...mapsOf((layer) => rank[place(layer, one)])))) || 1);
  const drawn = (kind, told, text) => {
    const node = document.createElementNS(at("ranks").namespaceURI, kind);
    for (const [name, value] of Object.entries(told)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const x = (layer) => LEFT + (RIGHT - LEFT) * layer / Math.max(1, layers - 1), y = (value) => TOP + (BOTTOM - TOP) * Math.log10(value + 1) / worst;
  const marks = [...[0, 9, 99, 999, 9999, 99999].filter((one) => one === 0 || Math.log10(one + 1) < worst * 0.9), Math.round(10 ** worst) - 1], step = Math.ceil(layers / 17);
  const parts = marks.flatMap((one) => [drawn("line", { x1: LEFT, x2: RIGHT, y1: y(one), y2: y(one) }), drawn("text", { x: LEFT - 6, y: y(one) + 4, "text-anchor": "end" }, one + 1)]);
  mapsOf((layer) => layer).filter((layer) => layer % step === 0 || layer === state.layer).forEach((layer) => {
    parts.push(drawn("text", { x: x(layer), y: BOTTOM + 18, "text-anchor": "middle", class: layer === state.layer ? "now" : "" }, layer));
  });
  wanted.slice(0, 5).reverse().forEach((position, k, every) => {
    const points = mapsOf((layer) => `${x(layer).toFixed(1)},${y(rank[place(layer, position)]).toFixed(1)}`).join(" ");
    const line = drawn("polyline", { points, class: `k${every.length - 1 - k}` });
    line.append(drawn("title", {}, named(position)));
    parts.push(line);
  });
  at("ranks").replaceChildren(...parts);
  at("rank-note").textContent = `1 is the likeliest token of the own unembedding. Thick: ${named(wanted[0])}${wanted.length > 1 ? `; pinned: ${wanted.slice(1, 5).map(named).join(", ")}` : ""}.`;
}
