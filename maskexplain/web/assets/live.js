// The Live tab's camera: says in the page why it does not start, and rests while nobody looks.
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

  // Gradio leaves a refused camera to the browser's console. In the Live tab the page says it, and
  // the promise stays open, so that Gradio's button can be clicked again. Elsewhere nothing changes.
  if (!devices?.getUserMedia) return;
  const open = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async (wanted) => {
    try {
      const stream = await open(wanted);
      trouble = "";
      starting = isShown(camera());
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
