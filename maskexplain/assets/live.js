// The Live tab's camera: says in the page why it does not start, and rests while nobody looks.
(() => {
  const root = document.documentElement;
  const devices = navigator.mediaDevices;
  if (!devices || !devices.getUserMedia) {
    root.dataset.camera = "insecure"; // the style sheet shows the sentence of this name
    return;
  }

  const sentences = {
    NotAllowedError: "denied", SecurityError: "denied",
    NotFoundError: "missing", OverconstrainedError: "missing",
  };
  const camera = () => document.getElementById("camera");
  const isShown = (element) => Boolean(element && element.offsetParent);
  let starting = false; // the camera was just opened in the Live tab
  let resting = false; // the stream was stopped because nobody looked
  const open = devices.getUserMedia.bind(devices);

  // Gradio leaves a refused camera to the browser's console. In the Live tab the page says it, and
  // the promise stays open, so that Gradio's button can be clicked again. Elsewhere nothing changes.
  devices.getUserMedia = (wanted) => open(wanted).then(
    (stream) => {
      delete root.dataset.camera;
      starting = isShown(camera());
      return stream;
    },
    (error) => {
      if (!isShown(camera())) throw error;
      root.dataset.camera = sentences[error.name] || "busy";
      return new Promise(() => {});
    },
  );

  const button = () => camera()?.querySelector("button[aria-label='capture photo']");
  const isStreaming = () => Boolean(button()?.querySelector("[title='stop recording'], [title='spinner']"));

  // An opened camera is answered at once. A hidden tab must not cost anything: its stream stops, and
  // goes on when it is seen again.
  function watch() {
    const seen = isShown(camera()) && !document.hidden;
    const video = camera()?.querySelector("video");
    video?.srcObject?.getVideoTracks().forEach((track) => { track.enabled = seen; });
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
})();
