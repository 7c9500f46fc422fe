// What all pages about latents share.
const KINDS = { u1: Uint8Array, u4: Uint32Array, f4: Float32Array };

// An array that travelled as base64; numbers in it are little-endian, as those of every browser are.
function unpacked({ kind, values }) {
  const text = atob(values), bytes = new Uint8Array(text.length);
  for (let k = 0; k < text.length; k += 1) bytes[k] = text.charCodeAt(k);
  return new KINDS[kind](bytes.buffer);
}

const told = new URLSearchParams(location.hash.slice(1));
if (["light", "dark"].includes(told.get("theme"))) document.documentElement.dataset.theme = told.get("theme");
const framed = window.parent !== window;
if (framed) document.documentElement.dataset.framed = "";
const pageOf = (latent) => `latent-${latent}.html`;

// A link where a latent has a page, plain text where it has none.
function latentLink(latent, name, paged) {
  const node = made(paged ? "a" : "span", name ? `${latent} ${name}` : String(latent));
  if (paged) node.href = pageOf(latent);
  return node;
}

// A map [side x side] of steps of 255 as a small canvas, one dot per patch.
function heat(map, side) {
  const canvas = Object.assign(made("canvas"), { width: side, height: side }), brush = canvas.getContext("2d");
  const image = brush.createImageData(side, side);
  map.forEach((step, k) => { if (step) image.data.set([...color(step / 255), Math.round(70 + 120 * step / 255)], 4 * k); });
  brush.putImageData(image, 0, 0);
  return canvas;
}

// What the explainer sees: 224 of 255 are taken away where the latent is silent, interpolated between patches.
function shade(map, side) {
  const small = Object.assign(made("canvas"), { width: side, height: side }), brush = small.getContext("2d");
  const image = brush.createImageData(side, side);
  map.forEach((step, k) => { if (!step) image.data[4 * k + 3] = 224; });
  brush.putImageData(image, 0, 0);
  const large = Object.assign(made("canvas", undefined, "soft"), { width: 8 * side, height: 8 * side });
  large.getContext("2d").drawImage(small, 0, 0, 8 * side, 8 * side);
  return large;
}

// Tokens of a text, colored by their share of the highest value.
function piece(tokens, values, most, name) {
  const line = made("p", undefined, "piece");
  line.append(made("small", name));
  tokens.forEach((token, k) => {
    const node = made("span", token), share = most > 0 ? values[k] / most : 0;
    if (/^<.*>$/.test(token)) node.className = "special";
    if (values[k] > 0) { node.classList.add("fires"); node.style.setProperty("--v", share.toFixed(3)); node.title = number(values[k]); }
    line.append(node);
  });
  return line;
}

function cells(row, contents, styles = []) {
  contents.forEach((content, k) => {
    const cell = made("td", undefined, styles[k] || undefined);
    cell.append(...[].concat(content));
    row.append(cell);
  });
  return row;
}

function head(titles, styles = []) {
  const row = made("tr");
  row.append(...titles.map((title, k) => Object.assign(made("th", title, styles[k] || undefined), { scope: "col" })));
  return row;
}

// A name by texts with its mean rating, 0 to 3, beside that of another latent's name.
function rated(one) {
  const node = made("p"), other = one.rubric_shuffled;
  node.append(made("b", one.refused ? "no name found" : one.refined), " ", made("span", `${one.explainer}, by texts`, "tag"));
  if (one.rubric !== null) node.append(made("span", ` rated ${number(one.rubric)} of 3${other === null ? "" : `, another\u2019s name ${number(other)}`}`, "faint"));
  return node;
}

// A token as it can be seen: a blank in front as a dot.
const dotted = (text) => word(text).replace(/^ /, "\u00b7");
