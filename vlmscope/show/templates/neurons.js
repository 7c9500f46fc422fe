const name = (one) => `${one.module} ${one.layer}.${one.unit}`;
const domains = data.domains.map((one) => one.name);
const modules = Object.fromEntries(data.modules.map((one) => [one.name, one]));
let chosen = null, view = 0;

function painted(one) {
  const canvas = made("canvas"), bytes = atob(one.map);
  canvas.width = one.columns;
  canvas.height = one.rows;
  const brush = canvas.getContext("2d"), image = brush.createImageData(one.columns, one.rows);
  for (let k = 0; k < bytes.length; k += 1) {
    const share = bytes.charCodeAt(k) / 255;
    image.data.set([...color(share), Math.round(255 * Math.min(0.9, 0.15 + 1.2 * share) * (share > 0))], 4 * k);
  }
  brush.putImageData(image, 0, 0);
  return canvas;
}

function placed(one) {
  const canvas = painted(one), [left, top, right, bottom] = one.box;
  canvas.style.left = `${100 * left}%`;
  canvas.style.top = `${100 * top}%`;
  canvas.style.width = `${100 * (right - left)}%`;
  canvas.style.height = `${100 * (bottom - top)}%`;
  return canvas;
}

function figure(one) {
  const picture = data.pictures[one.picture], node = made("figure"), pane = made("div", undefined, "pane");
  // Wide pictures get more room, so that heights stay alike.
  const wide = Math.min(2.5, Math.max(1, picture.width / picture.height));
  node.style.setProperty("--w", `${9 * wide}rem`);
  node.style.setProperty("--narrow", `${6.4 * wide}rem`);
  const image = Object.assign(made("img"), { src: picture.address, alt: `${picture.sample}: ${picture.question}` });
  Object.assign(image, { width: picture.width, height: picture.height });
  image.style.height = "auto";
  pane.append(image);
  node.append(pane);
  const maps = one.views.filter((own) => own.box);
  if (view >= 0 && maps.length) {
    pane.classList.add("mapped");
    pane.append(placed(maps[Math.min(view, maps.length - 1)]));
  }
  for (const own of one.views) {
    if (own.box || view < 0) continue;
    const strip = painted(own);
    strip.className = "strip";
    strip.title = "Activations of the queries, which stand for no place in the picture";
    node.append(strip);
  }
  const caption = made("figcaption"), elsewhere = one.overall > one.highest;
  caption.append(made("b", number(one.highest)), ` \u00b7 fires at ${percent(one.share)}`);
  if (elsewhere) caption.append(made("br"), made("span", `most at \u201c${word(one.place)}\u201d: ${number(one.overall)}`, "faint"));
  else if (!one.views.length) caption.append(made("br"), made("span", `at \u201c${word(one.place)}\u201d`, "faint"));
  caption.append(made("br"), made("span", picture.question, "faint"));
  node.title = picture.sample;
  node.append(caption);
  return node;
}

function rates(one) {
  const table = made("table", undefined, "rates"), head = made("tr"), seen = modules[one.module].seen;
  const measured = one.zeroed.some(Boolean);
  const titles = ["Domain", "Fires at", "", "positions"].concat(measured ? ["zeroed: states move", "next token, KL in nats"] : []);
  head.append(...titles.map((text) => made("th", text)));
  table.append(head);
  const shares = domains.map((_, d) => one.fired[d] / seen[d]), most = Math.max(...shares, 1e-9);
  domains.forEach((domain, d) => {
    const row = made("tr", undefined, one.domains.includes(domain) ? "own" : "");
    const track = made("span", undefined, "track"), bar = made("span"), cell = made("td");
    bar.style.width = `${100 * shares[d] / most}%`;
    track.append(bar);
    cell.append(track);
    row.append(made("td", `${data.domains[d].label} (${domain})`), cell, made("td", percent(shares[d]), "number"));
    row.append(made("td", `${one.fired[d].toLocaleString("en")} of ${seen[d].toLocaleString("en")}`, "number"));
    if (measured) {
      const effect = one.zeroed[d];
      row.append(made("td", effect ? percent(effect[0] / 100) : "", "number"), made("td", effect ? number(effect[1]) : "", "number"));
    }
    table.append(row);
  });
  const wrap = made("div", undefined, "wrap");
  wrap.append(table);
  return wrap;
}

function draw(one) {
  if (!one) return;
  chosen = one;
  const parts = [made("h2", `${one.module}, layer ${one.layer}, unit ${one.unit}`)];
  const own = one.domains.map((domain) => data.domains[domains.indexOf(domain)].label).join(", ");
  const most = Math.log(domains.length).toFixed(2);
  parts.push(made("p", `Specific to ${own}. Entropy of its firing over the domains: ${one.entropy.toFixed(2)} nats, of ${most} if it fired alike in all.`, "faint"));
  if (modules[one.module].inert.includes(one.layer)) parts.push(made("p", "This layer is computed but nothing reads it: zeroing its neurons changes nothing.", "faint"));
  parts.push(rates(one), made("h3", "Pictures that excite it most"));
  const queries = one.pictures.flat().some((each) => each.views.some((own) => !own.box));
  parts.push(made("p", `Below each picture: highest activation, and at how many of its positions the neuron fires.${queries ? " Strips show the queries, which stand for no place." : ""}`, "faint"));
  domains.forEach((domain, d) => {
    const row = made("div", undefined, one.domains.includes(domain) ? "row own" : "row"), side = made("div");
    side.append(made("b", data.domains[d].label), made("br"), made("span", domain, "faint"));
    const figures = made("div", undefined, "figures");
    figures.append(...one.pictures[d].map(figure));
    row.append(side, figures);
    parts.push(row);
  });
  at("neuron").replaceChildren(...parts);
  at("most").textContent = number(one.top);
  const kinds = Math.max(0, ...one.pictures.flat().map((each) => each.views.length));
  // Words alone have no map.
  at("views").hidden = at("key").hidden = kinds === 0;
}

function line(one) {
  const tags = made("span", undefined, "tags");
  tags.append(...one.domains.map((own) => made("span", own, "tag")));
  return [made("span", name(one)), tags];
}

function fits(one) {
  const is = (id, value) => !at(id).value || at(id).value === String(value);
  return is("module", one.module) && is("layer", one.layer) && (!at("domain").value || one.domains.includes(at("domain").value));
}

options("module", data.modules.map((one) => one.name));
options("layer", [...new Set(data.neurons.map((one) => one.layer))].sort((a, b) => a - b));
options("domain", domains);
if (data.neurons.length) at("search").placeholder = name(data.neurons[0]);
const views = Math.max(0, ...data.neurons.flatMap((one) => one.pictures.flat().map((each) => each.views.length)));
const choices = views > 1 ? [["whole picture", 0], ["tiles", 1], ["off", -1]] : [["on", 0], ["off", -1]];
radios("views", "view", choices, view, (value) => { view = value; draw(chosen); });
const list = picker({
  items: data.neurons, what: "neurons", name: (one) => name(one).replace(" ", "-"),
  text: (one) => `${name(one)} ${one.domains.join(" ")}`.toLowerCase(), line, fits, draw,
});
for (const id of ["module", "layer", "domain"]) at(id).addEventListener("change", list.refresh);
keys(list, { m: () => next("view") });
