"use strict";
// All that the page says is there without this. It makes what SVG's titles say appear at once,
// and lets the reader choose between light and dark.
(() => {
  const root = document.documentElement;
  const button = document.createElement("button");
  button.className = "theme";
  button.type = "button";
  const isDark = () =>
    (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const label = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    label();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
  label();
  document.querySelector("header").prepend(button);

  const said = new WeakMap();
  for (const shape of document.querySelectorAll("svg.plot rect")) {
    const title = shape.querySelector("title");
    if (title) {
      said.set(shape, title.textContent);
      title.remove();
    }
  }
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);
  document.addEventListener("pointermove", (event) => {
    const text = said.get(event.target);
    tip.hidden = text === undefined;
    if (tip.hidden) return;
    tip.textContent = text;
    const { width, height } = tip.getBoundingClientRect();
    const right = event.clientX + 14 + width > innerWidth;
    const below = event.clientY + 14 + height > innerHeight;
    tip.style.left = `${Math.max(0, right ? event.clientX - 14 - width : event.clientX + 14)}px`;
    tip.style.top = `${Math.max(0, below ? event.clientY - 14 - height : event.clientY + 14)}px`;
  });
})();
