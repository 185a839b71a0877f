// The cameras of all tabs: the page says why one does not start. Live offers every camera there is,
// and rests while nobody looks.
(() => {
  const NAMES = {
    NotAllowedError: "denied", SecurityError: "denied",
    NotFoundError: "missing", OverconstrainedError: "missing",
  };
  const devices = navigator.mediaDevices;
  let starting = false; // the camera was just opened in the Live tab
  let resting = false; // the stream was stopped because nobody looked
  let reopening = false;
  let open = null; // the browser's own getUserMedia
  let constraints = null; // what was asked of it last

  const camera = () => document.getElementById("camera");
  const isShown = (element) => Boolean(element?.offsetParent);
  const button = () => camera()?.querySelector("button[aria-label='capture photo']");
  const isStreaming = () => Boolean(button()?.querySelector("[title='stop recording'], [title='spinner']"));

  // --- what is wrong, beside the input whose camera it is: camera_trouble.jinja has the sentences
  const troubles = new Map(devices?.getUserMedia ? [] : [["camera", "insecure"]]); // by the input's id
  const boxes = () => [...document.querySelectorAll(".camera-trouble")];
  const asking = () => boxes().find(isShown)?.dataset.camera; // one tab is shown at a time
  const why = (error) => NAMES[error.name] ?? "busy";

  function say() {
    for (const { dataset } of boxes()) {
      const name = troubles.get(dataset.camera) ?? "";
      if (dataset.trouble !== name) dataset.trouble = name;
    }
  }
  const tell = (input, name) => {
    troubles.set(input, name);
    say();
  };

  // --- the tab Live

  // An opened camera is answered at once. A hidden tab must not cost anything: its stream stops, and
  // goes on when it is seen again.
  function watch() {
    say(); // Gradio builds the tab after this script has run, and may build it anew
    const seen = isShown(camera()) && !document.hidden;
    const video = camera()?.querySelector("video");
    if (video?.videoWidth)
      document.getElementById("live-stage")?.style.setProperty("--ratio", video.videoWidth / video.videoHeight);
    const track = trackOf(video);
    if (track) track.enabled = seen;
    document.getElementById("live-stage")?.classList
      .toggle("unmirrored", track?.getSettings().facingMode === "environment");
    // A phone takes the camera from a page that is not looked at.
    if (seen && constraints && track?.readyState === "ended" && !reopening) reopen(constraints);
    if (!seen && isStreaming()) {
      resting = true;
      button().click();
    } else if (seen && (resting || starting) && button() && video?.videoWidth) {
      if (!isStreaming()) button().click();
      resting = starting = false;
    }
  }
  document.addEventListener("visibilitychange", watch);
  setInterval(watch, 300);

  const trackOf = (video) => video?.srcObject?.getVideoTracks()[0];

  // Gradio offers its cameras only while nothing is sent. It reads the picture from the player, so
  // that another stream there is all that a change takes.
  async function reopen(wanted) {
    const video = camera().querySelector("video");
    reopening = true;
    trackOf(video)?.stop(); // phones open one camera at a time
    try {
      video.srcObject = await open(wanted);
      await video.play();
      constraints = wanted;
      tell("camera", "");
    } catch (error) {
      tell("camera", why(error));
      // The one from before, unless that is what failed.
      if (wanted !== constraints) return reopen(constraints);
      constraints = null;
    } finally {
      reopening = false;
      offer();
    }
  }

  async function offer() {
    const choice = document.querySelector(".camera-choice");
    if (!choice) return;
    const list = choice.querySelector("select");
    const cameras = (await devices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
    const now = trackOf(camera()?.querySelector("video"))?.getSettings().deviceId;
    choice.hidden = cameras.length < 2 || !now;
    list.replaceChildren(...cameras.map(({ deviceId, label }, index) =>
      new Option(label || `Camera ${index + 1}`, deviceId, false, deviceId === now)));
    list.onchange = () => reopen({
      ...constraints,
      video: { ...constraints?.video, deviceId: { exact: list.value } },
    });
  }

  // --- Gradio leaves a refused camera to the browser's console
  if (!devices?.getUserMedia) {
    document.addEventListener("click", ({ target }) => {
      if (target.closest?.("[aria-label='Capture from camera']")) tell(asking(), "insecure");
    });
    return;
  }
  open = devices.getUserMedia.bind(devices);
  devices.addEventListener?.("devicechange", offer);
  devices.getUserMedia = async (wanted) => {
    const input = asking();
    try {
      const stream = await open(wanted);
      tell(input, "");
      starting = isShown(camera());
      if (starting) {
        constraints = wanted;
        setTimeout(offer, 500); // once the player has the stream
      }
      return stream;
    } catch (error) {
      tell(input, why(error));
      return new Promise(() => {}); // so that Gradio's button can be clicked again
    }
  };
})();
