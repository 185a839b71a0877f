// The Live tab's camera: says in the page why it does not start, offers every camera there is, and
// rests while nobody looks.
(() => {
  const TROUBLES = ["denied", "missing", "busy", "insecure"]; // sentences in camera_trouble.html
  const NAMES = {
    NotAllowedError: "denied", SecurityError: "denied",
    NotFoundError: "missing", OverconstrainedError: "missing",
  };
  const devices = navigator.mediaDevices;
  let trouble = devices?.getUserMedia ? "" : "insecure";
  let starting = false; // the camera was just opened in the Live tab
  let resting = false; // the stream was stopped because nobody looked
  let reopening = false;
  let open = null; // the browser's own getUserMedia
  let constraints = null; // what was asked of it last

  const camera = () => document.getElementById("camera");
  const isShown = (element) => Boolean(element?.offsetParent);
  const button = () => camera()?.querySelector("button[aria-label='capture photo']");
  const isStreaming = () => Boolean(button()?.querySelector("[title='stop recording'], [title='spinner']"));

  function say() {
    const box = document.getElementById("camera-trouble");
    TROUBLES.forEach((name) => box?.classList.toggle(name, name === trouble));
  }

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
      trouble = "";
    } catch (error) {
      trouble = NAMES[error.name] ?? "busy";
      // The one from before, unless that is what failed.
      if (wanted !== constraints) return reopen(constraints);
      constraints = null;
    } finally {
      reopening = false;
      say();
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

  // Gradio leaves a refused camera to the browser's console. In the Live tab the page says it, and
  // the promise stays open, so that Gradio's button can be clicked again. Elsewhere nothing changes.
  if (!devices?.getUserMedia) return;
  open = devices.getUserMedia.bind(devices);
  devices.addEventListener?.("devicechange", offer);
  devices.getUserMedia = async (wanted) => {
    try {
      const stream = await open(wanted);
      trouble = "";
      starting = isShown(camera());
      if (starting) {
        constraints = wanted;
        setTimeout(offer, 500); // once the player has the stream
      }
      return stream;
    } catch (error) {
      if (!isShown(camera())) throw error;
      trouble = NAMES[error.name] ?? "busy";
      return new Promise(() => {});
    } finally {
      say();
    }
  };
})();
