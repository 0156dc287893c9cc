// The contrast of every visible text with what it stands on (WCAG 2.2, success criterion 1.4.3).

const LEAST = 4.5;

/** Texts below 4.5:1 as `words (ratio)`. Disabled controls are exempt, as the criterion says. */
export function lowContrast(page) {
  return page.evaluate((least) => {
    const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const rgba = (colour) => {
      pixel.clearRect(0, 0, 1, 1);
      pixel.fillStyle = colour;
      pixel.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = pixel.getImageData(0, 0, 1, 1).data;
      return [r, g, b, a / 255];
    };
    const over = (top, below) => top.slice(0, 3).map((part, at) => part * top[3] + below[at] * (1 - top[3]));
    const groundOf = (node) => {
      const own = rgba(getComputedStyle(node).backgroundColor);
      if (own[3] >= 1 || !node.parentElement) return own.slice(0, 3);
      return over(own, groundOf(node.parentElement));
    };
    const light = (colour) => {
      const [r, g, b] = colour.map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ratio = (one, other) => {
      const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
      return (high + 0.05) / (low + 0.05);
    };
    for (const animation of document.getAnimations()) if (animation instanceof CSSTransition) animation.finish();
    const hasText = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    const visible = (node) => node.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !node.closest(".visually-hidden, .skip, :disabled");
    const texts = [...document.body.querySelectorAll("*")].filter((node) => hasText(node) && visible(node));
    if (texts.length < 20) throw new Error("Hardly any text was found to measure");
    return texts.flatMap((node) => {
      const ground = groundOf(node);
      const found = ratio(over(rgba(getComputedStyle(node).color), ground), ground);
      return found < least ? [`${node.textContent.trim().slice(0, 40)} (${found.toFixed(2)})`] : [];
    });
  }, LEAST);
}
