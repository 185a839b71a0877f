// The photo with its boxes: a click on one asks for its face; the asked one is marked.
function startStage(element, props, trigger, watch) {
  const mark = () =>
    element.querySelectorAll("[data-face]").forEach((box) =>
      box.setAttribute("aria-pressed", String(Number(box.dataset.face) === props.chosen)));
  element.addEventListener("click", ({ target }) => {
    const box = target.closest?.("[data-face]");
    if (box) trigger("click", { face: Number(box.dataset.face) });
  });
  watch(["value", "chosen"], mark);
  mark();
}

// Several photos: a click on a row opens its photo.
function startMany(element, trigger) {
  element.addEventListener("click", ({ target }) => {
    const row = target.closest?.("[data-row]");
    if (row) trigger("click", { row: Number(row.dataset.row) });
  });
}
