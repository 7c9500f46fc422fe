const { grid: side, top: kept } = data, COUNT = side * side;
const images = data.images.map((one) => ({ ...one, latents: unpacked(one.latents), values: unpacked(one.values) }));
const about = new Map(data.latents.map(([latent, name, paged]) => [latent, { name, paged }]));
const state = { image: 0, from: [0, 0], to: [0, 0], latent: null, over: null };
let dragged = false, tops = [];

const within = (value, end) => Math.min(end - 1, Math.max(0, value));
function region(from = state.from, to = state.to) {
  const found = [];
  for (let row = Math.min(from[0], to[0]); row <= Math.max(from[0], to[0]); row += 1) {
    for (let column = Math.min(from[1], to[1]); column <= Math.max(from[1], to[1]); column += 1) found.push(row * side + column);
  }
  return found;
}

// Latents by their mean over some patches; one that is not among the highest of a patch counts 0 there.
function strongest(image, patches) {
  const sums = new Map();
  for (const patch of patches) for (let k = patch * kept; k < (patch + 1) * kept; k += 1) {
    if (image.values[k] > 0) sums.set(image.latents[k], (sums.get(image.latents[k]) ?? 0) + image.values[k]);
  }
  return [...sums].map(([latent, sum]) => [latent, sum / patches.length]).sort((a, b) => b[1] - a[1] || a[0] - b[0]);
}

function mapOf(image, latent) {
  const found = new Float32Array(COUNT);
  for (let k = 0; k < COUNT * kept; k += 1) if (image.latents[k] === latent) found[Math.floor(k / kept)] = image.values[k];
  return found;
}

function box(brush, patches, cell, ink, width) {
  const rows = patches.map((one) => Math.floor(one / side)), columns = patches.map((one) => one % side);
  const [y, x] = [Math.min(...rows), Math.min(...columns)];
  brush.strokeStyle = ink; brush.lineWidth = width;
  brush.strokeRect(x * cell, y * cell, (Math.max(...columns) - x + 1) * cell, (Math.max(...rows) - y + 1) * cell);
}

function paint() {
  const canvas = at("cover"), cell = Math.ceil(640 / side), image = images[state.image];
  canvas.width = canvas.height = cell * side;
  const brush = canvas.getContext("2d");
  if (state.latent !== null) {
    const map = mapOf(image, state.latent), most = Math.max(...map, 1e-9);
    map.forEach((value, patch) => {
      const [r, g, b] = color(value / most);
      brush.fillStyle = value > 0 ? `rgba(${r}, ${g}, ${b}, .6)` : "rgba(0, 0, 0, .5)";
      brush.fillRect((patch % side) * cell, Math.floor(patch / side) * cell, cell, cell);
    });
  }
  brush.strokeStyle = "rgba(255, 255, 255, .22)"; brush.lineWidth = 1;
  for (let k = 1; k < side; k += 1) { brush.strokeRect(k * cell, -1, 0.01, canvas.height + 2); brush.strokeRect(-1, k * cell, canvas.width + 2, 0.01); }
  if (state.over !== null) box(brush, [state.over], cell, "rgba(255, 255, 255, .9)", 3);
  box(brush, region(), cell, "rgba(0, 0, 0, .8)", 9);
  box(brush, region(), cell, "#ffa04d", 5);
}

function list() {
  const patches = region(), most = tops.length ? tops[0][1] : 1;
  const [row, column] = state.from;
  at("here").textContent = `${images[state.image].sample}: ${patches.length > 1 ? `${patches.length} patches` : `row ${row}, column ${column}`}`;
  at("tops").replaceChildren(...tops.slice(0, 24).map(([latent, value]) => {
    const line = made("tr"), bar = made("span", undefined, "bar"), { name, paged } = about.get(latent), text = made("td", String(latent));
    bar.style.setProperty("--v", String(value / most));
    const share = made("td"), open = made("td");
    share.append(bar);
    if (paged) { const link = made("a", "page"); link.href = pageOf(latent); open.append(link); }
    line.append(text, made("td", name), share, made("td", number(value)), open);
    line.dataset.latent = latent;
    line.setAttribute("aria-selected", String(latent === state.latent));
    line.addEventListener("click", () => pick(state.latent === latent ? null : latent));
    return line;
  }));
  if (!tops.length) at("tops").append(cells(made("tr"), ["Nothing fires here."]));
}

// Pictures by a latent: number and mean over the patches, highest first.
function by(latent) {
  const ranked = images.map((one, k) => [k, mapOf(one, latent).reduce((sum, value) => sum + value, 0) / COUNT]);
  return ranked.filter(([, mean]) => mean > 0).sort((a, b) => b[1] - a[1] || a[0] - b[0]);
}

function others() {
  at("own").hidden = state.latent === null;
  if (state.latent === null) return;
  const { name, paged } = about.get(state.latent);
  at("own-name").replaceChildren(latentLink(state.latent, name, paged));
  const ranked = by(state.latent);
  at("others").replaceChildren(...ranked.slice(0, 24).map(([k, mean]) => {
    const button = made("button"), pane = made("div", undefined, "pane mapped"), map = mapOf(images[k], state.latent), most = Math.max(...map);
    button.type = "button";
    pane.append(Object.assign(made("img"), { src: images[k].picture, alt: images[k].sample }), heat(Array.from(map, (value) => Math.ceil(255 * value / most)), side));
    button.append(pane, `${number(mean)} mean`);
    button.addEventListener("click", () => go(k));
    return button;
  }));
  if (!ranked.length) at("others").append(made("p", "In none of these pictures is it among the highest of a patch.", "faint"));
}

