// The page as a whole: tabs by address and by arrow key, the photo after a reload, no answer beside
// another photo, and the answer in view on a phone.
(() => {
  const tabs = () => [...document.querySelectorAll(".tab-container[role='tablist'] button[role='tab']")];
  const slug = (tab) => tab.textContent.trim().toLowerCase().replace(/\s+/g, "");
  const selected = () => tabs().find((tab) => tab.ariaSelected === "true");

  // --- the tab in the address: links, reload and Back
  function open() {
    const wanted = tabs().find((tab) => "#" + slug(tab) === location.hash.toLowerCase());
    const tab = wanted ?? (location.hash ? null : tabs()[0]);
    if (tab && tab !== selected()) tab.click();
  }
  addEventListener("hashchange", open);
  document.addEventListener("click", ({ target }) => {
    const tab = target.closest?.("button[role='tab']");
    if (!tab || !tabs().includes(tab)) return;
    const hash = "#" + slug(tab);
    if (hash !== (location.hash || "#" + slug(tabs()[0]))) history.pushState(null, "", hash);
  });
  // Other tabs lead here, too, such as Live's “Freeze”. Seen twice, so that a link's own change of the
  // address is not undone before its tab is open.
  let strayed = "";
  function follow() {
    const tab = selected();
    const hash = tab ? "#" + slug(tab) : "";
    const fits = !tab || hash === (location.hash.toLowerCase() || "#" + slug(tabs()[0]));
    if (!fits && strayed === hash) history.pushState(null, "", hash);
    strayed = fits ? "" : hash;
  }
  document.addEventListener("keydown", (event) => {
    const all = tabs();
    const now = all.indexOf(event.target);
    if (now < 0) return;
    const to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const tab = all[(to + all.length) % all.length];
    tab.click();
    tab.focus();
  });

  // --- the photo after a reload: it stays in this browser tab, and goes with it
  const KEY = "maskexplain-photo", LARGEST = 3_000_000; // characters; browsers hold some 5 million
  const input = () => document.querySelector("#photo input[type=file]");
  const shown = () => document.querySelector("#photo img");
  const stored = (act) => {
    try { return act(sessionStorage); } catch { return null; } // full, or forbidden
  };
  let last = "";
  async function remember() {
    const address = shown()?.src ?? "";
    if (address === last) return;
    const was = last;
    last = address;
    if (!address) {
      if (was) stored((store) => store.removeItem(KEY));
      return;
    }
    const blob = await (await fetch(address, { cache: "force-cache" })).blob();
    const reader = new FileReader();
    reader.onload = () => stored((store) => {
      if (last !== address) return; // it was taken away meanwhile
      if (reader.result.length <= LARGEST) store.setItem(KEY, reader.result);
      else store.removeItem(KEY);
    });
    reader.readAsDataURL(blob);
  }
  async function restore() {
    const url = stored((store) => store.getItem(KEY));
    if (!url || shown() || !input()) return;
    const blob = await (await fetch(url)).blob();
    const files = new DataTransfer();
    files.items.add(new File([blob], "photo." + blob.type.split("/")[1], { type: blob.type }));
    input().files = files.files;
    input().dispatchEvent(new Event("change", { bubbles: true }));
    last = "restored"; // stored anew when it is shown; gone where it is taken away before that
  }

  // --- another photo: the answer to the one before is not seen until there is a new one
  const waiting = new Map(); // by the input's id, when its newest photo was given
  const pictures = new Map([["photo", ""], ["compare-photo", ""]]); // the addresses that they show
  const errors = () => [...document.querySelectorAll(".toast-body.error")];
  let known = new Set(); // the errors that were there when the newest photo was given
  window.otherPhoto = (photo) => {
    waiting.set(photo, performance.now());
    known = new Set(errors());
    document.documentElement.classList.remove("no-answer");
    document.documentElement.classList.add("other-" + photo);
    return waiting.get(photo);
  };
  new MutationObserver(() => {
    // Gradio shows a photo some frames before it asks.
    for (const [photo, before] of pictures) {
      const address = document.querySelector(`#${photo} img`)?.src ?? "";
      if (address && address !== before && !waiting.has(photo)) otherPhoto(photo);
      pictures.set(photo, address);
    }
    for (const [photo, moment] of waiting) {
      const answered = document.querySelector(`[data-answered="${photo}"]`);
      if (!answered || Number(answered.dataset.moment) < moment) continue;
      waiting.delete(photo);
      document.documentElement.classList.remove("other-" + photo);
    }
    // The server is full, or away: no answer will come.
    if (waiting.size && errors().some((error) => !known.has(error)))
      document.documentElement.classList.add("no-answer");
  }).observe(document, { childList: true, subtree: true, attributeFilter: ["src", "data-moment"] });
  // Nor the broken sign of a file that the browser cannot show.
  for (const [event, seen] of [["error", "hidden"], ["load", ""]])
    document.addEventListener(event, ({ target }) => {
      if (target.closest?.("#photo, #compare-photo, #whatif-photo")) target.style.visibility = seen;
    }, true);

  // --- on a phone the answer is in the first screen after a click
  let answered = false;
  function reveal() {
    const lead = document.querySelector("#photo-answer .lead");
    const fresh = Boolean(lead) && !answered;
    answered = Boolean(lead);
    if (fresh && innerWidth <= 900)
      document.getElementById("photo-answer").scrollIntoView();
  }

  // --- examples of requests carry the page's own address
  function address() {
    const own = location.origin + location.pathname.replace(/\/$/, "");
    for (const place of document.querySelectorAll("[data-address]"))
      if (place.textContent !== own) place.textContent = own;
  }

  let ready = false;
  setInterval(() => {
    if (!tabs().length) return;
    if (!ready && input()) {
      ready = true;
      open();
      restore();
    }
    if (ready) remember().catch(() => stored((store) => store.removeItem(KEY)));
    if (ready) follow();
    reveal();
    address();
  }, 300);
})();
