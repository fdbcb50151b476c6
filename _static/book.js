document.addEventListener("DOMContentLoaded", () => {
  // A name that hides the words on a control is of no use to those who speak to it or hear it.
  document.querySelectorAll(".search-button-field, summary").forEach((control) => control.removeAttribute("aria-label"));
  // A list of references is a list only if its entries say that they are its items.
  document.querySelectorAll(".citation-list > .citation").forEach((entry) => entry.setAttribute("role", "listitem"));
  // What a click unfolds may scroll: the theme looks for that when the window changes, and lets the keyboard reach it.
  document.addEventListener("click", () => window.dispatchEvent(new Event("resize")));
  // The theme cuts off a formula in a line that is wider than its paragraph: let it scroll.
  const fit = () => document.querySelectorAll("article span.math mjx-container").forEach((formula) =>
    formula.classList.toggle("wide", formula.scrollWidth > formula.closest("p, li, dd, td, div").clientWidth));
  window.addEventListener("resize", fit);
  window.MathJax?.startup?.promise.then(fit);
  // The frame of a table that may scroll can be reached by keyboard.
  document.querySelectorAll(".pst-scrollable-table-container").forEach((frame) => frame.setAttribute("tabindex", "0"));
  // In tables of many columns each filled cell carries the name of its column, for narrow screens.
  document.querySelectorAll("article table.table").forEach((table) => {
    const names = [...table.querySelectorAll("thead th")].map((head) => head.textContent.trim());
    if (names.length < 4) return;
    table.classList.add("wide");
    table.querySelectorAll("tbody td").forEach((cell) => {
      if (cell.textContent.trim()) cell.dataset.column = names[cell.cellIndex];
    });
  });
});
