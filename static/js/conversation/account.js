// @ts-check
/** Who this is: the corner at the sidebar's foot, and what is said when a sign-in has ended. */

import { logOut, me } from "../ui/api.js";
import { byId, h, icon } from "../ui/dom.js";
import { reason } from "../ui/format.js";
import { banner, toast } from "../ui/notices.js";

/** The address of a page for signing in or out that comes back here. @param {string} page */
const thatComesBack = (page) => `${page}?next=${encodeURIComponent(location.pathname)}`;

export class Account {
  #me = null;
  /** Settles when the server has said who this is, or that it cannot. @type {Promise<void>} */
  asked = Promise.resolve();
  #corner = byId("account");
  #beforeLeaving;
  /** @type {Map<string, string>} id → name, of those whom a conversation is shared with */
  #names = new Map();

  /** @param {{beforeLeaving: () => void}} hooks called before the page is left for signing in: what was typed is kept */
  constructor({ beforeLeaving }) {
    this.#beforeLeaving = beforeLeaving;
  }

  /** The person's id; empty: not known. */
  get id() {
    return this.#me?.user?.id ?? "";
  }

  /** Somebody who only holds a link: they have not signed in, and need not. */
  get isVisitor() {
    return this.#me?.user?.kind === "link";
  }

  /** Ask the server who this is. */
  ask() {
    this.asked = this.#ask();
    return this.asked;
  }

  async #ask() {
    try {
      this.#me = await me();
    } catch (error) {
      this.#me = null;
      if (error.code === "unreachable") return; // the connection's state says so
    }
    this.#draw();
  }

  /** @param {string} userId how a person is named to this reader */
  nameOf(userId) {
    if (userId && userId === this.id) return "you";
    if (userId === "local") return "the guest";
    const known = this.#names.get(userId);
    if (known) return known;
    return userId.startsWith("usr_") ? "somebody else" : userId;
  }

  /** @param {{user_id: string, name: string}[]} people whom this reader shares with */
  learn(people) {
    for (const { user_id, name } of people) if (name) this.#names.set(user_id, name);
  }

  /** Say that the sign-in has ended, with the way to the next one. @param {string} why */
  signedOut(why) {
    const link = this.#link("/login", "Log in again", { class: "button small", "data-testid": "sign-in-again" });
    banner("signed-out", `${why} What you have typed is kept.`, { level: "warning", dismissible: false, act: link });
  }

  #link(page, text, properties = {}) {
    // the address is made on the click: the conversation may be another one by then
    return h("a", { href: page, ...properties, onclick: (event) => this.#go(event, page) }, text);
  }

  #go(event, page) {
    this.#beforeLeaving();
    event.currentTarget.href = thatComesBack(page);
  }

  #draw() {
    const known = this.#me;
    const { user, guest, may_register } = known ?? {};
    const person = Boolean(user?.id) && !guest;
    const line = !known || !user?.id ? ["Not signed in", null] : guest ? ["Guest of this machine", "Log in to have conversations of your own."] : [user.name || user.id, user.tenant];
    this.#corner.replaceChildren(
      h("span", { class: "account-mark", "aria-hidden": "true" }, icon("person")),
      h("div", { class: "account-who" }, h("strong", { "data-testid": "account-name" }, line[0]), line[1] && h("small", {}, line[1])),
      ...(person ? [this.#logOutButton()] : []),
    );
    const links = [
      !person && this.#link("/login", "Log in", { "data-testid": "sign-in" }),
      !person && may_register && this.#link("/register", "Register", { "data-testid": "register" }),
      person && h("a", { href: "/account", "data-testid": "account-link" }, "Account"),
      user?.admin && h("a", { href: "/settings", "data-testid": "settings-link" }, "Settings"),
    ].filter(Boolean);
    if (links.length > 0) this.#corner.append(h("nav", { class: "account-links", "aria-label": "Account" }, ...links));
    this.#corner.hidden = false;
  }

  #logOutButton() {
    const button = h("button", { class: "button quiet icon-only small", type: "button", "aria-label": "Log out", title: "Log out", "data-testid": "log-out" }, icon("leave"));
    button.addEventListener("click", async () => {
      if (button.getAttribute("aria-busy") === "true") return;
      button.setAttribute("aria-busy", "true");
      try {
        await logOut();
        location.assign("/");
      } catch (error) {
        button.removeAttribute("aria-busy");
        toast(reason(error), "error");
      }
    });
    return button;
  }
}