function film() {
  const words = at("search").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const found = images.map((_, k) => k).filter((k) => words.every((part) => images[k].sample.toLowerCase().includes(part)));
  at("count").textContent = `${found.length} of ${images.length}`;
  at("film").replaceChildren(...found.map((k) => {
    const button = made("button");
    button.type = "button";
    button.title = images[k].sample;
    button.dataset.image = k;
    button.setAttribute("aria-pressed", String(k === state.image));
    button.append(Object.assign(made("img"), { src: images[k].picture, alt: images[k].sample, loading: "lazy" }));
    button.addEventListener("click", () => go(k));
    return button;
  }));
}

function draw() {
  tops = strongest(images[state.image], region());
  at("picture").src = images[state.image].picture;
  for (const button of at("film").children) button.setAttribute("aria-pressed", String(Number(button.dataset.image) === state.image));
  paint(); list(); others();
  const now = { sample: images[state.image].sample, patch: state.from.join(" ") };
  if (state.from.join() !== state.to.join()) now.to = state.to.join(" ");
  if (state.latent !== null) now.latent = state.latent;
  history.replaceState(null, "", `#${new URLSearchParams(now)}`);
}

function go(image) { state.image = image; draw(); at("film").querySelector(`[data-image="${image}"]`)?.scrollIntoView({ block: "nearest" }); }
function pick(latent) { state.latent = latent; draw(); }
function move(down, right, widen) {
  const end = [within(state.to[0] + down, side), within(state.to[1] + right, side)];
  Object.assign(state, widen ? { to: end } : { from: end, to: end });
  draw();
}
function turn(by) {
  if (!tops.length) return;
  const own = tops.findIndex(([latent]) => latent === state.latent);
  pick(tops[own < 0 ? 0 : within(own + by, tops.length)][0]);
}

function under(event) {
  const shape = at("cover").getBoundingClientRect();
  return [within(Math.floor((event.clientY - shape.top) / shape.height * side), side), within(Math.floor((event.clientX - shape.left) / shape.width * side), side)];
}
at("cover").addEventListener("pointerdown", (event) => { const own = under(event); dragged = true; Object.assign(state, { from: own, to: own }); draw(); });
at("cover").addEventListener("pointermove", (event) => {
  const own = under(event);
  if (dragged && own.join() !== state.to.join()) { state.to = own; draw(); } else if (state.over !== own[0] * side + own[1]) { state.over = own[0] * side + own[1]; paint(); }
});
at("cover").addEventListener("pointerleave", () => { state.over = null; paint(); });
addEventListener("pointerup", () => { dragged = false; });

const KEYS = {
  ArrowUp: (event) => move(-1, 0, event.shiftKey), ArrowDown: (event) => move(1, 0, event.shiftKey),
  ArrowLeft: (event) => move(0, -1, event.shiftKey), ArrowRight: (event) => move(0, 1, event.shiftKey),
  n: () => go(within(state.image + 1, images.length)), p: () => go(within(state.image - 1, images.length)),
  ".": () => turn(1), ",": () => turn(-1), Escape: () => pick(null), t: theme, "/": () => at("search").focus(),
  Enter: () => { if (state.latent !== null && about.get(state.latent).paged) location.href = pageOf(state.latent); },
};
addEventListener("keydown", (event) => {
  const own = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(KEYS, event.key)) return;
  if (own.tagName === "INPUT" || (event.key === "Enter" && ["A", "BUTTON"].includes(own.tagName))) return event.key === "Escape" ? own.blur() : undefined;
  event.preventDefault();
  KEYS[event.key](event);
});

// What the address asks for; whatever makes no sense is passed over.
const cellOf = (text) => { const found = (text ?? "").split(" ").map(Number); return found.length === 2 && found.every((one) => Number.isInteger(one) && one >= 0 && one < side) ? found : null; };
const wanted = images.findIndex((one) => one.sample === told.get("sample")), asked = Number(told.get("latent") ?? NaN);
if (about.has(asked)) state.latent = asked;
// Asked for a latent alone, it begins where that is highest.
const best = () => by(state.latent)[0]?.[0] ?? 0;
state.image = wanted >= 0 ? wanted : state.latent === null ? 0 : best();
function begin() {
  const map = state.latent === null ? [] : mapOf(images[state.image], state.latent), high = map.indexOf(Math.max(...map));
  return state.latent === null || map[high] === 0 ? [Math.floor(side / 2), Math.floor(side / 2)] : [Math.floor(high / side), high % side];
}
state.from = cellOf(told.get("patch")) ?? (images.length ? begin() : [0, 0]);
state.to = cellOf(told.get("to")) ?? state.from;
at("theme").addEventListener("click", theme);
at("search").addEventListener("input", film);
if (images.length) { film(); draw(); }
