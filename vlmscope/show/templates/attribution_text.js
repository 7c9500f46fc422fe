function line(one, place) {
  const part = made("section", undefined, "latent");
  const head = made("h2", `${place + 1}. latent ${one.feature}${one.name ? ` (${one.name})` : ""}`);
  head.append(made("span", `share ${number(one.sum)}, effect ${number(one.effect)}`, "faint"));
  const words = made("div", undefined, "tokens");
  data.tokens.forEach((text, k) => {
    const token = made("span", word(text).replace(/\u010a/g, "\u21b5"), "token");
    token.style.setProperty("--v", one.shades[k]);
    token.title = `${Math.round(100 * one.shades[k])} of 100`;
    words.append(token);
  });
  part.append(head, words);
  return part;
}

at("latents").replaceChildren(...data.latents.map(line));
if (!data.latents.length) at("latents").append(made("p", "No latent supports the answer at these tokens."));
at("theme").addEventListener("click", theme);
