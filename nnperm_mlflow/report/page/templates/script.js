"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const tables = all("table.boxes");
  const value = (row, column) => {
    const cell = row.cells[column];
    if (!cell) return NaN;
    const first = cell.firstChild;
    return parseFloat((first ? first.textContent : "").replace(/,/g, ""));
  };
  const text = (row) => row.cells[1].firstElementChild.textContent;
  const named = (row) => all("b, small:not(.note)", row.cells[1]).map((part) => part.textContent).join(" ").toLowerCase();

  const live = document.getElementById("told");
  const tell = (words) => { if (live) live.textContent = words; };

  function sort(table, header) {
    const column = header.cellIndex;
    const isName = header.classList.contains("f");
    const was = header.getAttribute("aria-sort");
    const rises = was ? was === "descending" : isName || column === 0;
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const key = isName
      ? (a, b) => text(a).localeCompare(text(b))
      : (a, b) => value(a, column) - value(b, column);
    const known = isName ? rows : rows.filter((row) => !Number.isNaN(value(row, column)));
    const unknown = isName ? [] : rows.filter((row) => Number.isNaN(value(row, column)));
    known.sort(rises ? key : (a, b) => key(b, a));
    body.append(...known, ...unknown);
    all("th", table.tHead).forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", rises ? "ascending" : "descending");
    tell("Sorted by " + header.textContent.trim() + (rises ? ", smallest first." : ", largest first."));
  }
  tables.forEach((table) => all("thead th button", table).forEach((button) =>
    button.addEventListener("click", () => sort(table, button.closest("th")))));

  const byId = (id) => document.getElementById(id);
  const controls = { name: byId("by-name"), way: byId("by-way"), kind: byId("by-kind"), effect: byId("by-effect") };
  function filter() {
    const wanted = controls.name ? controls.name.value.trim().toLowerCase() : "";
    const is = (control, told) => !control || control.value === "" || control.value === told;
    let shown = 0;
    let total = 0;
    tables.forEach((table) => [...table.tBodies[0].rows].forEach((row) => {
      const keeps = named(row).includes(wanted)
        && is(controls.way, row.dataset.way) && is(controls.kind, row.dataset.kind)
        && !(controls.effect && controls.effect.checked && "silent" in row.dataset);
      row.hidden = !keeps;
      total += 1;
      shown += keeps ? 1 : 0;
    }));
    const isFiltered = shown < total;
    tables.forEach((table) => table.tBodies[0].classList.toggle("short", !isFiltered && !isWhole));
    tell(isFiltered ? shown + " of " + total + " rows are shown." : "All rows are shown.");
  }
  let isWhole = false;
  Object.values(controls).forEach((control) => control && control.addEventListener("input", filter));
  all("button.whole").forEach((button) => button.addEventListener("click", () => {
    isWhole = !isWhole;
    all("button.whole").forEach((each) => {
      each.textContent = isWhole ? "Show fewer" : each.dataset.words;
      each.setAttribute("aria-expanded", String(isWhole));
    });
    filter();
  }));
  const more = byId("more-columns");
  if (more) more.addEventListener("input", () => tables.forEach((table) => table.classList.toggle("all", more.checked)));

  all("td.c[data-mean]").forEach((cell) => cell.append(cell.previousElementSibling.firstElementChild.cloneNode(true)));
  const closer = byId("closer");
  function zoom() {
    const whole = Number(closer.dataset.end);
    const end = Number(closer.value);
    const width = 1000 * end / whole;
    all("td.c[data-mean]").forEach((cell) => {
      const drawing = cell.firstElementChild;
      drawing.setAttribute("viewBox", "0 0 " + width + " " + drawing.viewBox.baseVal.height);
      cell.classList.toggle("over", Number(cell.dataset.mean) > width);
    });
    all("th.c .axis i").forEach((tick, place) => {
      tick.textContent = String(Number((end * (place % 6) / 5).toPrecision(6)));
    });
  }
  if (closer) {
    closer.addEventListener("input", zoom);
    zoom();
  }

  const ask = byId("ask");
  const answer = byId("answer");
  function reply() {
    const wanted = ask.value.trim().toLowerCase();
    if (!wanted) { answer.textContent = ""; return; }
    const rows = tables.flatMap((table) => [...table.tBodies[0].rows]);
    const found = rows.filter((row) => text(row).toLowerCase() === wanted
      || text(row).toLowerCase().startsWith(wanted + "="));
    const near = found.length ? found : rows.filter((row) => named(row).includes(wanted));
    if (!near.length) {
      answer.textContent = "No feature of that name was disturbed: see what was left out, under method.";
      return;
    }
    answer.textContent = near.slice(0, 4).map((row) => row.dataset.words).join(" ")
      + (near.length > 4 ? " And " + (near.length - 4) + " more in the table." : "");
  }
  if (ask) ask.addEventListener("input", reply);

  all('a[href^="#"]').forEach((link) => link.addEventListener("click", (event) => {
    const target = byId(link.getAttribute("href").slice(1));
    if (!target) return;
    event.preventDefault();
    target.scrollIntoView();
    target.focus({ preventScroll: true });
  }));

  const theme = byId("theme");
  if (theme) theme.addEventListener("click", () => {
    const set = document.documentElement.dataset.theme;
    const isDark = set ? set === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = isDark ? "light" : "dark";
  });
})();
