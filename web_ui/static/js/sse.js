// Server-sent events from chunks of text, as the HTML standard defines their stream (section 9.2.6).

export const MAX_EVENT_CHARS = 4 << 20;

/** Takes text as it arrives, in any pieces, and gives the `data` of each complete event. */
export class EventParser {
  #rest = "";
  #data = [];
  #size = 0;

  /** The data of the events that `text` completes. Raises RangeError on an event beyond all bounds. */
  push(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    if (this.#rest.length > MAX_EVENT_CHARS) throw new RangeError("A line of the stream is too long");
    const events = [];
    for (const line of lines) this.#take(line, events);
    return events;
  }

  #take(line, events) {
    if (line === "") {
      if (this.#data.length) events.push(this.#data.join("\n"));
      [this.#data, this.#size] = [[], 0];
    } else if (line === "data" || line.startsWith("data:")) {
      const value = line.slice(line[5] === " " ? 6 : 5);
      this.#size += value.length + 1;
      if (this.#size > MAX_EVENT_CHARS) throw new RangeError("An event of the stream is too long");
      this.#data.push(value);
    }
  }
}
