// Following an answer as it grows, until the reader scrolls away; then a button leads back.

const NEAR_PX = 48;

/** Keep `scroller` at its end while `content` grows. Returns `{ follow() }`, which goes to the end now. */
export function followEnd(scroller, content, jump) {
  let following = true;
  let place = 0;
  const atEnd = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight <= NEAR_PX;
  const toEnd = () => (scroller.scrollTop = scroller.scrollHeight);
  const follow = () => {
    following = true;
    jump.hidden = true;
    toEnd();
  };
  // A turn of the wheel upwards counts at once: the next token must not pull the reader down again.
  scroller.addEventListener("wheel", (event) => { if (event.deltaY < 0) following = false; }, { passive: true });
  // Only a way up is the reader's: after our own way down the content may have grown before this is called.
  scroller.addEventListener("scroll", () => {
    if (atEnd()) following = true;
    else if (scroller.scrollTop < place) following = false;
    place = scroller.scrollTop;
    jump.hidden = following;
  }, { passive: true });
  new ResizeObserver(() => {
    if (following) toEnd();
    else jump.hidden = atEnd();
  }).observe(content);
  jump.addEventListener("click", follow);
  return { follow };
}
