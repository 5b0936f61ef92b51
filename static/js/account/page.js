// @ts-check
/** The account page: copies a new token, and shows times as this browser's people write them. It works without this. */

import { copyText, setText } from "../ui/dom.js";

const COPIED_MS = 2500;
const days = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const moments = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" });

for (const time of document.querySelectorAll("time[data-time]")) {
  const moment = new Date(String(time.getAttribute("datetime")));
  setText(time, days.format(moment));
  time.setAttribute("title", moments.format(moment));
}

const secret = /** @type {HTMLInputElement | null} */ (document.getElementById("secret"));
const copy = document.getElementById("copy-secret");
if (secret && copy) {
  copy.hidden = false;
  secret.addEventListener("focus", () => secret.select());
  copy.addEventListener("click", async () => {
    const label = copy.querySelector("span");
    try {
      await copyText(secret.value);
      setText(label, "Copied");
    } catch {
      secret.focus();
      setText(label, "Press Ctrl C");
    }
    setTimeout(() => setText(label, "Copy"), COPIED_MS);
  });
}
