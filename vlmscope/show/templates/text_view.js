const ptr = unpacked(data.ptr), place = unpacked(data.place), value = unpacked(data.value);
const starts = [0];
for (const one of data.texts) starts.push(starts.at(-1) + one.tokens.length);
data.latents.forEach((one, k) => { one.count = ptr[k + 1] - ptr[k]; one.number = k; });
let scale = "text", shown = null;

// Values of a latent at every token of every text.
function valuesOf(one) {
  const every = new Float32Array(starts.at(-1));
  for (let k = ptr[one.number]; k < ptr[one.number + 1]; k += 1) every[place[k]] = value[k];
  return data.texts.map((_, text) => every.subarray(starts[text], starts[text + 1]));
}

// From 0 to 1: by the lowest and highest value of the text, or by the highest of all; a silent text stays 0.
function shares(values, most) {
  const high = scale === "text" ? Math.max(0, ...values) : most, low = scale === "text" ? Math.min(...values) : 0;
  return Array.from(values, (one) => (high > low ? (one - low) / (high - low) : 0));
}

function draw(one) {
  if (!one) return;
  shown = one;
  const values = valuesOf(one), highest = values.map((own) => Math.max(0, ...own)), most = Math.max(0, ...highest);
  const order = data.texts.map((_, k) => k).filter((k) => highest[k] > 0 || at("quiet").checked).sort((a, b) => highest[b] - highest[a] || a - b);
  const parts = [made("h2", `Latent ${one.latent}${one.refined ? `: ${one.refined}` : ""}`)];
  parts.push(made("p", one.refined ? `By pictures: ${one.explanation} (${one.explainer})` : "It has no name by pictures.", "faint"));
  parts.push(...one.said.map(rated));
  const fires = highest.filter((own) => own > 0).length, tokens = one.count === 1 ? "token" : "tokens";
  parts.push(made("p", most > 0 ? `Fires at ${one.count} ${tokens} in ${fires} of ${data.texts.length} texts; highest value ${number(most)}.` : `Silent at every token of these ${data.texts.length} texts.`));
  const lines = made("div", undefined, "lines");
  for (const k of order) {
    const line = piece(data.texts[k].tokens, shares(values[k], most), 1, data.texts[k].name);
    [...line.querySelectorAll("span")].forEach((node, token) => { if (values[k][token] > 0) node.title = number(values[k][token]); });
    lines.append(line);
  }
  parts.push(lines);
  at("latent").replaceChildren(...parts);
}

function line(one) {
  const tags = made("span", undefined, "tags"), name = made("span", String(one.latent));
  if (one.refined) name.append(" ", made("span", one.refined, "faint"));
  tags.append(Object.assign(made("span", String(one.count), "tag"), { title: "tokens at which it fires" }));
  return [name, tags];
}

const fits = (one) => ({ fires: one.count > 0, named: one.refined !== "" })[at("only").value] ?? true;
radios("scales", "scale", [["each text by itself", "text"], ["all alike", "all"]], scale, (own) => { scale = own; draw(shown); });
const list = picker({
  items: data.latents, what: "latents", name: (one) => String(one.latent),
  text: (one) => `${one.latent} ${one.refined} ${one.explanation} ${one.said.map((own) => own.refined).join(" ")}`.toLowerCase(), line, fits, draw,
});
at("only").addEventListener("change", list.refresh);
at("quiet").addEventListener("change", () => draw(shown));
keys(list, { m: () => next("scale") });
