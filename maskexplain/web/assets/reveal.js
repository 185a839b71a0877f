// A slider wipes a heatmap off its face. The cards are written anew whenever more is known: where
// a slider stood, which details were open and what had the keyboard is kept by name and put back.
// Gradio patches what is there, so attributes are lost as well as elements.
(() => {
  const KEPT = ".card .reveal input, .card summary, .card a[download]";
  const values = new Map();
  const opened = new Set();
  let focused = null;

  const nameOf = (element) =>
    element.ariaLabel ??
    (element.closest("figure")?.querySelector("img")?.alt ?? "") +
      (element.closest("section")?.ariaLabel ?? "") + element.textContent;
  const wipe = (slider) => {
    const style = slider.closest(".reveal").style;
    const shown = slider.value + "%";
    if (style.getPropertyValue("--shown") !== shown) style.setProperty("--shown", shown);
  };

  const putBack = (element) => {
    const name = nameOf(element);
    if (values.has(name)) {
      element.value = values.get(name);
      wipe(element);
    }
    if (opened.has(name) && !element.parentElement.open) element.parentElement.open = true;
    if (focused === name && document.activeElement === document.body)
      element.focus({ preventScroll: true });
  };

  document.addEventListener("input", ({ target }) => {
    if (!target.matches?.(".reveal input")) return;
    values.set(nameOf(target), target.value);
    wipe(target);
  });
  document.addEventListener("click", ({ target }) => {
    const summary = target.closest?.(".card summary");
    if (!summary) return;
    if (summary.parentElement.open) opened.delete(nameOf(summary)); // it closes after the click
    else opened.add(nameOf(summary));
  });
  document.addEventListener("focusin", ({ target }) => {
    focused = target.matches(KEPT) ? nameOf(target) : null;
  });
  document.addEventListener("pointerdown", () => (focused = null));
  new MutationObserver((changes) => {
    for (const { type, target, addedNodes } of changes)
      for (const node of type === "attributes" ? [target] : addedNodes)
        node.querySelectorAll?.(KEPT).forEach(putBack);
  }).observe(document, {
    childList: true,
    subtree: true,
    attributeFilter: ["style", "open"],
  });
})();
