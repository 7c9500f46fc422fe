const ALL = "all", KINDS = { concept: HUES.concept, latent: HUES.latent, neuron: HUES.words, answer: HUES.lens, domain: HUES.domains };
const TOLD = { clean: "as it is", object: "object replaced", matched: "as many others", blocked: "blind for it", blocked_matched: "blind for others" };
const WAYS = { concept: HUES.concept, latent: HUES.latent, neurons: HUES.words, logit: HUES.lens, edit: "#56b4e9", "edit elsewhere": "#b5dff5" };
const QUANTITIES = {
  lens: ["patches whose token is the object's word", HUES.lens], concept: ["word's direction tells its states (area)", HUES.concept],
  "word neurons": ["share of the words' neurons", HUES.words], "domain neurons": ["share of the domains' neurons", HUES.domains],
  "blocked attention": ["probability lost, blind for the object", HUES.latent],
};
const depths = Math.max(1, ...data.maps.map((one) => one.lens.length));
let shown = null, deep = depths - 1;

const short = (share) => share < 0.001 ? "<\u00a00.1\u00a0%" : `${Number((100 * share).toPrecision(3))}\u00a0%`;
const p = (value) => value === null ? "" : value < 0.001 ? "p < 0.001" : `p = ${number(value)}`;
const title = (one) => one.word === ALL ? "all words" : one.word;
const titled = (text) => made("h3", text);
const faint = (text) => made("p", text, "faint");

function fact(hue, system, value, text) {
  const node = made("div", undefined, "fact");
  node.style.setProperty("--hue", hue);
  node.append(made("em", system), made("b", value), made("span", text));
  return node;
}

// What each system says of the word in one number.
function facts(one) {
  const every = made("div", undefined, "facts"), changes = named("changes", one.changes);
  const [any] = named("overlap", one.overlap).filter((row) => row.domain === "any");
  const drop = (kind) => changes.filter((row) => row.kind === kind && row.belongs === "own" && row.name === ALL && row.place === "last" && row.condition === "object").at(-1);
  if (any) every.append(
    fact(HUES.words, "MM_Neurons", String(any.word_neurons), "neurons are among the best in at least half of the pictures"),
    fact(HUES.domains, "MMNeuron", `${any.both}`, `of them belong to a domain; ${number(any.expected)} by chance, ${p(any.p)}`));
  const concept = drop("concept"), latent = drop("latent"), answer = drop("answer");
  if (concept) every.append(fact(HUES.concept, "XL-VLMs", `${concept.clean.toFixed(2)} \u2192 ${(concept.clean + concept.change).toFixed(2)}`, `along the word's direction where it is answered, with the object and without (1: states that wrote it); as many others: ${signed(concept.control)}`));
  if (latent) every.append(fact(HUES.latent, "Multimodal-SAE", `${latent.clean.toFixed(1)} \u2192 ${(latent.clean + latent.change).toFixed(1)}`, `its latents there; as many others: ${signed(latent.control)}`));
  if (answer) every.append(fact(HUES.lens, "LLaVA-Interp", `${short(Math.exp(answer.clean))} \u2192 ${short(Math.exp(answer.clean + answer.change))}`, `probability of the word (geometric mean), with the object's tokens and without; as many others: ${short(Math.exp(answer.clean + answer.control))}`));
  return every;
}

function pane(place, layer) {
  const node = made("div", undefined, layer ? "pane mapped" : "pane");
  node.append(Object.assign(made("img"), { src: data.addresses[place], alt: data.maps[place].sample }));
  if (layer) node.append(heat(layer));
  node.append(edge(data.maps[place].patches));
  return node;
}

function view(place, layer, heading, text) {
  const whole = made("figure"), caption = made("figcaption");
  caption.append(made("b", heading), made("br"), made("span", text, "faint"));
  whole.append(pane(place, layer), caption);
  return whole;
}

function odds(answers) {
  const whole = made("table", undefined, "odds");
  data.conditions.forEach((name, k) => {
    const line = made("tr"), middle = made("td");
    middle.append(bar(answers[k]));
    line.append(made("td", TOLD[name]), middle, made("td", short(answers[k])));
    whole.append(line);
  });
  const node = made("figure"), caption = made("figcaption");
  caption.append(made("b", "probability of the word"));
  node.append(whole, caption);
  return node;
}

