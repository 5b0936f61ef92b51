// @ts-check
/** Drawing at most once per frame. */

/** Browsers stop the animation frames of hidden tabs: there, drawing comes after so many ms. */
const WITHOUT_FRAMES_MS = 250;
/** Where there are no animation frames at all (Node.js). */
const FRAME_MS = 16;

/**
 * Run a task in the next animation frame, once, however often it is asked for; in a hidden tab a little later.
 * @param {() => void} task
 * @returns {() => void} asks for it
 */
export function perFrame(task) {
  const frames = typeof requestAnimationFrame === "function";
  let frame = 0;
  let timer = null;
  const run = () => {
    if (frames) cancelAnimationFrame(frame);
    clearTimeout(timer);
    timer = null;
    task();
  };
  return () => {
    if (timer !== null) return;
    if (frames) frame = requestAnimationFrame(run);
    timer = setTimeout(run, frames ? WITHOUT_FRAMES_MS : FRAME_MS);
  };
}
