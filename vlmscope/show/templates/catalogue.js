let shown = null, activation = data.activations[0], marked = null;
const known = data.nouns.some((one) => one.shown !== null);
// Neuron -> nouns that list it, by activation.
const uses = Object.fromEntries(data.activations.map((own) => [own, new Map()]));
for (const one of data.nouns) {
  for (const own of data.activations) {
    for (const row of one.by[own]?.neurons ?? []) uses[own].set(row[0], [...(uses[own].get(row[0]) ?? []), [one, row]]);
  }
}

function words(one) {
  const places = new Set(data.activations.flatMap((own) => (one.by[own]?.neurons ?? []).map((row) => row[0])));
  return [...places].flatMap((place) => [neuronName(data.neurons[place]), ...data.neurons[place][2]]);
}

const texts = new Map(data.nouns.map((one) => [one, words(one).join(" ").toLowerCase()]));
const text = (one) => at("where").value ? one.noun : `${one.noun} ${texts.get(one)}`;
const fits = (one) => at("only").value !== "absent" || one.absent > 0;

function line(one) {
  const tags = made("span", undefined, "tags");
  if (one.absent) tags.append(Object.assign(made("span", String(one.absent), "tag absent"), { title: "pictures that do not show it" }));
  tags.append(Object.assign(made("span", String(one.images), "tag"), { title: "pictures" }));
  return [made("span", one.noun), tags];
}

function neuron(place) {
  const button = made("button", neuronName(data.neurons[place]), "name");
  button.type = "button";
  button.title = "Nouns that have this neuron among their best";
  button.setAttribute("aria-pressed", String(marked === place));
  button.addEventListener("click", () => { marked = marked === place ? null : place; draw(shown); });
  return button;
}

function link(one) {
  const button = made("button", one.noun, "name");
  button.type = "button";
  button.addEventListener("click", () => list.choose(one));
  return button;
}

function neurons(one, own) {
  const head = ["neuron", `of ${one.images} pictures`, "", "mean rank", "mean score", ...(known ? ["shown", "not shown"] : []), "raises most"];
  const rows = own.neurons.map(([place, images, rank, score, has, lacks]) => [
    neuron(place), `${images}`, bar(images / one.images), number(rank), number(score),
    ...(known ? [has === null ? "" : String(has), lacks === null ? "" : String(lacks)] : []), tokens(data.neurons[place][2], one.noun),
  ]);
  return table("neurons", head, rows, ["", "number", "", "number", "number", ...(known ? ["number", "number"] : []), ""]);
}

function used(place) {
  const rows = uses[activation].get(place) ?? [];
  const parts = [made("h3", `Nouns with ${neuronName(data.neurons[place])} among their best`)];
  const lines = [...rows].sort((a, b) => b[1][1] / b[0].images - a[1][1] / a[0].images);
  parts.push(table("neurons small", ["noun", "pictures", "", "mean rank"], lines.map(([one, row]) => [
    link(one), `${row[1]} of ${one.images}`, bar(row[1] / one.images), number(row[2]),
  ]), ["", "number", "", "number"]));
  const all = made("p", "It raises most: ", "faint");
  all.append(...tokens(data.neurons[place][2], shown.noun));
  return [...parts, all];
}

function draw(one) {
  if (!one) return;
  if (one !== shown) marked = null;
  shown = one;
  const own = one.by[activation], parts = [made("h2", one.noun)];
  const seen = one.shown === null ? "" : ` Shown in ${one.shown}, not in ${one.absent}.`;
  parts.push(made("p", `In the captions of ${one.images} pictures.${seen}`));
  if (own?.neurons.length) {
    parts.push(made("p", `${own.stable} neurons are among the ${data.k} best in at least half of the pictures. Click a neuron for its other nouns.`, "faint"), neurons(one, own));
  }
  if (marked !== null) parts.push(...used(marked));
  if (own?.absent) parts.push(made("h3", "Where the picture does not show it"), made("p", `Among the best there, by number of pictures: ${own.absent}`));
  parts.push(made("h3", `Neurons of the whole model that decode to \u201c${one.noun}\u201d`), made("p", one.decoding ?? "None, by the tokens that each raises most.", one.decoding ? "" : "faint"));
  at("noun").replaceChildren(...parts);
}

radios("activations", "activation", activationChoices(), activation, (own) => { activation = own; draw(shown); });
const list = picker({
  items: data.nouns, what: "nouns", name: (one) => one.noun, text: (one) => text(one).toLowerCase(), line, fits, draw,
  // The noun itself before those whose neurons say it.
  place: (one, searched) => Number(searched.some((part) => !one.noun.includes(part))),
});
for (const id of ["where", "only"]) at(id).addEventListener("change", list.refresh);
if (!known) at("only").disabled = true;
keys(list, { a: () => next("activation") });