// The same picture through all systems.
function picture(one, place, k) {
  const own = data.maps[place], line = made("div", undefined, "through"), most = (layer) => `brightest ${number(layer[1])}${told(layer)}`, lens = own.lens[Math.min(deep, own.lens.length - 1)];
  line.append(
    view(place, null, own.sample, "blue: the object's patches"),
    view(place, lens, `lens, depth ${deep}`, `probability of the word's token, 0 to 1${told(lens)}`),
    view(place, own.concept, "direction", `along the word's direction, ${most(own.concept)}`),
    view(place, own.latents, `latent ${own.latent}`, `activation, ${most(own.latents)}`),
    view(place, own.neurons, "neurons", `mean of the word's, ${most(own.neurons)}`), odds(one.answers[k]));
  return line;
}

// How well a map tells the object's patches from the others.
const told = (layer) => layer[2] === null ? "" : `; area ${layer[2].toFixed(2)}`;

function neurons(one) {
  const head = ["neuron", "pictures", "", "mean rank", "domain", "raises most"];
  return table("neurons", head, one.neurons.map(([name, images, share, rank, texts, of]) => [
    name, String(images), bar(share), number(rank), of.map((each) => made("span", each, "tag domain")), tokens(texts, one.word),
  ]), ["", "number", "", "number", "", ""]);
}

function overlap(one) {
  const head = ["domain", "its neurons", "both", "by chance", "95 % of random sets", "p", "q"];
  return table("neurons small", head, named("overlap", one.overlap).map((row) => [
    row.domain, String(row.domain_neurons), made("b", String(row.both)), number(row.expected), `${row.random_low} \u2013 ${row.random_high}`, number(row.p), number(row.q),
  ]), ["", "number", "number", "number", "number", "number", "number"]);
}

function matches(one) {
  const head = ["", "by", "latent", "value", "95 %", "random, mean", "random, 97.5 %", "p"];
  return table("neurons small", head, named("matches", one.matches).map((row) => [
    row.kind === "word" ? row.word : `concept ${row.concept}`, row.match, String(row.latent),
    made(row.value > row.random_high ? "b" : "span", number(row.value)),
    row.low === null ? "" : `${number(row.low)} \u2013 ${number(row.high)}`, number(row.random_mean), number(row.random_high), number(row.random_p),
  ]), ["", "", "number", "number", "number", "number", "number", "number"]);
}

// Change at the position that answers, in shares of what was there, with the control as a mark.
function lost(one) {
  const every = named("changes", one.changes).filter((row) => row.place === "last" && row.name === ALL && row.clean && row.kind !== "answer");
  return ["object", "blocked"].map((condition) => {
    const rows = every.filter((row) => row.condition === condition && (row.kind !== "domain")).map((row) => {
      // Directions have a scale of their own: the way from other words' states to the word's.
      const of = row.kind === "concept" ? 1 : Math.abs(every.find((own) => own.kind === row.kind && own.belongs === "own" && own.depth === row.depth)?.clean ?? row.clean);
      return { name: `${row.belongs} ${row.kind === "concept" ? "direction" : `${row.kind}s`}, ${row.depth}`,
        value: row.change / of, low: row.change_low / of, high: row.change_high / of, mark: row.control / of, hue: KINDS[row.kind], pale: row.belongs !== "own" };
    });
    return rows.length ? whiskers(rows, condition === "object" ? "object's tokens replaced" : "answer blind for the object") : made("span");
  });
}

function single(one) {
  const rows = named("changes", one.changes).filter((row) => row.name !== ALL && row.kind !== "domain" && row.condition === "object");
  rows.sort((a, b) => a.kind.localeCompare(b.kind) || a.change - b.change);
  return table("neurons small", ["", "depth", "with the object", "without", "change, 95 %", "as many others", "p"], rows.slice(0, 14).map((row) => [
    `${row.kind} ${row.name}`, String(row.depth), row.clean.toFixed(2), (row.clean + row.change).toFixed(2),
    `${signed(row.change)} (${signed(row.change_low)}, ${signed(row.change_high)})`, signed(row.control), number(row.p),
  ]), ["", "number", "number", "number", "number", "number", "number"]);
}

