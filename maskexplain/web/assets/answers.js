// The stream of answers. Gradio's server ends it when none is to come, and its client opens another
// one with the next question. A question that is on its way at that moment would wait for ever. So
// the client reads one stream without an end, which is filled while answers are to come.
(() => {
  const ask = window.fetch;
  const waiting = new Set(), early = new Set(); // events without an answer; answers before their event
  let stream = null; // what the client reads, and how the server is asked for more

  window.fetch = async (...asked) => {
    const answer = await ask(...asked);
    const path = new URL(asked[0].url ?? asked[0], location.href).pathname;
    if (path.endsWith("/queue/join") && answer.ok) {
      const { event_id: event } = await answer.clone().json();
      if (!early.delete(event)) waiting.add(event);
      if (stream && !stream.filled) fill(stream);
    }
    return path.endsWith("/queue/data") && answer.ok ? endless(answer, asked) : answer;
  };

  function endless(answer, asked) {
    const body = new ReadableStream({
      start(out) {
        stream = { out, asked, filled: false };
        fill(stream, answer);
      },
      cancel() { stream = null; },
    });
    return new Response(body, { status: answer.status, headers: answer.headers });
  }

  async function fill(own, answer) {
    own.filled = true;
    try {
      do {
        answer ??= await ask(...own.asked);
        if (!answer.ok) throw new Error(`The answers cannot be fetched: ${answer.status}`);
        for await (const message of messages(answer.body)) pass(own, message);
        answer = null;
      } while (waiting.size && own === stream); // asked while the server ended the stream
    } catch (error) {
      // The client tells who waits for an answer; who does not needs not know.
      if (waiting.size && own === stream) own.out.error(error);
    } finally {
      own.filled = false;
    }
  }

  function pass(own, message) {
    const { msg, event_id: event } = JSON.parse(message.replace(/^data:/, ""));
    if (msg === "process_completed" && !waiting.delete(event)) early.add(event);
    if (msg !== "close_stream" && own === stream) own.out.enqueue(new TextEncoder().encode(message + "\n\n"));
  }

  async function* messages(body) {
    const reader = body.getReader(), decoder = new TextDecoder();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (text + decoder.decode(value, { stream: true })).split("\n\n");
      text = parts.pop();
      yield* parts;
    }
  }
})();
