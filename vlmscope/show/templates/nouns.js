// What pages about nouns have in common: neurons as names, words and bars.
const neuronName = ([layer, unit]) => `L${layer}.u${unit}`;

// A neuron's words, the noun itself marked.
function tokens(texts, noun) {
  return texts.filter((text) => bare(text)).map((text) => {
    const same = bare(text) === noun.toLowerCase();
    return made("span", word(text), same ? "piece same" : "piece");
  });
}

// A token without the dot that stands for a blank in front.
const bare = (text) => text.replace(/^\u00b7/, "").trim().toLowerCase();

function bar(share) {
  const track = made("span", undefined, "track"), inside = made("span");
  inside.style.width = `${100 * share}%`;
  track.append(inside);
  return track;
}

// A table that scrolls by itself where it is wide; cells are texts or nodes, `style` is that of each column.
function table(style, head, rows, styles) {
  const whole = made("table", undefined, style), first = made("tr"), wrap = made("div", undefined, "wrap");
  first.append(...head.map((text, k) => made("th", text, styles[k])));
  whole.append(first, ...rows.map((cells) => {
    const line = made("tr");
    line.append(...cells.map((cell, k) => {
      const node = made("td", undefined, styles[k]);
      node.append(...[cell].flat());
      return node;
    }));
    return line;
  }));
  wrap.append(whole);
  return wrap;
}

const signed = (value) => Math.abs(value) < 0.005 ? "0" : (value > 0 ? "+" : "\u2212") + Math.abs(value).toFixed(2);
const ACTIVATIONS = { act_fn: "gate alone (act_fn)", down_proj_input: "gate times up (down_proj_input)" };
const activationChoices = () => data.activations.map((own) => [ACTIVATIONS[own] ?? own, own]);