function steering(one) {
  const rows = named("steering", one.steering);
  if (!rows.length) return [faint("Not steered to (atlas.steer.words: the first words alone).")];
  const drawn = (key) => rows.map((row) => ({ name: row.method, value: row[key], low: row[`${key}_low`], high: row[`${key}_high`], hue: WAYS[row.method] ?? "#999999" }));
  const both = made("div", undefined, "beside");
  both.append(whiskers(drawn("gain"), "gain of the word, nats"), whiskers(drawn("loss"), "loss of answers about other objects, nats"));
  const head = ["", "strength", "divergence (geometric mean)", "becomes the answer", "others still right", "gain above random, 95 %"];
  return [both, table("neurons small", head, rows.map((row) => [
    row.method, number(row.strength), number(row.kl_typical), percent(row.says), `${percent(row.right)} of ${percent(row.right_clean)}`,
    row.beyond === null ? "" : `${signed(row.beyond)} (${signed(row.beyond_low)}, ${signed(row.beyond_high)})`,
  ]), ["", "number", "number", "number", "number", "number"])];
}

function courses(one) {
  const whole = made("div", undefined, "plots");
  if (one.word !== ALL) {
    whole.append(captioned(course(one.lens.map((row) => row.slice(0, 3)), HUES.lens, "lens"), `patches that say \u201c${one.word}\u201d (${one.lens[0]?.[3] ?? 0} pictures); dashed: patches beside it`));
    const rows = named("changes", one.changes).filter((row) => row.kind === "concept" && row.place === "last" && row.condition === "object");
    whole.append(captioned(course(rows.map((row) => [row.depth, row.clean, row.clean + row.change]), HUES.concept, "direction"), "along its direction where it is answered; dashed: without the object"));
    return whole;
  }
  for (const [name, [text, hue]] of Object.entries(QUANTITIES)) {
    const points = named("depth", data.depth).filter((row) => row.what === name).map((row) => [row.depth, row.value, row.control, row.low, row.high]);
    if (points.length) whole.append(captioned(course(points, hue, name), text));
  }
  return whole;
}

function concepts(one) {
  const whole = made("div", undefined, "concepts");
  one.concepts.forEach((texts, k) => {
    const line = made("p");
    line.append(made("span", `${k} `, "faint"), ...tokens(texts.slice(0, 5), one.word));
    whole.append(line);
  });
  return whole;
}

function draw(one) {
  if (!one) return;
  shown = one;
  const parts = [made("h2", title(one)), facts(one)];
  if (one.pictures.length) parts.push(titled("The same pictures through all systems"), ...one.pictures.map((place, k) => picture(one, place, k)));
  parts.push(titled("Over depth"), faint("Depth counts blocks that were computed. Dashed: control."), courses(one));
  const gone = made("div", undefined, "beside");
  gone.append(...lost(one));
  parts.push(titled("What goes with the object"), faint("Change where the question is answered; the number is the depth. Directions: 1 is the way from other words' states to the word's own; latents and neurons: 1 is what the word's own had there. Whiskers 95 % over pictures; orange: as many other tokens."), gone);
  if (one.word !== ALL) parts.push(single(one));
  parts.push(titled("Steering to it"), faint("On held-out pictures that do not show it, at strengths that disturb the next token equally on others."), ...steering(one));
  parts.push(titled("Neurons"));
  if (one.neurons.length) parts.push(neurons(one));
  parts.push(faint("Overlap with the neurons of domains"), overlap(one));
  if (one.concepts.length) parts.push(titled("Concepts of its dictionary"), concepts(one));
  parts.push(titled("Latents that match"), faint("Bold: above 97.5 % of random directions with the covariance of the same states."), matches(one));
  at("word").replaceChildren(...parts);
}

function line(one) {
  const parts = [made("span", title(one))];
  if (one.pictures.length) parts.unshift(Object.assign(made("img"), { src: data.addresses[one.pictures[0]], alt: "" }));
  return parts;
}

function dive(to) {
  deep = (to + depths) % depths;
  at("depth").value = deep;
  at("deep").textContent = deep;
  draw(shown);
}

at("depth").max = depths - 1;
at("depth").addEventListener("input", () => dive(Number(at("depth").value)));
const list = picker({ items: data.items, what: "words", name: (one) => one.word, text: title, line, draw });
dive(deep);
keys(list, { d: () => dive(deep + 1) });
