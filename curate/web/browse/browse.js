"use strict";
// without this script every page works by links and forms; with it come keys, labels without a reload, and zoom
const pairs = () => [...document.querySelectorAll("article.pair")];
let now = -1;

function go(to) {
  const all = pairs();
  if (!all.length) return;
  if (to >= all.length) { follow("next"); return; }
  if (to < 0) { follow("prev"); return; }
  if (all[now]) all[now].classList.remove("now");
  now = to;
  all[now].classList.add("now");
  all[now].focus({ preventScroll: true });
  all[now].scrollIntoView({ block: "start" });
}

function follow(rel) {
  const link = document.querySelector(`a[rel="${rel}"]`);
  if (link) location.href = link.href;
}

async function label(form, button) {
  const body = new URLSearchParams(new FormData(form));
  body.set("choice", button.value);
  const output = form.querySelector("output");
  let answer;
  try {
    answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
  } catch {
    output.value = "the server does not answer: not saved";
    return;
  }
  const found = await answer.json();
  if (!answer.ok) { output.value = `not saved: ${found.error}`; return; }
  output.value = found.labels;
  for (const one of form.querySelectorAll("button[name=choice]")) {
    one.setAttribute("aria-pressed", String(one.value === found.pressed));
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.classList.contains("labels") || !event.submitter) return;
  event.preventDefault();
  label(form, event.submitter);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea, dialog")) return;
  const key = event.key;
  if (key === "j") go(now + 1);
  else if (key === "k") go(now - 1);
  else if (key === "n") follow("next");
  else if (key === "p") follow("prev");
  else if (key === "/") document.querySelector("input[name=q]")?.focus();
  else if ("12tb".includes(key)) {
    const pair = pairs()[Math.max(now, 0)];
    const button = pair?.querySelector(`button[name=choice][value="${key}"]`);
    if (!button) return;
    if (now < 0) go(0);
    label(button.form, button);
  } else return;
  event.preventDefault();
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a.zoom");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const larger = document.getElementById("larger");
  larger.querySelector("img")?.remove();
  const image = new Image();
  image.src = link.href;
  image.alt = link.getAttribute("aria-label");
  larger.append(image);
  larger.showModal();
});

for (const control of document.querySelectorAll(".controls select, .controls input[type=checkbox]")) {
  control.addEventListener("change", () => control.form.requestSubmit());
}

const facets = document.querySelector("details.facets");
if (facets && matchMedia("(max-width: 60rem)").matches) facets.open = false;

// a search that goes on: the page is asked again until it is finished
async function look() {
  if (!document.querySelector("[data-searching]")) return;
  const answer = await fetch(location.href);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of ["main", "aside .facets"]) {
    const old = document.querySelector(part), other = fresh.querySelector(part);
    if (old && other && (part !== "main" || now < 0)) old.replaceChildren(...other.childNodes);
  }
  if (now >= 0) document.querySelector(".status").replaceWith(fresh.querySelector(".status"));
  setTimeout(look, 1000);
}
setTimeout(look, 700);
