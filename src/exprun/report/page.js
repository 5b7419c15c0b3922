"use strict";
// Sorts and filters the table, and highlights a configuration in all charts. The page is complete
// without it.
(() => {
  const table = document.querySelector("#configurations table");
  const body = table.tBodies[0];
  const parts = new Map(); // what shows a configuration, by its number
  for (const element of document.querySelectorAll("[data-c]")) {
    const number = element.dataset.c;
    parts.set(number, [...(parts.get(number) ?? []), element]);
  }

  const pinned = new Set();
  let shown = new Set();
  const show = (numbers) => {
    for (const number of shown) parts.get(number)?.forEach((e) => e.classList.remove("on"));
    for (const number of numbers) parts.get(number)?.forEach((e) => e.classList.add("on"));
    shown = new Set(numbers);
    document.body.classList.toggle("picked", shown.size > 0);
  };
  const numberAt = (event) => event.target.closest?.("[data-c]")?.dataset.c;
  document.addEventListener("pointerover", (event) => {
    const number = event.pointerType === "mouse" ? numberAt(event) : undefined;
    show(number === undefined ? pinned : new Set([...pinned, number]));
  });

  const clear = document.querySelector("#clear");
  const pin = (number) => {
    if (!pinned.delete(number)) pinned.add(number);
    for (const row of body.rows) {
      row.querySelector("button").setAttribute("aria-pressed", pinned.has(row.dataset.c));
    }
    clear.hidden = pinned.size === 0;
    show(pinned);
  };
  document.addEventListener("click", (event) => {
    const number = numberAt(event);
    if (number !== undefined) pin(number);
  });
  clear.addEventListener("click", () => [...pinned].forEach(pin));
  for (const row of body.rows) {
    const name = row.cells[0];
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.append(...name.childNodes);
    name.append(button);
  }

  const value = (row, column) => {
    const text = row.cells[column].textContent;
    return text === "" || Number.isNaN(Number(text)) ? text : Number(text);
  };
  const compare = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b));
  };
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
      const rows = [...body.rows].map((row) => [value(row, column), row]);
      rows.sort(([a], [b]) => (a === "" || b === "" ? compare(a, b) : sign * compare(a, b)));
      body.append(...rows.map(([, row]) => row));
    });
  });

  const tools = document.querySelector("#tools");
  const count = document.querySelector("#count");
  tools.hidden = false;
  tools.querySelector("input").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      const out = !words.every((word) => text.includes(word));
      left += !out;
      parts.get(row.dataset.c).forEach((element) => element.classList.toggle("out", out));
    }
    count.textContent = `${left} of ${body.rows.length}`;
  });

  addEventListener("beforeprint", () => {
    show(pinned);
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
})();
