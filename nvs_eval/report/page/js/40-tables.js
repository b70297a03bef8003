// Tables as in print, sortable by a click on a heading. Blocks of a table (published rows, means) stay apart.

function makeSortable(container, number) {
  container.querySelectorAll("table").forEach((table, offset) => sortableTable(table, number + offset));
}

function sortableTable(table, number) {
  const headings = [...table.querySelectorAll("thead th")];
  const printed = [...table.tBodies].map((body) => [...body.rows]);
  if (!printed.some((rows) => rows.length > 1)) return;
  headings.forEach((heading, column) => {
    const sort = button("", { class: "sort", click: () => set({ table: nextOrder(number, column) }) });
    sort.append(...heading.childNodes);
    heading.append(sort);
  });
  const apply = () => {
    const [sorted, column, direction] = state.table.split(",").map(Number);
    const active = state.table !== "" && sorted === number && column < headings.length;
    headings.forEach((heading, index) => {
      if (active && index === column) heading.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      else heading.removeAttribute("aria-sort");
    });
    [...table.tBodies].forEach((body, index) => {
      body.append(...(active ? sortedRows(printed[index], column, direction) : printed[index]));
    });
  };
  on("table", () => table.isConnected && apply());
  apply();
}

/** A heading sorts upwards, then downwards, then as in print. */
function nextOrder(number, column) {
  const ascending = `${number},${column},1`;
  const descending = `${number},${column},-1`;
  return state.table === ascending ? descending : state.table === descending ? "" : ascending;
}

function sortedRows(rows, column, direction) {
  const keyed = rows.map((row) => ({ row, text: cellText(row.cells[column]) }));
  const numeric = keyed.every(({ text }) => !text || !Number.isNaN(cellNumber(text)));
  const compare = (a, b) => {
    if (!a.text || !b.text) return (a.text ? 0 : 1) - (b.text ? 0 : 1);
    if (!numeric) return direction * a.text.localeCompare(b.text, "en", { numeric: true });
    const [x, y] = [cellNumber(a.text), cellNumber(b.text)];
    return x === y ? 0 : direction * (x - y);
  };
  return keyed.sort(compare).map(({ row }) => row);
}

/** Return the text of a cell without its marks and remarks. */
function cellText(cell) {
  if (!cell) return "";
  const copy = cell.cloneNode(true);
  copy.querySelectorAll("sup, small").forEach((part) => part.remove());
  const text = copy.textContent.trim();
  return /^[–—-]?$/.test(text) ? "" : text;
}

function cellNumber(text) {
  if (text === "∞" || text === "inf") return Infinity;
  return Number(text.replace("−", "-").replace(/[\s,%]/g, ""));
}

/** Mark the rows of the compared pair and let a row choose what is compared. */
function tableSection() {
  const protocol = current.protocol;
  const section = el("div", { class: "tables" });
  const template = el("template");
  template.innerHTML = protocol.table_html; // Written by nvs-eval with all names escaped.
  section.append(template.content);
  makeSortable(section, 100);
  return section;
}
