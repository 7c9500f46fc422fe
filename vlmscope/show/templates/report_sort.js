
// Tables sort by a click on a head: upwards, downwards, as they were.
const NEXT = { none: "ascending", ascending: "descending", descending: "none" };

function compare(a, b) {
  const [x, y] = [Number(a), Number(b)];
  // Empty cells stand last, whatever the direction.
  if (a === "" || b === "") return a === b ? 0 : a === "" ? Infinity : -Infinity;
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
}

function sort(head) {
  const table = head.closest("table"), body = table.tBodies[0], place = head.cellIndex, way = NEXT[head.ariaSort];
  table.rowsAsTheyWere ??= [...body.rows];
  for (const one of head.parentNode.cells) one.ariaSort = "none";
  head.ariaSort = way;
  const rows = [...table.rowsAsTheyWere], sign = way === "descending" ? -1 : 1;
  if (way !== "none") {
    rows.sort((a, b) => {
      const found = compare(a.cells[place].dataset.v, b.cells[place].dataset.v);
      return Math.abs(found) === Infinity ? found : sign * found;
    });
  }
  body.append(...rows);
}

for (const button of every("table.sortable th button")) button.addEventListener("click", () => sort(button.closest("th")));
