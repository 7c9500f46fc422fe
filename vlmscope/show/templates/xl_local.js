const known = new Map(data.concepts.map((one) => [one.number, one]));
const words = (one) => one.concepts.flatMap(([number_]) => known.get(number_).words);
const text = (one) => `${one.sample} ${one.text} ${one.reference ?? ""} ${words(one).join(" ")}`.toLowerCase();
const fits = (one) => !at("concept").value || String(one.concepts[0]?.[0]) === at("concept").value;

function line(one) {
  return [Object.assign(made("img"), { src: data.pictures[one.picture], alt: "", loading: "lazy" }), made("span", one.text)];
}

function concept([place, activation], most) {
  const one = known.get(place), node = made("div", undefined, "one"), left = made("div"), right = made("div");
  left.append(made("b", `Concept ${place}`), bar(activation / most), made("span", `activation ${number(activation)}`, "faint"));
  right.append(pieces(one.words, new Set([data.set])), photos(one));
  node.append(left, right);
  return node;
}

function draw(one) {
  if (!one) return;
  const top = made("div", undefined, "own"), right = made("div");
  top.append(Object.assign(made("img"), { src: data.pictures[one.picture], alt: one.text }), right);
  right.append(made("h2", one.text || "(nothing)"));
  if (one.reference) right.append(made("p", `Caption of the data set: ${one.reference}`, "faint"));
  const rows = Object.entries(one.scores).map(([metric, [own, random]]) => [score[metric] ?? metric, number(own), random === null ? "" : `random words ${number(random)}`]);
  if (rows.length) right.append(table("rates", ["of this picture and the words of its first concept", "", ""], rows, ["", "number", ""]));
  const most = one.concepts[0]?.[1] ?? 1, parts = one.concepts.map((own) => concept(own, most));
  if (!parts.length) parts.push(made("p", "No concept is active here.", "faint"));
  at("sample").replaceChildren(top, ...parts);
}

for (const one of data.concepts) at("concept").append(Object.assign(made("option", `${one.number}: ${one.words.slice(0, 3).join(" ")}`), { value: one.number }));
const list = picker({ items: data.samples, what: "pictures", name: (one) => one.sample, text, line, fits, draw });
at("concept").addEventListener("change", list.refresh);
keys(list, {});
