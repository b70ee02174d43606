"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const root = document.documentElement;
  const find = (id) => document.getElementById(id);
  const content = () => JSON.parse(find("data").textContent);

  const theme = find("theme");
  const themes = ["auto", "light", "dark"];
  const show = (name) => {
    root.dataset.theme = name;
    theme.textContent = `Theme: ${name}`;
  };
  theme.hidden = false;
  theme.addEventListener("click", () => {
    show(themes[(themes.indexOf(root.dataset.theme || "auto") + 1) % themes.length]);
  });

  const download = find("download");
  download.hidden = false;
  download.addEventListener("click", () => {
    const data = content();
    data.sections.forEach((section, s) =>
      section.figures.forEach((figure, f) => {
        if (figure.kind !== "thumbnails") return;
        const pictures = find(`figure-${s + 1}-${f + 1}`).querySelectorAll("img");
        figure.items.forEach((item, i) => (item.uri = pictures[i].src));
      }),
    );
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(data, null, 2)], { type: "application/json" }));
    link.download = "report.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });

  const tip = find("tip");
  const hide = () => (tip.hidden = true);
  const place = (event) => {
    const mark = event.target.closest ? event.target.closest("[data-tip]") : null;
    if (!mark) return hide();
    tip.textContent = mark.dataset.tip;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = Math.min(event.clientX + 14, innerWidth - box.width - 8);
    const above = event.clientY - box.height - 12;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${above > 8 ? above : event.clientY + 18}px`;
  };
  addEventListener("pointermove", place, { passive: true });
  addEventListener("pointerdown", place, { passive: true });
  addEventListener("scroll", hide, { passive: true });
  addEventListener("keydown", (event) => event.key === "Escape" && hide());

  const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a]));
  const watch = new IntersectionObserver(
    (entries) =>
      entries.forEach((entry) => {
        if (!entry.isIntersecting) return;
        links.forEach((a) => a.removeAttribute("aria-current"));
        links.get(entry.target.id).setAttribute("aria-current", "true");
      }),
    { rootMargin: "-20% 0px -70% 0px" },
  );
  links.forEach((_, id) => watch.observe(find(id)));

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll(".reasons details:not([open]), details.more:not([open])")];
    closed.forEach((details) => (details.open = true));
  });
  addEventListener("afterprint", () => closed.forEach((details) => (details.open = false)));
});
