
"use strict";
// without this script the page shows everything; with it, each list of pairs can be narrowed
for (const list of document.querySelectorAll(".pairs")) {
  const pairs = [...list.children];
  if (pairs.length < 2) continue;
  const bar = document.createElement("form");
  bar.className = "filter";
  const chosen = {};
  const add = (name, control) => {
    const label = document.createElement("label");
    label.append(name, control);
    bar.append(label);
    control.addEventListener("input", narrow);
    return control;
  };
  for (const name of ["source", "reason"]) {
    const counts = new Map();
    for (const pair of pairs) counts.set(pair.dataset[name], (counts.get(pair.dataset[name]) || 0) + 1);
    if (counts.size < 2) continue;
    const select = document.createElement("select");
    select.append(new Option(`all (${pairs.length})`, ""));
    for (const [value, count] of [...counts].sort()) select.append(new Option(`${value} (${count})`, value));
    chosen[name] = add(name, select);
  }
  const search = document.createElement("input");
  search.type = "search";
  add("text", search);
  const said = document.createElement("output");
  said.setAttribute("role", "status");
  bar.append(said);
  bar.addEventListener("submit", (event) => event.preventDefault());
  function narrow() {
    const wanted = search.value.toLowerCase();
    let shown = 0;
    for (const pair of pairs) {
      const fits = Object.entries(chosen).every(([name, select]) => !select.value || pair.dataset[name] === select.value);
      pair.hidden = !(fits && pair.textContent.toLowerCase().includes(wanted));
      if (!pair.hidden) shown += 1;
    }
    said.value = `${shown} of ${pairs.length} shown`;
  }
  narrow();
  list.before(bar);
}
