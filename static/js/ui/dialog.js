// @ts-check
/** Dialogs. The browser keeps the focus inside, and gives it back; Escape closes. */

import { h, icon, setText } from "./dom.js";
import { reason } from "./format.js";

/**
 * Open a dialog.
 * @param {{title: string, body: (Node | string)[], className?: string, testid?: string, onClosed?: () => void}} what
 * @returns {{element: any, close: () => void}}
 */
export function openDialog({ title, body, className = "", testid, onClosed }) {
  const id = `dialog-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  const close = () => element.close();
  const element = h(
    "dialog",
    { class: `dialog ${className}`, "aria-labelledby": id, "data-testid": testid },
    h(
      "header",
      { class: "dialog-head" },
      h("h2", { id }, title),
      h("button", { class: "button quiet icon-only small", type: "button", "aria-label": "Close", onclick: close }, icon("close")),
    ),
    ...body,
  );
  element.addEventListener("click", (event) => event.target === element && close()); // beside it
  element.addEventListener("close", () => {
    element.remove();
    onClosed?.();
  });
  document.body.append(element);
  element.showModal();
  return { element, close };
}

/**
 * Ask before something is done that cannot be undone. What goes wrong is said in the dialog, which stays then.
 * @param {{title: string, text: string, yes: string, act: () => Promise<any>, testid?: string}} question
 * @returns {Promise<boolean>} whether it was done
 */
export function confirmed({ title, text, yes, act, testid }) {
  return new Promise((resolve) => {
    let done = false;
    const problem = h("p", { class: "problem", role: "alert", hidden: true });
    const no = h("button", { class: "button", type: "button", autofocus: true, onclick: () => dialog.close() }, "Cancel");
    const button = h("button", { class: "button danger solid", type: "button", "data-testid": "confirm", onclick: () => run() }, yes);
    const run = async () => {
      if (button.getAttribute("aria-busy") === "true") return;
      button.setAttribute("aria-busy", "true");
      problem.hidden = true;
      try {
        await act();
        done = true;
        dialog.close();
      } catch (error) {
        setText(problem, reason(error));
        problem.hidden = false;
      } finally {
        button.removeAttribute("aria-busy");
      }
    };
    const dialog = openDialog({
      title,
      body: [h("p", { class: "dialog-text" }, text), problem, h("footer", { class: "dialog-foot" }, no, button)],
      className: "narrow",
      testid,
      onClosed: () => resolve(done),
    });
  });
}
