// An answer that the test speaks itself, piece by piece, so that no test depends on a model or on time.

/** Replace the page's chat requests by streams that the functions below feed. */
export async function controlStream(page) {
  await page.evaluate(() => {
    const real = globalThis.fetch;
    const encoder = new TextEncoder();
    globalThis.controlled = { requests: [], aborted: 0 };
    globalThis.fetch = (path, options) => {
      if (path !== "/v1/chat/completions") return real(path, options);
      controlled.requests.push(JSON.parse(options.body));
      let sink;
      const body = new ReadableStream({ start: (controller) => { sink = controller; } });
      controlled.bytes = (bytes) => sink.enqueue(new Uint8Array(bytes));
      controlled.data = (text) => sink.enqueue(encoder.encode(`data: ${text}\n\n`));
      controlled.end = () => sink.close();
      controlled.breakOff = () => sink.error(new TypeError("network error"));
      options.signal.addEventListener("abort", () => {
        controlled.aborted += 1;
        sink.error(new DOMException("Aborted", "AbortError"));
      });
      return Promise.resolve(new Response(body, { headers: { "content-type": "text/event-stream" } }));
    };
  });
}

const model = "guide";

/** Feed one event. */
export const tell = (page, event) => page.evaluate((text) => controlled.data(text), JSON.stringify(event));

/** Feed a piece of the answer. */
export const say = (page, content) => tell(page, { model, choices: [{ index: 0, delta: { content }, finish_reason: null }] });

/** End the answer as a node does: a reason, the counts, the end mark. */
export async function finish(page, { tokens = 3, reason = "stop" } = {}) {
  await tell(page, { model, choices: [{ index: 0, delta: {}, finish_reason: reason }] });
  const usage = { prompt_tokens: 5, completion_tokens: tokens, total_tokens: tokens + 5 };
  await tell(page, { choices: [], usage });
  await page.evaluate(() => { controlled.data("[DONE]"); controlled.end(); });
}

/** The requests that the page has sent. */
export const requests = (page) => page.evaluate(() => controlled.requests);

/** A whole answer in one go. */
export async function answer(page, text) {
  await say(page, text);
  await finish(page, { tokens: Math.ceil(text.length / 4) });
  await page.locator(".answer").last().locator(".measures").waitFor();
}
