// Running one answer: events in, a message out that grows, with what could be measured.
// A message: {role, content, model?, builtin?, thinking?, finish?, usage?, stopped?, error?: {message, hint, code},
// firstMs?: wait for the first token, speed?: tokens a second after it, done?: true}.

import { complete } from "./completion.js";

const SHORTEST_MS = 250;

/**
 * Fill `message` from a streamed completion, calling `grown()` after each event. Never raises: a fault is
 * in `message.error`, a stop in `message.stopped`. Times come from `now()`, in milliseconds.
 */
export async function runAnswer(api, request, message, signal, grown, now = () => performance.now()) {
  const clock = { began: now(), first: null, last: null };
  try {
    for await (const event of complete(api, request, signal)) {
      take(event, message, clock, now());
      grown();
    }
  } catch (fault) {
    if (signal.aborted) message.stopped = true;
    else message.error = { message: fault.message, hint: fault.hint ?? "", code: fault.code ?? "" };
  }
  measure(message, clock);
  message.done = true;
}

function take(event, message, clock, time) {
  if (event.type === "text" || event.type === "thinking") {
    clock.first ??= time;
    clock.last = time;
    const field = event.type === "text" ? "content" : "thinking";
    message[field] = (message[field] ?? "") + event.text;
  } else if (event.type === "finish") message.finish = event.reason;
  else message[event.type] = event[event.type];
}

/**
 * Speed counts the tokens after the first one, so that the wait for the prompt stays out of it. An answer that
 * is there at once is too short to measure by when its pieces arrived.
 */
function measure(message, { began, first, last }) {
  if (first === null) return;
  message.firstMs = Math.round(first - began);
  const tokens = message.usage?.completion_tokens ?? 0;
  if (tokens > 1 && last - first >= SHORTEST_MS) message.speed = ((tokens - 1) * 1000) / (last - first);
}
