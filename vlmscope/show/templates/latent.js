const HALVES = { reference: "names come from it", held_out: "scores come from it" };
const VIEWS = [["as the explainer sees it", "dark"], ["how strongly", "mask"], ["picture", "raw"]];
let view = VIEWS.some(([, own]) => own === told.get("view")) ? told.get("view") : "dark";
const maps = data.examples.map((one) => unpacked(one.map));

function plate(one, k) {
  const node = made("figure"), pane = made("div", undefined, "pane"), caption = made("figcaption");
  pane.append(Object.assign(made("img"), { src: data.addresses[k], alt: one.sample }));
  if (view === "mask") { pane.classList.add("mapped"); pane.append(heat(maps[k], data.grid)); }
  if (view === "dark") pane.append(shade(maps[k], data.grid));
  caption.append(made("b", number(one.mean)), " mean", made("br"), `${number(one.highest)} highest`, made("br"), `at ${percent(one.share)} of patches`, made("br"));
  caption.append(one.region ? Object.assign(made("a", one.sample), { href: `regions.html#${new URLSearchParams({ sample: one.sample, latent: data.latent })}`, target: "_top" }) : made("span", one.sample, "faint"));
  node.title = HALVES[one.half];
  node.append(pane, caption);
  return node;
}

function pictures() {
  at("pictures").replaceChildren(...data.examples.map(plate));
  at("key").hidden = view !== "mask";
}

const MEASURES = [
  ["IoU", "iou", 1, "share of pixels of either that is of both: where it fires, where the name is seen"],
  ["IoU, patches themselves", "iou_undilated", 1, "without the rim that interpolation adds"],
  ["CLIP score", "clip", 100, "100 times the cosine of picture and name"],
  ["Detection", "detection", 1, "the judge, given the name, tells pictures with it from pictures without; 0.5 by chance"],
  ["Fuzzing", "fuzzing", 1, "the judge, given the name, tells its regions from the same ones moved elsewhere; 0.5 by chance"],
  ["Simulation", "simulation", 1, "correlation of how much the judge expects and how much it fires; 0 by chance"],
];

function gauge(value, most, marks) {
  const node = made("span", undefined, "gauge"), bar = made("span");
  bar.style.setProperty("--v", String(Math.max(0, Math.min(1, value / most))));
  node.append(bar, ...marks.filter(([mark]) => mark !== null && mark !== undefined).map(([mark, style]) => {
    const line = made("i", undefined, style);
    line.style.setProperty("--v", String(Math.max(0, Math.min(1, mark / most))));
    return line;
  }));
  return node;
}

function card(one) {
  const node = made("div", undefined, "card"), title = made("h3", one.refused ? "no name found" : one.refined), table = made("table", undefined, "rates");
  title.append(made("span", one.explainer, "tag"));
  if (one.concept) title.append(made("span", one.concept, "tag"));
  if (one.consistency === 1) title.append(made("span", "accepted by the judge", "tag"));
  if (one.consistency === 0) title.append(made("span", "not accepted by the judge", "tag ours"));
  node.append(title);
  if (one.explanation !== one.refined || one.refused) node.append(made("p", one.explanation, "faint"));
  if (one.explainer === "oracle") node.append(made("p", "It knows the masks: what a perfect explainer would reach.", "faint"));
  if (one.refused) return node;
  table.append(head(["", "", "score", "random", "shuffled", "ceiling"], ["", "", "number", "number", "number", "number"]));
  const shown = (value) => (value === null || value === undefined ? "\u2013" : number(value));
  for (const [name, key, most, title] of MEASURES) {
    if (one[key] === null || one[key] === undefined) continue;
    const other = one[`${key}_shuffled`], ceiling = key === "iou" ? one.ceiling : null;
    const row = cells(made("tr"), [name, gauge(one[key], most, [[other], [ceiling, "ceiling"]]), shown(one[key]), shown(one[`${key}_random`]), shown(other), shown(ceiling)], ["", "", "number", "number", "number", "number"]);
    row.title = title;
    table.append(row);
  }
  const wrap = made("div", undefined, "wrap");
  wrap.append(table);
  node.append(wrap);
  return node;
}

// A list with bars: [what, value] each, or [latent, value, name, has a page].
function bars(title, rows, style, line, typical) {
  const part = made("section"), table = made("table", undefined, "bars"), most = Math.max(...rows.map((row) => Math.abs(row[1])), 1e-9);
  part.append(made("h3", title));
  if (typical !== undefined && typical !== null) part.append(made("p", `The first of a latent is ${number(typical)} (median over latents).`, "faint"));
  if (!rows.length) part.append(made("p", "None.", "faint"));
  for (const row of rows) {
    const bar = made("span", undefined, `bar ${style}`);
    bar.style.setProperty("--v", String(Math.abs(row[1]) / most));
    table.append(cells(made("tr"), [line(row), number(row[1]), bar], ["", "number"]));
  }
  if (style === "") table.classList.add("linked");
  part.append(table);
  return part;
}

