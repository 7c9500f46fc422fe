const shown = { sample: "", depth: 1, word: "", patch: null, side: 0 };
const shared = Object.keys(data.models[0]?.samples ?? {}).filter((name) => data.models.every((one) => name in one.samples));
const frames = data.models.map((one) => {
  const part = made("section"), frame = made("iframe");
  frame.title = one.label;
  part.append(made("h2", one.label), frame);
  at("frames").append(part);
  return frame;
});

const layerOf = (one) => Math.round(shown.depth * (one.layers - 1));

// A page that is there already only learns of its new address.
function draw() {
  data.models.forEach((one, k) => {
    const told = new URLSearchParams({ layer: layerOf(one), word: shown.word });
    if (shown.patch !== null) told.set("patch", shown.patch);
    const page = `${one.folder}/${encodeURIComponent(shown.sample)}.html`, address = `${page}#${told}`;
    if (frames[k].dataset.address !== address) frames[k].src = address;
    frames[k].dataset.address = address;
  });
  at("depth").value = shown.depth;
  at("depth-shown").textContent = data.models.map((one) => layerOf(one)).join(" / ");
  history.replaceState(null, "", `#${new URLSearchParams({ sample: shown.sample, depth: shown.depth, word: shown.word })}`);
}

// A page tells what was chosen in it: numbers alone are taken.
function heard(event) {
  const k = frames.findIndex((frame) => frame.contentWindow === event.source), told = event.data;
  if (k < 0 || !told || ![told.layer, told.layers, told.patch, told.side].every(Number.isInteger)) return;
  if (told.layers !== data.models[k].layers || told.layer < 0 || told.layer >= told.layers) return;
  if (told.layer !== layerOf(data.models[k])) shown.depth = told.layers > 1 ? told.layer / (told.layers - 1) : 1;
  shown.patch = told.patch >= 0 && told.patch < told.side * told.side ? told.patch : null;
  draw();
}

function wanted() {
  const told = new URLSearchParams(location.hash.slice(1)), depth = Number(told.get("depth") ?? 1);
  shown.sample = shared.includes(told.get("sample")) ? told.get("sample") : shared[0];
  shown.depth = depth >= 0 && depth <= 1 ? depth : 1;
  shown.word = told.get("word") || data.models[0].samples[shown.sample];
  at("sample").value = shown.sample;
  at("word").value = shown.word;
  draw();
}

for (const name of shared) at("sample").append(Object.assign(made("option", `${name}: ${data.models[0].samples[name]}`), { value: name }));
at("count").textContent = `${shared.length} pictures that all of them have`;
at("sample").addEventListener("change", () => {
  Object.assign(shown, { sample: at("sample").value, patch: null, word: data.models[0].samples[at("sample").value] });
  at("word").value = shown.word;
  draw();
});
at("depth").addEventListener("input", () => { shown.depth = Number(at("depth").value); draw(); });
at("word").addEventListener("change", () => { shown.word = at("word").value; draw(); });
at("theme").addEventListener("click", () => {
  theme();
  for (const frame of frames) frame.contentWindow.postMessage({ theme: document.documentElement.dataset.theme }, "*");
});
addEventListener("message", heard);
addEventListener("hashchange", () => { if (shared.length) wanted(); });
keys({ step: (by) => {
  shown.sample = shared[Math.min(shared.length - 1, Math.max(0, shared.indexOf(shown.sample) + by))];
  at("sample").value = shown.sample;
  at("sample").dispatchEvent(new Event("change"));
} }, { "/": () => at("word").focus() });
if (shared.length) wanted();
