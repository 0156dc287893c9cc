// Runs before the first paint (a plain script in the head): the theme this browser chose earlier wins over
// the one the node's configuration asks for, so that nothing flashes. Any other value than `dark` or `light`
// leaves the choice to the system (tokens.css).
(function () {
  const root = document.documentElement;
  let chosen = null;
  try {
    chosen = localStorage.getItem("swarmnode.theme");
  } catch {
    // Storage is switched off in this browser: the node's theme stands.
  }
  const theme = chosen || root.dataset.theme;
  if (theme === "dark" || theme === "light") root.dataset.theme = theme;
  else delete root.dataset.theme;
})();
