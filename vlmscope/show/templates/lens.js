"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { layers, positions, words, k } = data;
  const grid = document.getElementById("grid"), side = document.getElementById("side");
  let channel = Object.keys(data.cells)[0], color = "entropy", at = { row: 0, column: positions.length - 1 };
  const make = (tag, text) => { const node = document.createElement(tag); if (text !== undefined) node.textContent = text; return node; };
  const place = (layer, column) => layer * positions.length + column;

  const head = grid.createTHead().insertRow();
  head.append(make("th", "layer"));
  for (const one of positions) {
    const cell = make("th", one.text);
    cell.dataset.kind = one.kind;
    cell.scope = "col";
    cell.title = `position ${one.number}, ${one.kind}: ${one.text}`;
    cell.prepend(make("small", one.number));
    head.append(cell);
  }
  const body = grid.createTBody();
  const cells = [];
  for (let row = 0; row < layers; row++) {
    const line = body.insertRow();
    const name = make("th", layers - 1 - row);
    name.scope = "row";
    line.append(name);
    cells.push(positions.map((_, column) => {
      const cell = line.insertCell();
      cell.tabIndex = -1;
      cell.setAttribute("role", "gridcell");
      cell.addEventListener("focus", () => choose(row, column));
      return cell;
    }));
  }

  function paint() {
    const own = data.cells[channel], most = color === "entropy" ? Math.max(own.most, 0.01) : 1;
    document.getElementById("high").textContent = color === "entropy" ? `${most.toFixed(2)} nats` : "1";
    cells.forEach((line, row) => line.forEach((cell, column) => {
      const here = place(layers - 1 - row, column);
      const value = color === "entropy" ? own.entropy[here] : own.share[here * k] / 1000;
      const part = Math.min(1, value / most);
      cell.textContent = words[own.words[here * k]];
      cell.style.setProperty("--v", part.toFixed(3));
    }));
    show();
  }

  function choose(row, column) {
    cells[at.row][at.column].tabIndex = -1;
    at = { row, column };
    cells[row][column].tabIndex = 0;
    show();
  }

  function show() {
    const own = data.cells[channel], layer = layers - 1 - at.row, one = positions[at.column], here = place(layer, at.column);
    const table = make("table");
    table.className = "bars";
    for (let rank = 0; rank < k; rank++) {
      const line = table.insertRow(), share = own.share[here * k + rank] / 1000;
      line.append(make("td", words[own.words[here * k + rank]]), make("td", `${(100 * share).toFixed(1)} %`));
      const bar = make("span");
      bar.className = "bar";
      bar.style.setProperty("--v", share.toFixed(3));
      line.insertCell().append(bar);
    }
    side.replaceChildren(
      make("h2", `Layer ${layer}, position ${one.number}`),
      make("p", `Input: ${one.text} (${one.kind})`),
      make("p", `Entropy ${own.entropy[here].toFixed(2)} nats`),
      table,
    );
  }

  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  grid.addEventListener("keydown", (event) => {
    let { row, column } = at;
    if (event.key in steps) { row += steps[event.key][0]; column += steps[event.key][1]; }
    else if (event.key === "Home") column = 0;
    else if (event.key === "End") column = positions.length - 1;
    else return;
    event.preventDefault();
    row = Math.max(0, Math.min(layers - 1, row));
    column = Math.max(0, Math.min(positions.length - 1, column));
    cells[row][column].focus();
  });

  const pick = (name, value) => { document.querySelector(`input[name=${name}][value=${value}]`).checked = true; };
  const use = { channel: (value) => { channel = value; paint(); }, color: (value) => { color = value; paint(); } };
  for (const name of ["channel", "color"])
    for (const input of document.querySelectorAll(`input[name=${name}]`))
      input.addEventListener("change", () => use[name](input.value));

  function theme() {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  }
  document.getElementById("theme").addEventListener("click", theme);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const names = Object.keys(data.cells), number = Number(event.key) - 1;
    if (number in names) { pick("channel", names[number]); use.channel(names[number]); }
    else if (event.key === "c") { const next = color === "entropy" ? "share" : "entropy"; pick("color", next); use.color(next); }
    else if (event.key === "t") theme();
  });

  cells[0][positions.length - 1].tabIndex = 0;
  paint();
  // The last position predicts the answer: begin there.
  grid.parentElement.scrollLeft = grid.scrollWidth;
})();
