data.activations = [...new Set(data.kinds.map(([own]) => own))];
let shown = null, activation = data.activations[0];
const METHODS = {
  contribution: "contribution: activation times projection on the word", activation: "baseline: activation alone",
  gradient: "baseline: gradient times input", random: "control: random", contribution_negative: "lower the word most",
  multi_token: "contribution to all tokens of the word",
};

function methods(one) {
  return data.kinds.map(([own, method], kind) => [own, method, one.lists[kind]]).filter(([own, , found]) => own === activation && found);
}

function draw(one) {
  if (!one) return;
  shown = one;
  const found = methods(one), first = new Set((found[0]?.[2] ?? []).map(([place]) => place));
  const parts = [made("h2", `\u201c${one.noun}\u201d`), made("p", one.caption), made("p", one.sample, "faint")];
  const grid = made("div", undefined, "lists");
  for (const [, method, rows] of found) {
    const block = made("section"), lines = rows.map(([place, score]) => {
      const name = made("span", neuronName(data.neurons[place]), first.has(place) && found[0][1] !== method ? "shared" : "");
      return [name, number(score), tokens(data.neurons[place][2], one.noun)];
    });
    block.append(made("h3", METHODS[method] ?? method), table("neurons", ["neuron", "score", "raises most"], lines, ["", "number", ""]));
    grid.append(block);
  }
  parts.push(grid, made("p", "A neuron in bold is also in the first list.", "faint"));
  at("noun").replaceChildren(...parts);
}

function line(one) {
  return [made("span", one.noun), made("span", one.sample, "faint")];
}

radios("activations", "activation", activationChoices(), activation, (own) => { activation = own; draw(shown); });
const list = picker({
  items: data.items, what: "nouns of pictures", name: (one) => `${one.sample}-${one.noun}`, line, draw,
  text: (one) => `${one.noun} ${one.sample} ${one.caption}`.toLowerCase(),
});
keys(list, { a: () => next("activation") });
