// The Clip tab's result: the annotated clip plays from memory, and the timeline moves it.
function startClip(element, watch) {
  let address = "";
  const video = () => element.querySelector("video");

  // Safari plays no `data:` URL; and a blob is sought in at once.
  function load() {
    URL.revokeObjectURL(address);
    address = "";
    const link = element.querySelector("a.annotated");
    if (!link) return;
    const [head, body] = link.href.split(",");
    const bytes = Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0));
    address = URL.createObjectURL(new Blob([bytes], { type: head.slice(5, head.indexOf(";")) }));
    link.href = address;
    video().src = address;
    video().addEventListener("timeupdate", follow);
    video().addEventListener("loadedmetadata", follow);
    if (innerWidth <= 900) element.scrollIntoView();
  }

  function follow() {
    const share = video().duration ? video().currentTime / video().duration : 0;
    element.querySelector(".lines")?.style.setProperty("--at", share);
  }

  // A frame is asked for by its middle: at its very begin some browsers show the one before.
  function show(seconds) {
    const { step } = element.querySelector(".clip").dataset;
    video().pause();
    video().currentTime = seconds + Number(step) / 2;
  }

  element.addEventListener("click", (event) => {
    const button = event.target.closest?.("button");
    if (!button || !video()) return;
    const { at, move } = button.dataset;
    const step = Number(element.querySelector(".clip").dataset.step);
    if (move) video().currentTime += move * step;
    else if (button.closest(".over-time") && event.detail) show(placeOf(event, button));
    else if (at !== undefined) show(Number(at));
    if (at !== undefined && innerWidth <= 900) video().scrollIntoView({ block: "nearest" });
  });

  // A mouse means the place that it clicked; the keyboard means the span's begin.
  function placeOf(event, button) {
    const line = button.closest(".over-time").getBoundingClientRect();
    const step = Number(element.querySelector(".clip").dataset.step);
    const at = ((event.clientX - line.left) / line.width) * (video().duration || 0);
    return Math.max(Number(button.dataset.at), at - step / 2);
  }

  watch("value", load);
  load();
}

// A clip that is too large is told before it is sent; Gradio's own word for it goes away unread.
(() => {
  function check(event, files) {
    const words = document.querySelector(".clip-too-large");
    if (!event.target.closest?.("#clip") || !words || !files?.length) return;
    words.hidden = [...files].every(({ size }) => size <= words.dataset.megabytes * 2 ** 20);
    if (words.hidden) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.target.files) event.target.value = "";
  }
  document.addEventListener("change", (event) => check(event, event.target.files), true);
  document.addEventListener("drop", (event) => check(event, event.dataTransfer?.files), true);
})();
