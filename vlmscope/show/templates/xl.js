// What pages about concepts have in common: pictures, words, values beside their controls, cards.
const score = { CS: "CLIPScore", BS: "BERTScore" };

const told = (value) => value === null || value === undefined ? "?" : number(value);

// A value with the ends of its interval, as far as they are known: parts of a cell.
function span(value, low, high) {
  if (value === null || value === undefined) return [""];
  const known = low !== null && low !== undefined;
  return [number(value), ...(known ? [made("small", ` ${number(low)} to ${number(high)}`)] : [])];
}

// A small picture with lines below it; `place` is its number, null where it is not known.
function photo(place, name, text, below = []) {
  const node = made("figure"), caption = made("figcaption");
  if (place === null) node.append(made("span", name, "faint"));
  else node.append(Object.assign(made("img"), { src: data.pictures[place], alt: text || name, loading: "lazy" }));
  node.title = text ? `${name}: ${text}` : name;
  caption.append(...below);
  node.append(caption);
  return node;
}

// Words as pieces; those in `same` are marked.
function pieces(words, same = new Set()) {
  const node = made("p");
  node.append(...words.map((text) => made("span", text, same.has(text.toLowerCase()) ? "piece same" : "piece")));
  if (!words.length) node.append(made("span", "no words", "faint"));
  return node;
}

// The pictures that activate a concept most, each with its activation.
function photos(one) {
  const node = made("div", undefined, "photos"), most = Math.max(...one.images.map((own) => Math.abs(own[1])), 1e-12);
  node.append(...one.images.map(([place, activation, name, text]) =>
    photo(place, name, text, [bar(Math.abs(activation) / most), made("span", number(activation))])));
  return node;
}

// Cards to search, to put in order and to step through. `orders`: name -> value, greatest first.
function cards({ items, text, orders, card }) {
  const nodes = new Map(items.map((one) => [one, card(one)]));
  let listed = [], chosen = null;
  function refresh() {
    const words = at("search").value.trim().toLowerCase().split(/\s+/).filter(Boolean), value = orders[at("order").value];
    listed = items.filter((one) => words.every((part) => text(one).includes(part)));
    listed.sort((a, b) => (value(b) ?? -Infinity) - (value(a) ?? -Infinity) || 0);
    at("count").textContent = `${listed.length} of ${items.length} concepts`;
    at("cards").replaceChildren(...listed.map((one) => nodes.get(one)));
  }
  function choose(one) {
    if (chosen) nodes.get(chosen).removeAttribute("aria-current");
    chosen = one;
    nodes.get(one).setAttribute("aria-current", "true");
    nodes.get(one).scrollIntoView({ block: "nearest" });
    history.replaceState(null, "", `#${one.number}`);
  }
  function step(by) {
    if (!listed.length) return;
    const own = listed.indexOf(chosen);
    choose(listed[own < 0 ? 0 : Math.min(listed.length - 1, Math.max(0, own + by))]);
  }
  function turn() {
    at("order").selectedIndex = (at("order").selectedIndex + 1) % at("order").options.length;
    refresh();
  }
  options("order", Object.keys(orders));
  at("search").addEventListener("input", refresh);
  at("order").addEventListener("change", refresh);
  at("theme").addEventListener("click", theme);
  refresh();
  const named = items.find((one) => `#${one.number}` === location.hash);
  if (named) choose(named);
  keys({ step }, { s: turn });
}

// The frame of a card with its heading.
function framed(one, tags) {
  const node = made("article", undefined, "card"), head = made("h2", `Concept ${one.number}`);
  node.id = `concept-${one.number}`;
  head.append(...tags.map((text) => made("span", text, "tag")));
  node.append(head);
  return node;
}
