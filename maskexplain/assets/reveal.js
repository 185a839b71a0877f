// A slider wipes a heatmap off its face. The cards are written anew whenever more is known: where
// a slider stood, and which details were open, is kept by name and put back.
(() => {
  const sliders = new Map();
  const opened = new Map();
  const nameOf = (details) =>
    (details.closest("section")?.ariaLabel ?? "") + details.querySelector("summary")?.textContent;
  const wipe = (slider) =>
    slider.closest(".reveal").style.setProperty("--shown", slider.value + "%");

  const putBack = (node) => {
    for (const slider of node.querySelectorAll(".reveal input")) {
      const value = sliders.get(slider.ariaLabel);
      if (value === undefined) continue;
      slider.value = value;
      wipe(slider);
    }
    for (const details of node.querySelectorAll(".card details")) {
      if (opened.get(nameOf(details))) details.open = true;
    }
  };

  document.addEventListener("input", ({ target }) => {
    if (!target.matches?.(".reveal input")) return;
    sliders.set(target.ariaLabel, target.value);
    wipe(target);
  });
  document.addEventListener("click", ({ target }) => {
    const details = target.closest?.(".card summary")?.parentElement;
    if (details) opened.set(nameOf(details), !details.open); // it opens after the click
  });
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes)
      for (const node of addedNodes) if (node.querySelectorAll) putBack(node);
  }).observe(document, { childList: true, subtree: true });
})();
