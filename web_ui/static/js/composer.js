// Where the user writes: Enter sends, Shift+Enter breaks the line, the box grows with its text.

import { byId } from "./dom.js";

const TALLEST_PX = 240;

/** Wire it. `send(text)` returns whether the text was taken; `stop()` ends an answer. */
export function wireComposer({ send, stop }) {
  const [form, box, sendButton, stopButton] = ["composer", "question", "send", "stop"].map(byId);
  let answering = false;

  const fit = () => {
    box.style.height = "auto";
    box.style.height = `${Math.min(box.scrollHeight, TALLEST_PX)}px`;
    sendButton.disabled = box.value.trim() === "";
  };
  const submit = () => {
    const text = box.value.trim();
    if (!text || answering || !send(text)) return;
    box.value = "";
    fit();
    box.focus();
  };
  const busy = (flag) => {
    const hadFocus = document.activeElement === stopButton || document.activeElement === sendButton;
    answering = flag;
    stopButton.hidden = !flag;
    sendButton.hidden = flag;
    if (hadFocus) box.focus();
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  box.addEventListener("keydown", (event) => {
    // While an input method composes, Enter takes its suggestion and must not send.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  });
  box.addEventListener("input", fit);
  stopButton.addEventListener("click", stop);
  return { busy, focus: () => box.focus(), put: (text) => { box.value = text; fit(); } };
}
