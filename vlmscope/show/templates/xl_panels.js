const NAMES = { original: data.model, shifted: "shifted", tuned: data.tuned };
const ARMS = { none: "without a shift", shift: "with its shift", random: "random direction of the same length" };

function side(one, name) {
  const node = made("div"), goal = new Set((one.words.tuned ?? []).map((text) => text.toLowerCase()));
  const seen = new Set((one.images.tuned ?? []).map(([, sample]) => sample)), other = name !== "tuned";
  node.append(made("h3", NAMES[name]), pieces(one.words[name] ?? [], other ? goal : new Set()));
  const shown = made("div", undefined, "photos");
  for (const [place, sample, text] of one.images[name] ?? []) {
    const figure = photo(place, sample, text);
    if (other && seen.has(sample)) figure.classList.add("same");
    shown.append(figure);
  }
  node.append(shown);
  return node;
}

function card(one) {
  const node = framed(one, [`${told(one.n)} samples`, `length of shift ${told(one.magnitude)}`, `agreement of samples ${told(one.consistency)}`]);
  const columns = made("div", undefined, "three");
  columns.append(...data.sides.map((name) => side(one, name)));
  node.append(columns, table("rates", ["shared with the fine-tuned concept", NAMES.original, "shifted"], [
    ["words", `${told(one.orig_count)} of ${told(one.denom)}`, `${told(one.shifted_count)} of ${told(one.denom)}`],
    ["most activating samples", told(one.orig_images), told(one.shifted_images)],
    ["cosine", told(one.orig_cosine), told(one.shifted_cosine)],
  ], ["", "number", "number"]));
  if (one.words.vector) {
    const own = pieces(one.words.vector);
    own.prepend("Words of the shift itself: ");
    own.classList.add("faint");
    node.append(own);
  }
  return node;
}

function facts() {
  const parts = [`${data.k} concepts (${data.method}) of states at ${data.module}; ${told(data.samples)} samples in common`];
  if (data.keywords?.length) parts.push(`words of the task: ${data.keywords.join(", ")}`);
  at("facts").append(made("p", `${parts.join("; ")}.`));
  const rows = data.arms.map((row) => [ARMS[row.arm] ?? row.arm, span(row.t_overlap, row.t_overlap_low, row.t_overlap_high), span(row.cosine, row.cosine_low, row.cosine_high)]);
  if (!rows.length) return;
  const note = "Mean over concepts with 95 % intervals; shift and goal are of the same samples here, as published: held-out values are in shift.csv.";
  at("facts").append(table("rates facts", ["concepts of the original", "words shared with the fine-tuned, %", "cosine"], rows, ["", "number", "number"]), made("p", note, "faint"));
}

facts();
cards({
  items: data.concepts, card,
  text: (one) => Object.entries(one.words).filter(([name]) => name !== "vector").flatMap(([, words]) => words).join(" ").toLowerCase(),
  orders: {
    "number": (one) => -one.number, "samples": (one) => one.n, "length of shift": (one) => one.magnitude,
    "words gained": (one) => one.shifted_count === null ? null : one.shifted_count - one.orig_count,
    "agreement of samples": (one) => one.consistency,
  },
});
