// @ts-check
/** The dialog in which an owner says who else may watch or steer. */

import { makeLink, revokeLink, shares, shareWith, unshare } from "../ui/api.js";
import { openDialog } from "../ui/dialog.js";
import { copyText, h, icon, setText } from "../ui/dom.js";
import { moment, reason } from "../ui/format.js";

const ROLES = { viewer: "May watch", editor: "May steer" };
const HOUR_S = 3600;
const LASTS = [
  [24 * HOUR_S, "for a day"],
  [7 * 24 * HOUR_S, "for a week"],
  [30 * 24 * HOUR_S, "for 30 days"],
  [0, "until it is revoked"],
];

/** @param {string} conversationId */
export function openShare(conversationId) {
  return new ShareDialog(conversationId);
}

class ShareDialog {
  #id;
  #people = h("ul", { class: "share-list", "data-testid": "share-people" });
  #links = h("ul", { class: "share-list", "data-testid": "share-links" });
  /** The link that is shown. @type {string | null} */
  #madeId = null;
  #made = h("div", { class: "share-made", hidden: true });
  #problem = h("p", { class: "problem", role: "alert", hidden: true });
  #body = h("div", { class: "share-body" });

  constructor(conversationId) {
    this.#id = conversationId;
    openDialog({ title: "Share this conversation", body: [this.#problem, this.#body], className: "share", testid: "share-dialog" });
    this.#load();
  }

  async #load() {
    this.#body.replaceChildren(h("div", { class: "skeleton", "aria-label": "Loading" }, h("span"), h("span"), h("span")));
    try {
      const known = await shares(this.#id);
      this.#show(known);
      this.#body.replaceChildren(this.#peoplePart(), this.#linksPart());
      this.#body.querySelector("input")?.focus();
    } catch (error) {
      this.#body.replaceChildren(
        h("p", { class: "dialog-text" }, `What is shared cannot be shown now. ${reason(error)}`),
        h("button", { class: "button", type: "button", onclick: () => this.#load() }, icon("retry"), "Try again"),
      );
    }
  }

  /** What holds now. Who was at one of the rows stays there; where it has gone, they find themselves at the first field. */
  #show({ shares: people, links }) {
    const held = [this.#people, this.#links].some((list) => list.contains(document.activeElement)) ? document.activeElement : null;
    this.#people.replaceChildren(...people.map((each) => this.#person(each)));
    if (people.length === 0) this.#people.append(h("li", { class: "share-none" }, "Nobody yet."));
    this.#links.replaceChildren(...links.map((each) => this.#link(each)));
    if (!links.some((each) => each.link_id === this.#madeId)) this.#made.hidden = true;
    if (links.length === 0) this.#links.append(h("li", { class: "share-none" }, "No links."));
    if (held) this.#focusLike(held);
  }

  #focusLike(held) {
    const label = held.getAttribute("aria-label");
    const same = [...this.#body.querySelectorAll("select, button")].find((each) => each.getAttribute("aria-label") === label);
    (same ?? this.#body.querySelector("input"))?.focus();
  }

  /** Do something, busy meanwhile; then show what holds now. @returns {Promise<any>} undefined: it was refused */
  async #act(element, act) {
    if (element.getAttribute("aria-busy") === "true") return undefined;
    element.setAttribute("aria-busy", "true");
    this.#problem.hidden = true;
    try {
      const done = (await act()) ?? {};
      this.#show(await shares(this.#id));
      return done;
    } catch (error) {
      setText(this.#problem, reason(error));
      this.#problem.hidden = false;
      return undefined;
    } finally {
      element.removeAttribute("aria-busy");
    }
  }

  #peoplePart() {
    const user = h("input", { class: "input", name: "user", required: true, maxlength: 200, autocomplete: "off", spellcheck: "false", placeholder: "Their login", "aria-label": "Login of the person", "data-testid": "share-user" });
    const role = roles("viewer", "What they may do");
    const add = h("button", { class: "button primary", type: "submit", "data-testid": "share-add" }, "Share");
    const form = h("form", { class: "share-form" }, user, role, add);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const typed = user.value;
      if (!typed.trim()) return;
      const done = await this.#act(add, () => shareWith(this.#id, typed.trim(), role.value));
      if (done !== undefined && user.value === typed) user.value = "";
      user.focus();
    });
    return h("section", { class: "share-part" }, h("h3", {}, "People"), form, this.#people);
  }

  #linksPart() {
    const role = roles("viewer", "What the link allows");
    const lasts = h("select", { class: "select", "aria-label": "How long it holds" }, ...LASTS.map(([seconds, text]) => h("option", { value: seconds }, text)));
    lasts.value = String(LASTS[1][0]);
    const make = h("button", { class: "button", type: "submit", "data-testid": "make-link" }, "Make a link");
    const form = h("form", { class: "share-form" }, role, lasts, make);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const expires = Number(lasts.value) > 0 ? { expires_in_s: Number(lasts.value) } : {};
      const made = await this.#act(make, () => makeLink(this.#id, { role: role.value, ...expires }));
      if (made?.url) this.#showMade(made.link_id, new URL(made.url, location.href).href);
    });
    const help = h("p", { class: "help" }, "Whoever has the link comes in, without an account.");
    return h("section", { class: "share-part" }, h("h3", {}, "Links"), help, form, this.#made, this.#links);
  }

  #showMade(linkId, url) {
    this.#madeId = linkId;
    const field = h("input", { class: "input mono", readonly: true, "aria-label": "The new link", "data-testid": "new-link", onfocus: (event) => event.target.select() });
    field.value = url;
    const copy = h("button", { class: "button primary", type: "button", "data-testid": "copy-new-link" }, icon("copy"), "Copy");
    copy.addEventListener("click", async () => {
      try {
        await copyText(url);
        copy.replaceChildren(icon("check"), "Copied");
      } catch {
        field.focus(); // selected: the reader copies it
      }
    });
    this.#made.replaceChildren(h("p", {}, "The new link. Copy it now: it is not shown again."), h("div", { class: "share-form" }, field, copy));
    this.#made.hidden = false;
    copy.focus();
  }

  #person({ user_id, name, role }) {
    const select = roles(role, `What ${name || user_id} may do`);
    select.addEventListener("change", async () => {
      if ((await this.#act(select, () => shareWith(this.#id, user_id, select.value))) === undefined) select.value = role;
    });
    const remove = h("button", { class: "button quiet icon-only small", type: "button", "aria-label": `Do not share with ${name || user_id} any more`, "data-testid": "unshare" }, icon("close"));
    remove.addEventListener("click", () => this.#act(remove, () => unshare(this.#id, user_id)));
    return h("li", {}, icon("person"), h("span", { class: "share-name", title: user_id }, name || user_id), select, remove);
  }

  #link({ link_id, role, created_at, expires_at }) {
    const revoke = h("button", { class: "button quiet small", type: "button", "data-testid": "revoke-link", "aria-label": `Revoke the link of ${moment(created_at)}` }, "Revoke");
    revoke.addEventListener("click", () => this.#act(revoke, () => revokeLink(this.#id, link_id)));
    const until = expires_at ? (Date.parse(expires_at) > Date.now() ? `until ${moment(expires_at)}` : "has run out") : "until it is revoked";
    return h("li", {}, icon("link"), h("span", { class: "share-name" }, ROLES[role] ?? role, h("small", {}, `${until} · made ${moment(created_at)}`)), revoke);
  }
}

function roles(chosen, label) {
  const select = h("select", { class: "select share-role", "aria-label": label }, ...Object.entries(ROLES).map(([value, text]) => h("option", { value }, text)));
  select.value = chosen;
  return select;
}
