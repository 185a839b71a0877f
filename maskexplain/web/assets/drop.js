// Pictures that the browser knows no type of, such as a phone's HEIC dropped on a computer: Gradio
// takes them for no pictures. Their names say what they are; the server looks at their bytes. Where
// only pictures are taken, a name that says nothing will do, too.
(() => {
  const TYPES = {
    heic: "image/heic", heif: "image/heif", avif: "image/avif", webp: "image/webp",
    jpg: "image/jpeg", jpeg: "image/jpeg", jfif: "image/jpeg", png: "image/png",
    gif: "image/gif", bmp: "image/bmp", tif: "image/tiff", tiff: "image/tiff",
  };
  function typed(file, other) {
    const type = TYPES[file.name.toLowerCase().split(".").pop()] ?? other;
    const known = file.type && file.type !== "application/octet-stream";
    return type && !known ? new File([file], file.name, { type }) : file;
  }
  // The same files with their types; null where all have one already.
  function named(files, input) {
    const other = input?.accept === "image/*" ? "image/jpeg" : undefined;
    const given = [...(files ?? [])], better = given.map((file) => typed(file, other));
    if (given.every((file, i) => file === better[i])) return null;
    const data = new DataTransfer();
    better.forEach((file) => data.items.add(file));
    return data;
  }
  addEventListener("drop", (event) => {
    const input = event.target.closest?.("button")?.querySelector("input[type=file]");
    const data = named(event.dataTransfer?.files, input);
    if (!data) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const init = { dataTransfer: data, bubbles: true, cancelable: true };
    event.target.dispatchEvent(new DragEvent("drop", init));
  }, true);
  addEventListener("change", ({ target }) => {
    const data = target.type === "file" && named(target.files, target);
    if (data) target.files = data.files;
  }, true);
})();
