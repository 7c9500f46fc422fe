let shown = null, place = 0, beside = "random";
const NAMES = {
  d_original: "original answer, change", d_wanted: "wanted answer, change", changed_pct: "changed, %", acc: "accuracy, %",
  d_acc_off: "accuracy elsewhere, change", with_style_pct: "with the style, %", style_words: "its words per caption", cider: "CIDEr \u00d7 100",
};
const KINDS = { random: "random directions", shuffled: "shuffled labels", none: "no steering" };
const title = (one) => `${one.vector}${one.kind === "gated" ? ", gated" : ""}, block ${one.block}`;
const aim = (one) => one.task === "targeted" ? `${one.original} \u2192 ${one.wanted}` : one.wanted;
const name = (one) => `${one.vector}.${one.block}.${one.kind}`;
const same = (one, other) => data.texts[one] === data.texts[other];

// Strengths, 0 among them: number of the answers, or -1.
function strengths(one) {
  const tried = one.alphas.map((alpha, k) => [alpha, k]).filter(([alpha]) => alpha !== 0);
  return [[0, -1], ...tried].sort((a, b) => a[0] - b[0]);
}

const said = (one, k) => strengths(one)[place][1] < 0 ? data.samples[one.samples[k]].plain : one.answers[strengths(one)[place][1]][k];

// Whether the text is what the vector aims at; of a type or a style the page tells nothing about single texts.
const wanted = (one, text) => one.task === "targeted" && data.texts[text].trim().toLowerCase() === one.wanted.toLowerCase();

function line(one) {
  return [made("span", title(one)), made("span", aim(one), "tag")];
}

// Different texts of the draws of a control at the strength that is nearest, most frequent first.
function controls(one, k) {
  const own = one.controls.filter((row) => row.kind === beside);
  if (!own.length) return null;
  const alpha = strengths(one)[place][0], apart = Math.min(...own.map((row) => Math.abs(row.alpha - alpha)));
  const near = own.filter((row) => Math.abs(row.alpha - alpha) === apart), counts = new Map();
  for (const row of near) counts.set(row.answers[k], (counts.get(row.answers[k]) ?? 0) + 1);
  return { alpha: near[0].alpha, texts: [...counts].sort((a, b) => b[1] - a[1]) };
}

// Words that the other text does not have are marked.
function marked(text, other) {
  const before = new Set(other.toLowerCase().split(/[\s,.]+/));
  return text.split(/(\s+)/).map((part) => /\S/.test(part) && !before.has(part.toLowerCase().replace(/[,.]+$/, "")) ? made("mark", part) : part);
}

function answer(one, k) {
  const sample = data.samples[one.samples[k]], now = said(one, k), changed = !same(now, sample.plain);
  const node = made("article", undefined, changed ? "answer changed" : "answer"), right = made("div"), list_ = made("dl");
  const row = (name_, parts, style) => {
    const cell = made("dd", undefined, style);
    cell.append(...parts);
    list_.append(made("dt", name_), cell);
  };
  const plain = data.texts[sample.plain], long = one.task === "caption";
  if (sample.question) right.append(made("p", sample.question.replace(/^Question: /, "")));
  row("reference", [sample.reference]);
  row("without", [plain || "(nothing)"]);
  row("steered", long && changed ? marked(data.texts[now], plain) : [data.texts[now] || "(nothing)"], "now");
  if (one.shut?.[k]) row("", [made("span", "gate shut", "tag")]);
  const control = controls(one, k);
  if (control) row(beside, control.texts.slice(0, long ? 1 : 4).flatMap(([text, count], place_) => [place_ ? ", " : "", data.texts[text] || "(nothing)", made("span", ` \u00d7${count}`, "faint")]));
  right.append(list_);
  const image = Object.assign(made("img"), { src: data.pictures[sample.picture], alt: sample.sample, loading: "lazy" });
  image.title = sample.sample;
  node.append(image, right);
  return node;
}

