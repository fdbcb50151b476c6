// The table of the ledger: searched, filtered by column, sorted by a click on a heading. Without this file it is a table.
document.addEventListener("DOMContentLoaded", () => {
  const table = document.querySelector("table.ledger");
  if (!table) return;
  const make = (name, properties, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const words = new Map(rows.map((row) => [row, [...row.cells].map((cell) => cell.textContent.replaceAll("\u200b", "").trim())]));
  const heads = [...table.tHead.rows[0].cells];
  const names = heads.map((head) => head.textContent.trim());

  const search = make("input", { type: "text", autocomplete: "off" });
  const fields = [make("label", {}, "Find", search)];
  const filters = ["Lecture", "Chapter", "Verdict", "Agreement", "Measured by"].map((name) => {
    const column = names.indexOf(name);
    const values = new Set(rows.flatMap((row) => words.get(row)[column].split(", ")).filter(Boolean));
    const select = make("select", {}, make("option", { value: "" }, "all"));
    select.append(...[...values].map((value) => make("option", { value }, value)));
    fields.push(make("label", {}, name, select));
    return { column, select };
  });
  const count = make("output", {});
  count.setAttribute("aria-live", "polite");
  const form = make("form", { className: "ledger-controls" }, ...fields, make("button", { type: "reset" }, "Show all"), count);
  const show = () => {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row) => {
      const cells = words.get(row);
      const text = cells.join(" ").toLowerCase();
      row.hidden = !(wanted.every((word) => text.includes(word)) && filters.every(({ column, select }) =>
        !select.value || cells[column].split(", ").includes(select.value)));
    });
    count.value = `${rows.filter((row) => !row.hidden).length} of ${rows.length} claims`;
  };
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(show));
  (table.closest(".pst-scrollable-table-container") ?? table).before(form);
  show();

  const number = (text) => parseFloat(text.replace("\u2212", "-").replace("e\u2212", "e-"));
  const compare = (a, b) => {
    if (!a || !b) return !a - !b;
    const [x, y] = [number(a), number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
  };
  heads.forEach((head, column) => {
    const button = make("button", { type: "button" }, names[column]);
    head.replaceChildren(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const next = { none: "ascending", ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")];
      heads.forEach((other) => other.setAttribute("aria-sort", other === head ? next : "none"));
      const sign = next === "descending" ? -1 : 1;
      const filled = (row) => words.get(row)[column];
      const order = next === "none" ? rows : [...rows].sort((a, b) => {
        const [x, y] = [filled(a), filled(b)];
        return x && y ? sign * compare(x, y) : compare(x, y);
      });
      body.append(...order);
    });
  });
});
