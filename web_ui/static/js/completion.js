// One streamed chat completion as plain events: text, thinking, the end, the counts.

import { ApiError, errorOf } from "./api.js";
import { t } from "./i18n.js";
import { EventParser } from "./sse.js";

const PATH = "/v1/chat/completions";

function brokenOff() {
  return new ApiError(t("error.broken_off"), { hint: t("error.broken_off_hint"), code: "broken_off" });
}

/** The data of each event of a response body, as it arrives. The body is let go when the reader stops. */
async function* eventsOf(body) {
  const parser = new EventParser();
  const reader = body.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } catch (fault) {
    throw fault.name === "AbortError" ? fault : brokenOff();
  } finally {
    reader.cancel().catch(() => {}); // Already closed or aborted: there is nothing left to let go.
  }
}

function chunkOf(data) {
  try {
    return JSON.parse(data);
  } catch {
    throw new ApiError(t("error.odd_answer"), { hint: t("error.odd_answer_hint") });
  }
}

function* meaningOf(chunk) {
  if (chunk.error) throw errorOf(chunk);
  if (chunk.model) yield { type: "model", model: chunk.model };
  const choice = chunk.choices?.[0];
  const delta = choice?.delta ?? {};
  if (delta.reasoning_content) yield { type: "thinking", text: delta.reasoning_content };
  if (delta.content) yield { type: "text", text: delta.content };
  if (choice?.finish_reason) yield { type: "finish", reason: choice.finish_reason };
  if (chunk.usage) yield { type: "usage", usage: chunk.usage };
}

/**
 * Run a chat completion; `request` is the body less the streaming fields. Yields `{type: "model", model}`,
 * `{type: "thinking" | "text", text}`, `{type: "finish", reason}`, `{type: "usage", usage}`.
 * Raises ApiError, and AbortError once `signal` is aborted.
 */
export async function* complete(api, request, signal) {
  const body = { ...request, stream: true, stream_options: { include_usage: true } };
  const response = await api.send(PATH, { method: "POST", body, signal });
  let finished = false;
  for await (const data of eventsOf(response.body)) {
    if (data === "[DONE]") return;
    for (const event of meaningOf(chunkOf(data))) {
      finished ||= event.type === "finish";
      yield event;
    }
  }
  if (!finished) throw brokenOff();
}
