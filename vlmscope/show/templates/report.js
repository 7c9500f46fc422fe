"use strict";
const root = document.documentElement, every = (select, within = document) => [...within.querySelectorAll(select)];

function theme() {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}

// One model of a system at a time; what belongs to no single model is always there.
function show(system, model) {
  for (const group of every(`.group[data-system="${system}"]`)) {
    group.hidden = model !== "*" && group.dataset.model !== model;
  }
  for (const button of every(`.tabs button[data-for="${system}"]`)) {
    button.setAttribute("aria-pressed", String(button.dataset.model === model));
  }
}

// A link may lead into a model that is not shown.
function follow() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const group = target?.closest(".group");
  if (group?.hidden) {
    show(group.dataset.system, group.dataset.model);
    target.scrollIntoView();
  }
}

// The part that is read is marked among the links at the top.
function mark(entries) {
  for (const entry of entries.filter((one) => one.isIntersecting)) {
    for (const link of every(".bar nav a")) {
      if (link.hash === `#${entry.target.id === "top" ? "main" : entry.target.id}`) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }
}

document.getElementById("theme").addEventListener("click", theme);
for (const button of every(".tabs button")) button.addEventListener("click", () => show(button.dataset.for, button.dataset.model));
for (const tabs of every(".tabs")) {
  const first = tabs.querySelector("button");
  show(first.dataset.for, first.dataset.model);
}
addEventListener("hashchange", follow);
follow();
// The first part, until another one is seen to be read.
document.querySelector(".bar nav a").setAttribute("aria-current", "true");
const watch = new IntersectionObserver(mark, { rootMargin: "-20% 0px -70% 0px" });
for (const part of every(".hero, .system")) watch.observe(part);
addEventListener("beforeprint", () => every("details.table").forEach((one) => { one.open = true; }));
