// Marks that the page draws: heat maps, values with whiskers, lines over depth.
const HUES = { words: "#009e73", domains: "#cc79a7", concept: "#d55e00", latent: "#0072b2", lens: "#e69f00" };
const SPACE = "http://www.w3.org/2000/svg";

function svg(kind, about, text) {
  const node = document.createElementNS(SPACE, kind);
  for (const [key, value] of Object.entries(about)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

// An empty drawing that shrinks with the page.
const plot = (width, height) => svg("svg", { class: "plot", width, height, viewBox: `0 0 ${width} ${height}`, role: "img" });

// A table's rows with names in place of numbers of columns.
const named = (what, rows) => rows.map((row) => Object.fromEntries(data.columns[what].map((name, k) => [name, row[k]])));

// Patches in the colors of heat, [bytes, what the brightest stands for].
function heat([bytes]) {
  const canvas = made("canvas"), text = atob(bytes);
  canvas.width = canvas.height = data.grid;
  const brush = canvas.getContext("2d"), image = brush.createImageData(data.grid, data.grid);
  for (let k = 0; k < text.length; k += 1) image.data.set([...color(text.charCodeAt(k) / 255), 255], 4 * k);
  brush.putImageData(image, 0, 0);
  return canvas;
}

// The outline of an object's patches.
function edge(patches) {
  const canvas = made("canvas", undefined, "edge"), size = 12, own = new Set(patches), grid = data.grid;
  canvas.width = canvas.height = grid * size;
  const brush = canvas.getContext("2d");
  brush.strokeStyle = "#56b4e9";
  brush.lineWidth = 2.5;
  for (const patch of own) {
    const x = patch % grid, y = Math.floor(patch / grid), left = x * size, top = y * size;
    const sides = [[y > 0 && own.has(patch - grid), 0, 0, 1, 0], [own.has(patch + grid), 0, 1, 1, 1],
      [x > 0 && own.has(patch - 1), 0, 0, 0, 1], [x < grid - 1 && own.has(patch + 1), 1, 0, 1, 1]];
    for (const [inside, a, b, c, d] of sides) {
      if (inside) continue;
      brush.beginPath();
      brush.moveTo(left + a * size, top + b * size);
      brush.lineTo(left + c * size, top + d * size);
      brush.stroke();
    }
  }
  return canvas;
}

// Rows of values with whiskers: {name, value, low, high, hue, mark: a second value to compare with}.
function whiskers(rows, heading, digits = 2) {
  const wide = 470, left = 130, right = 60, line = 22, high = rows.length * line + 34, whole = plot(wide, high);
  const values = rows.flatMap((one) => [one.low, one.high, one.value, one.mark]).filter((one) => one !== null && one !== undefined);
  const low = Math.min(0, ...values), top = Math.max(...values, low + 1e-9);
  const x = (value) => left + (wide - left - right) * (value - low) / (top - low);
  whole.append(svg("title", {}, heading), svg("text", { x: 0, y: 11, "font-weight": 600 }, heading));
  whole.append(svg("line", { x1: x(0), x2: x(0), y1: 18, y2: rows.length * line + 22, stroke: "currentColor", opacity: 0.5 }));
  rows.forEach((one, k) => {
    const y = 22 + k * line + line / 2;
    whole.append(svg("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, one.name));
    whole.append(svg("rect", { x: Math.min(x(0), x(one.value)), width: Math.abs(x(one.value) - x(0)), y: y - 7, height: 14, rx: 2, fill: one.hue, opacity: one.pale ? 0.4 : 0.85 }));
    if (one.low !== null) whole.append(svg("line", { x1: x(one.low), x2: x(one.high), y1: y, y2: y, stroke: "currentColor", "stroke-width": 1.4 }));
    if (one.mark !== null && one.mark !== undefined) whole.append(svg("line", { x1: x(one.mark), x2: x(one.mark), y1: y - 9, y2: y + 9, stroke: "var(--mark)", "stroke-width": 2.5 }));
    whole.append(svg("text", { x: x(Math.max(one.value, one.high ?? one.value, 0)) + 6, y: y + 4, class: "faint" }, one.value.toFixed(digits)));
  });
  return whole;
}

// A line over depth with its control: points [depth, value, control, low, high].
function course(points, hue, heading) {
  const wide = 230, high = 120, left = 34, bottom = 22, whole = plot(wide, high);
  const most = Math.max(0.05, ...points.flatMap((one) => one.slice(1)).filter((one) => one !== null && one !== undefined));
  const last = Math.max(1, ...points.map((one) => one[0]));
  const x = (value) => left + (wide - left - 12) * value / last, y = (value) => high - bottom - (high - bottom - 8) * Math.max(0, value) / most;
  const path = (place) => points.filter((one) => one[place] !== null && one[place] !== undefined).map((one) => `${x(one[0])},${y(one[place])}`).join(" ");
  whole.append(svg("title", {}, heading));
  for (const tick of [0, most]) whole.append(svg("text", { x: left - 5, y: y(tick) + 4, "text-anchor": "end", class: "faint" }, number(tick)));
  const step = Math.ceil((last + 1) / 9);
  for (let k = 0; k <= last; k += step) whole.append(svg("text", { x: x(k), y: high - 6, "text-anchor": "middle", class: "faint" }, String(k)));
  whole.append(svg("line", { x1: left, x2: wide - 8, y1: y(0), y2: y(0), stroke: "currentColor", opacity: 0.4 }));
  if (points.some((one) => one.length > 3)) {
    const back = [...points].reverse().map((one) => `${x(one[0])},${y(one[3])}`).join(" ");
    whole.append(svg("polygon", { points: `${path(4)} ${back}`, fill: hue, opacity: 0.18 }));
  }
  whole.append(svg("polyline", { points: path(2), fill: "none", stroke: "currentColor", opacity: 0.55, "stroke-dasharray": "4 3" }));
  whole.append(svg("polyline", { points: path(1), fill: "none", stroke: hue, "stroke-width": 2.5 }));
  for (const one of points) whole.append(svg("circle", { cx: x(one[0]), cy: y(one[1]), r: 3.5, fill: hue }));
  return whole;
}

function captioned(node, text) {
  const whole = made("figure");
  whole.append(made("figcaption", text), node);
  return whole;
}
