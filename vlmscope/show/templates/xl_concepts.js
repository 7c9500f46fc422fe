const mean = (values) => values.length ? values.reduce((a, b) => a + b, 0) / values.length : null;
const METHODS = { snmf: "sparse semi-NMF", semi_nmf: "semi-NMF", kmeans: "k-means", pca: "PCA", simple: "samples of greatest length" };

function card(one) {
  const node = framed(one, [`most active for ${one.size} of ${data.quality?.n ?? "?"}`]);
  node.append(pieces(one.words, new Set([data.set])), photos(one));
  const rows = Object.entries(one.scores).map(([metric, [own, random]]) => [score[metric] ?? metric, number(own), random === null ? "" : `random words ${number(random)}`]);
  for (const [kind, name, count, share] of one.drawn) rows.push([`drawn ${kind}: ${name || "none"}`, `${count} of ${one.images.length}`, `all samples ${percent(share)}`]);
  if (rows.length) node.append(table("rates", ["of its words and pictures", "", ""], rows, ["", "number", ""]));
  return node;
}

// Of the whole dictionary, beside what knows nothing.
function facts() {
  const rows = [], of = (metric) => mean(data.concepts.map((one) => one.scores[metric]?.[0] ?? null).filter((value) => value !== null));
  const whose = data.method === data.main ? "" : `, with the pictures of ${METHODS[data.main] ?? data.main}`;
  for (const [metric, by] of Object.entries(data.by)) {
    rows.push([`${score[metric] ?? metric} of words and pictures, mean (${by})`, told(of(metric)), `random words ${told(data.random[metric])}${whose}`]);
  }
  if (data.overlap) rows.push(["Words shared by two concepts", span(data.overlap.overlap_list, data.overlap.low, data.overlap.high), `random directions ${told(data.overlap.random_list)}`]);
  for (const one of data.agreement) {
    rows.push([`Agreement with ${one.kind} of what is drawn (NMI, ${one.classes} classes)`, told(one.nmi),
      `random samples ${told(one.nmi_random_samples)}, random directions ${told(one.nmi_random_directions)}, shuffled ${told(one.nmi_shuffled)}`]);
  }
  const own = data.quality, parts = [`${METHODS[data.method] ?? data.method}, ${data.k} concepts, states at ${data.module}, seed ${data.seed}`];
  if (own) {
    parts.push(`${own.n} samples, ${own.n_test} held out`, `${number(100 * own.sparsity)} % of activations are 0`, `${own.dead} concepts without a sample`);
    if (own.error_test !== null) rows.push(["Squared error of held-out states, as a share", span(own.error_test, own.error_test_low, own.error_test_high), ""]);
  }
  at("facts").append(made("p", `${parts.join("; ")}.`), table("rates facts", ["of this dictionary", "", "controls"], rows, ["", "number", ""]));
}

facts();
cards({
  items: data.concepts, card, text: (one) => one.words.join(" ").toLowerCase(),
  orders: {
    "samples": (one) => one.size, "number": (one) => -one.number,
    ...Object.fromEntries(Object.keys(data.by).map((metric) => [score[metric] ?? metric, (one) => one.scores[metric]?.[0]])),
  },
});