function effects(one) {
  const alpha = strengths(one)[place][0], columns = data.columns[one.task];
  const label = (row) => row.kind in KINDS ? KINDS[row.kind] + (row.draws ? `, mean of ${row.draws}` : "") : "this vector";
  const rows = one.effects.filter((row) => row.kind === "none" || row.alpha !== 0);
  const wrap = table("rates", ["", "strength", ...columns.map((key) => NAMES[key])], rows.map((row) => [
    label(row), row.kind === "none" ? "0" : number(row.alpha), ...row.values.map((value) => span(...value)),
  ]), ["", "number", ...columns.map(() => "number")]);
  [...wrap.querySelectorAll("tr")].slice(1).forEach((line_, k) => {
    const row = rows[k], own = row.kind === one.kind || row.kind === "alpha" || row.kind === "none";
    if (own && (row.kind === "none" ? 0 : row.alpha) === alpha) line_.setAttribute("aria-current", "true");
  });
  return wrap;
}

function kept(one, k) {
  const sample = data.samples[one.samples[k]];
  if (at("type").value && sample.type !== at("type").value) return false;
  if (at("only").value === "changed") return !same(said(one, k), sample.plain);
  return at("only").value !== "wanted" || wanted(one, said(one, k));
}

function draw(one) {
  if (!one) return;
  if (one !== shown) {
    shown = one;
    // At strength 1, or at the one that is nearest.
    const apart = (k) => Math.abs(strengths(one)[k][0] - 1);
    place = strengths(one).reduce((best, _, k) => apart(k) < apart(best) ? k : best, 0);
  }
  const alpha = strengths(one)[place][0], all = one.samples.map((_, k) => k), listed = all.filter((k) => kept(one, k));
  Object.assign(at("alpha"), { max: strengths(one).length - 1, value: place });
  at("alpha").setAttribute("aria-valuetext", `strength ${alpha}`);
  at("strength").textContent = `\u03b1 = ${number(alpha)}`;
  const changed = all.filter((k) => !same(said(one, k), data.samples[one.samples[k]].plain)).length;
  const control = one.samples.length ? controls(one, 0) : null;
  const parts = [made("h2", title(one)), made("p", one.task === "targeted" ? `Meant to turn \u201c${one.original}\u201d into \u201c${one.wanted}\u201d.` : one.task === "type" ? `Meant to bring answers of the type ${one.wanted}.` : `Meant to bring captions with: ${one.wanted}.`)];
  parts.push(effects(one), made("p", `Over ${one.n} ${one.task === "caption" ? "pictures" : "questions"}, with 95 % intervals.`, "faint"));
  const chosen = one.task === "caption" ? "the first whose caption changes at some strength" : "the first questions of every type";
  parts.push(made("h3", `${changed} of ${all.length} samples change here${listed.length < all.length ? `; ${listed.length} shown` : ""}`));
  parts.push(made("p", `Samples: ${chosen}. ${control ? `Beside: ${KINDS[beside]} of the same length at strength ${number(control.alpha)}.` : `No ${KINDS[beside]} were tried here.`}`, "faint"));
  const grid = made("div", undefined, one.task === "caption" ? "answers long" : "answers");
  grid.append(...listed.map((k) => answer(one, k)));
  parts.push(grid);
  at("vector").replaceChildren(...parts);
}

function move(by) {
  if (!shown) return;
  place = Math.min(strengths(shown).length - 1, Math.max(0, place + by));
  draw(shown);
}

options("type", [...new Set(data.samples.map((one) => one.type).filter(Boolean))]);
radios("beside", "control", [["random", "random"], ["shuffled labels", "shuffled"]], beside, (own) => { beside = own; draw(shown); });
const list = picker({
  items: data.items, what: "vectors", name, line, draw,
  text: (one) => `${title(one)} ${aim(one)} ${one.task}`.toLowerCase(),
});
at("alpha").addEventListener("input", () => { place = Number(at("alpha").value); draw(shown); });
for (const id of ["only", "type"]) at(id).addEventListener("change", () => draw(shown));
keys(list, { ArrowRight: () => move(1), ArrowLeft: () => move(-1), b: () => next("control") });
