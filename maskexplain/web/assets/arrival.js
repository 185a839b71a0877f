// The light slider on arrival: every answer was computed before, so it moves without the server.
(() => {
  function show(slider) {
    const box = slider.closest(".arrival");
    const answers = JSON.parse(box.dataset.answers)[slider.value];
    box.querySelector("output").textContent = slider.value + "%";
    box.querySelector("img").style.filter = `brightness(${slider.value / 100})`;
    for (const line of box.querySelectorAll("[data-version]"))
      line.querySelector(".reply").innerHTML = answers[line.dataset.version];
  }
  document.addEventListener("input", ({ target }) => {
    if (target.matches?.(".arrival input")) show(target);
  });
  const observer = new MutationObserver(() => {
    const slider = document.querySelector(".arrival input:not([data-shown])");
    if (!slider) return;
    slider.dataset.shown = "yes";
    show(slider);
  });
  observer.observe(document, { childList: true, subtree: true });
})();
