// @ts-check
/** Keeps the newest text in view, unless the reader has scrolled up to read. */

const NEAR_PX = 64;

export class Scroller {
  #resting = true; // a page that is read from its top
  #following = true;
  #lastTop = 0;

  /** @param {HTMLElement} area what scrolls @param {HTMLElement} jump the button that leads back to the end */
  constructor(area, jump) {
    this.area = area;
    this.jump = jump;
    area.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    area.addEventListener("wheel", (event) => event.deltaY < 0 && this.#scrollable() && this.#set(false), { passive: true });
    jump.addEventListener("click", () => this.toEnd({ smooth: true }));
    new ResizeObserver(() => this.follow()).observe(area);
  }

  /** After new text was drawn. */
  follow() {
    if (this.#following && !this.#resting) {
      this.area.scrollTop = this.area.scrollHeight;
      this.#lastTop = this.area.scrollTop;
    }
    this.#show();
  }

  toEnd({ smooth = false } = {}) {
    this.#resting = false;
    this.#following = true;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.area.scrollTo({ top: this.area.scrollHeight, behavior: smooth && !calm ? "smooth" : "instant" });
    this.#show();
  }

  /** Something is put in above: what the reader looks at stays where it is. @param {() => void} change */
  keepPlace(change) {
    const before = this.area.scrollHeight - this.area.scrollTop;
    this.#following = false;
    change();
    this.area.scrollTop = this.#lastTop = this.area.scrollHeight - before;
    this.#show();
  }

  /** To the top, to stay there until the end is asked for, whatever comes or changes its size. */
  toTop() {
    this.#resting = true;
    this.area.scrollTop = this.#lastTop = 0;
    this.#show();
  }

  #left() {
    return this.area.scrollHeight - this.area.clientHeight - this.area.scrollTop;
  }

  #scrollable() {
    return this.area.scrollHeight > this.area.clientHeight + 1;
  }

  #scrolled() {
    const top = this.area.scrollTop;
    if (this.#left() <= NEAR_PX && top >= this.#lastTop) this.#set(true);
    else if (top < this.#lastTop - 1 && this.#left() > 1) this.#set(false);
    this.#lastTop = top;
    this.#show();
  }

  #set(following) {
    this.#following = following;
    this.#show();
  }

  #show() {
    this.jump.hidden = this.#resting || this.#following || this.#left() <= NEAR_PX;
  }
}
