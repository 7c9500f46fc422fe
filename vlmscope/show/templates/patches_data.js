// The arrays of this picture. Layer l and position p of those by layer: place(l, p); k tokens each, the likeliest first.
function unpacked({ bytes, values }) {
  const text = atob(values), found = new Uint8Array(text.length);
  for (let k = 0; k < text.length; k += 1) found[k] = text.charCodeAt(k);
  const view = new DataView(found.buffer), count = text.length / bytes;
  return Array.from({ length: count }, (_, k) => bytes === 1 ? found[k] : bytes === 2 ? view.getUint16(2 * k, true) : view.getUint32(4 * k, true));
}
// Numbers that came in steps of the largest.
const numbered = (packed) => unpacked(packed).map((one) => one * packed.most / (packed.bytes === 1 ? 255 : 65535));

const { layers, positions, grid: side, first } = data, STEPS = 65535;
const ids = unpacked(data.tokens), share = unpacked(data.share), rank = unpacked(data.rank);
const entropy = numbered(data.entropy), lengths = numbered(data.lengths), turned = numbered(data.turned);
const vocabulary = unpacked(data.vocabulary), numbers = new Map(vocabulary.map((id, k) => [id, k]));
const patches = side * side, inside = new Set(data.patches), long = new Set(data.registers);
const place = (layer, position) => layer * positions + position;
// Where a lens says nothing: a place behind the last text.
const NOTHING = data.texts.push("") - 1;

// A lens: k tokens per layer and position, as places in `vocabulary` and `data.texts`, and how strongly each is meant.
function spread({ k, tokens: packed, values }) {
  const own = unpacked(packed), strengths = unpacked(values), size = layers * positions * k;
  const found = { k, tokens: new Uint32Array(size).fill(NOTHING), probs: new Uint16Array(size) };
  own.forEach((id, n) => {
    const layer = Math.floor(n / (patches * k)), to = place(layer, first) * k + n % (patches * k);
    found.tokens[to] = numbers.get(id);
    found.probs[to] = strengths[n];
  });
  return found;
}

const LENSES = { own: { k: data.k, tokens: Uint32Array.from(ids, (id) => numbers.get(id)), probs: unpacked(data.probs) } };
for (const [name, one] of Object.entries(data.lenses)) LENSES[name] = spread(one);
let { k: kept, tokens, probs } = LENSES.own;
const plain = data.texts.map((text) => text.replace(/^\u00b7/, "").trim().toLowerCase());

// Which entries of the vocabulary match a word.
//   whole   the same text, in any case; begin: a beginning of the word of three letters or more; part: holds it
function matching(word, how) {
  const wanted = word.trim().toLowerCase(), found = new Uint8Array(plain.length);
  if (!wanted) return found;
  plain.forEach((text, k) => {
    const fits = how === "part" ? text.includes(wanted) : how === "begin" ? text.length >= 3 && wanted.startsWith(text) : text === wanted;
    if (fits) found[k] = 1;
  });
  return found;
}

// Largest probability of a matching token among those kept, 0 where there is none.
function likeliest(layer, position, found) {
  const start = place(layer, position) * kept;
  for (let k = start; k < start + kept; k += 1) if (found[tokens[k]]) return probs[k] / STEPS;
  return 0;
}

const topIs = (layer, position, found) => found[tokens[place(layer, position) * kept]] === 1;
const perPatch = (value) => Array.from({ length: patches }, (_, patch) => value(first + patch));
const classMap = (layer) => perPatch((position) => share[place(layer, position)] / STEPS);
const wordMap = (layer, found) => perPatch((position) => likeliest(layer, position, found));

// A map against the object, as vlmscope/llava_interp/lens/scores.py has it.
function overlap(scores, bar) {
  const most = Math.max(...scores), above = scores.map((one) => most > 0 && one >= bar * most);
  let both = 0, either = 0, hits = 0, sum = 0;
  above.forEach((one, patch) => { both += one && inside.has(patch); either += one || inside.has(patch); });
  const order = scores.map((_, patch) => patch).sort((a, b) => scores[b] - scores[a] || a - b);
  order.forEach((patch, k) => { if (inside.has(patch)) { hits += 1; sum += hits / (k + 1); } });
  return { iou: either ? both / either : 0, ap: hits ? sum / hits : 0, pointing: inside.has(order[0]), above };
}

function pooled(maps, over) {
  return maps[0].map((_, patch) => over === "max"
    ? maps.reduce((most, one) => Math.max(most, one[patch]), 0)
    : maps.reduce((sum, one) => sum + one[patch], 0) / maps.length);
}

const isPatch = (position) => position >= first && position < first + patches;
function named(position) {
  const patch = position - first, text = data.prompt[position];
  return isPatch(position) ? `${text} ${Math.floor(patch / side)},${patch % side}` : `${text}`;
}