function words() {
  const plain = ([text]) => made("span", dotted(text)), link = ([latent, , name, paged]) => latentLink(latent, name, paged);
  at("words").append(
    bars("Promoted tokens", data.tokens.promoted, "up", plain, data.typical.promoted),
    bars("Suppressed tokens", data.tokens.suppressed, "down", plain, data.typical.suppressed));
  at("near").append(
    bars("Nearest by decoder row, cosine", data.nearest, "", link, data.typical.nearest),
    bars("Fire at the same patches, share of those of either", data.together, "", link));
}

function texts() {
  at("texts").hidden = data.windows === null && !data.text_names.length;
  at("said").append(...data.text_names.map(rated));
  if (data.windows === null) return;
  const most = Math.max(0, ...data.windows.flatMap((one) => one.values));
  at("pieces").replaceChildren(...data.windows.map((one) => piece(one.tokens, one.values, most, one.text)));
  if (!data.windows.length) at("pieces").append(made("p", "Silent at every token of the texts that were read.", "faint"));
}

// Words of an answer that the untouched one does not have.
function changed(text, before) {
  const old = new Set(before.toLowerCase().split(/\W+/)), node = made("span");
  for (const part of text.split(/(\s+)/)) node.append(/\w/.test(part) && !old.has(part.toLowerCase().replace(/\W/g, "")) ? made("mark", part) : part);
  return node;
}

function steering() {
  at("steering").hidden = !data.answers.length;
  const random = data.answers.find((one) => one.kind === "random"), interval = (one) => one.more === null ? "\u2013" : `${number(one.more)} (${number(one.more_low)}, ${number(one.more_high)})`;
  if (random) at("steering").insertBefore(made("p", `Held as a random control for \u201c${random.word}\u201d.`, "faint"), at("steering").children[1]);
  if (data.effects.length) {
    at("effects").append(head(["word", "mode", "held at", "answers", "name the word", "more than random latents (95 %)", "unchanged"]));
    for (const one of data.effects) at("effects").append(cells(made("tr"), [one.word, one.mode, number(one.value), String(one.n), percent(one.named), interval(one), percent(one.same)]));
  }
  if (!data.answers.length) return;
  at("answers").append(head(["picture", "mode", "held at", "before", "after", ""]));
  for (const one of data.answers) {
    at("answers").append(cells(made("tr"), [one.image, one.mode, number(one.value), one.original ?? "", changed(one.steered ?? "", one.original ?? ""), one.category], ["", "", "", "text", "text"]));
  }
}

function shares() {
  at("shares").hidden = !data.shares.length;
  if (!data.shares.length) return;
  const numeric = ["", "", "", "number", "number", "number"];
  at("parts").append(head(["picture", "answer, not baseline", "at", "share in D", "rank there", "D loses without it"], numeric));
  for (const one of data.shares) {
    at("parts").append(cells(made("tr"), [one.image, `${dotted(one.answer)}, not ${dotted(one.baseline)}`, one.part, number(one.sum), String(one.rank), number(one.effect)], numeric));
  }
}

function tell(message) { if (framed) window.parent.postMessage(message, "*"); }
function look(own) {
  view = own;
  for (const radio of document.getElementsByName("view")) radio.checked = radio.value === own;
  pictures();
  tell({ view });
}

const named = data.names.filter((one) => !one.refused);
at("name").textContent = data.name ? `${data.latent} \u00b7 ${data.name}` : `Latent ${data.latent}`;
for (const one of named) at("tags").append(made("span", `${one.explainer}: ${one.refined}`, "tag"));
at("back").href = `index.html#${new URLSearchParams({ latent: data.latent })}`;
const tile = (value, text) => { const node = made("div", undefined, "tile"); node.append(made("b", value), made("span", text)); return node; };
at("tiles").append(
  tile(percent(data.density), "density: share of tokens"), tile(percent(data.pictures), `of ${data.samples} pictures`), tile(number(data.highest), "highest value"));
const best = named.filter((one) => one.iou !== null).sort((a, b) => b.iou - a.iou)[0];
if (best) at("tiles").append(tile(number(best.iou), `IoU; another\u2019s name ${best.iou_shuffled === null ? "\u2013" : number(best.iou_shuffled)}`));
at("named").hidden = !data.names.length;
at("names").append(...data.names.map(card));
radios("views", "view", VIEWS, view, look);
pictures(); words(); texts(); steering(); shares();
at("theme").addEventListener("click", theme);
const NEXT = () => look(VIEWS[(VIEWS.findIndex(([, own]) => own === view) + 1) % VIEWS.length][1]);
addEventListener("message", (event) => {
  if (event.source !== window.parent || !event.data) return;
  if (["light", "dark"].includes(event.data.theme)) document.documentElement.dataset.theme = event.data.theme;
  if (event.data.next === "view") NEXT();
});
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || (event.target.type === "radio" && event.key.startsWith("Arrow"))) return;
  if (event.key === "m") NEXT();
  else if (framed && ["j", "k", "/", "t"].includes(event.key)) { event.preventDefault(); tell({ key: event.key }); }
  else if (event.key === "t") theme();
});
tell({ latent: data.latent });
