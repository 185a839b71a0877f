// A brush over the face: painted cells are blurred here as the server blurs them for the networks.
// The face is the --face of an outer element; the value that is sent is 24 x 24 cells, "0" or "1".
function startBrush(element, props, trigger, watch) {
  const CELLS = 24, REACH = 1.6; // cells that one touch covers, from its middle
  const canvas = element.querySelector("canvas");
  const pen = canvas.getContext("2d");
  const face = new Image();
  let cells = new Uint8Array(CELLS * CELLS);
  let hiding = true, drawing = false, cursor = null, timer = 0;

  const size = () => [canvas.width / CELLS, canvas.height / CELLS];
  function draw() {
    const [w, h] = size();
    pen.clearRect(0, 0, canvas.width, canvas.height);
    if (face.complete && face.naturalWidth) {
      pen.drawImage(face, 0, 0, canvas.width, canvas.height);
      pen.save();
      pen.beginPath();
      cells.forEach((on, i) => { if (on) pen.rect((i % CELLS) * w, Math.floor(i / CELLS) * h, w + .5, h + .5); });
      pen.clip();
      pen.filter = `blur(${canvas.width / 12}px)`;
      pen.drawImage(face, 0, 0, canvas.width, canvas.height);
      pen.filter = "none";
      pen.fillStyle = "rgba(255, 255, 255, .18)";
      pen.fillRect(0, 0, canvas.width, canvas.height);
      pen.restore();
    }
    if (cursor !== null && document.activeElement === canvas) {
      pen.lineWidth = 3;
      for (const colour of ["#000", "#fff"]) {
        pen.strokeStyle = colour;
        pen.strokeRect((cursor % CELLS) * w, Math.floor(cursor / CELLS) * h, w, h);
        pen.lineWidth = 1;
      }
    }
  }
  function send() {
    clearTimeout(timer);
    timer = setTimeout(() => {
      props.value = Array.from(cells).join("");
      trigger("input");
    }, 40); // milliseconds: the strokes of one movement together
  }
  function touch(column, row) {
    for (let y = 0; y < CELLS; y++)
      for (let x = 0; x < CELLS; x++)
        if (Math.hypot(x + .5 - column, y + .5 - row) <= REACH) cells[y * CELLS + x] = hiding ? 1 : 0;
    draw();
    send();
  }
  function at(event) {
    const box = canvas.getBoundingClientRect();
    touch((event.clientX - box.left) / box.width * CELLS, (event.clientY - box.top) / box.height * CELLS);
  }
  canvas.addEventListener("pointerdown", (event) => {
    drawing = true;
    canvas.setPointerCapture(event.pointerId);
    at(event);
  });
  canvas.addEventListener("pointermove", (event) => { if (drawing) at(event); });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { drawing = false; });
  canvas.addEventListener("focus", () => { cursor ??= CELLS * CELLS / 2 + CELLS / 2; draw(); });
  canvas.addEventListener("blur", draw);
  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (step) {
      const x = Math.min(CELLS - 1, Math.max(0, cursor % CELLS + step[0]));
      const y = Math.min(CELLS - 1, Math.max(0, Math.floor(cursor / CELLS) + step[1]));
      cursor = y * CELLS + x;
      draw();
    } else if (event.key === " ") {
      const mode = hiding;
      hiding = !cells[cursor];
      touch(cursor % CELLS + .5, Math.floor(cursor / CELLS) + .5);
      hiding = mode;
    } else if (event.key === "Escape") {
      set("");
      send();
    } else return;
    event.preventDefault();
  });
  function set(text) {
    cells = Uint8Array.from({ length: CELLS * CELLS }, (_, i) => (text[i] === "1" ? 1 : 0));
    draw();
  }
  element.addEventListener("click", ({ target }) => {
    const act = target.closest?.("[data-act]")?.dataset.act;
    if (act === "hide" || act === "show") {
      hiding = act === "hide";
      element.querySelectorAll("[aria-pressed]").forEach((button) =>
        button.setAttribute("aria-pressed", String(button.dataset.act === act)));
    } else if (act === "hottest" || act === "clear") {
      set(act === "hottest" ? document.querySelector("#photo-answer .heat")?.dataset.hottest ?? "" : "");
      send();
    }
  });
  // Another face: its picture, nothing hidden.
  function renew() {
    const style = getComputedStyle(element);
    const aspect = Number(style.getPropertyValue("--aspect")) || 1;
    canvas.width = Math.round(384 * Math.min(1, aspect));
    canvas.height = Math.round(384 / Math.max(1, aspect));
    face.onload = draw;
    face.src = address();
    set("");
  }
  const address = () =>
    getComputedStyle(element).getPropertyValue("--face").trim().replace(/^url\("?|"?\)$/g, "");
  watch("face", () => setTimeout(renew, 50)); // the new --face may arrive a moment later
  new IntersectionObserver(([seen]) => {
    if (seen.isIntersecting && face.src !== address()) renew();
  }).observe(canvas);
}
