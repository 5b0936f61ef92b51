// @ts-check
/** What concerns the page and not one conversation: the connection, the sign-in, the store, the model, the operator's word. */

import { CLIENT_EVENTS, CONNECTION, EVENTS, PROTOCOL_VERSION } from "../colloquy.js";
import { CODE } from "../errors.js";
import { readiness, whenSignedOut } from "../ui/api.js";
import { byId, setText } from "../ui/dom.js";
import { sentence } from "../ui/format.js";
import { answers, modelLine } from "../ui/model.js";
import { banner, removeBanner } from "../ui/notices.js";

const OFFLINE_BANNER_AFTER_MS = 3000;
const ASK_FOR_MODEL_EVERY_MS = 15_000;
const STORED = "ok";
const TOKEN_EXPIRED = "token_expired";

export class Surroundings {
  #client;
  #parts;
  #offlineTimer = 0;
  #modelTimer = 0;

  /** The model that answers, as the server last said. */
  model = { label: "", answering: "", problem: "" };

  /**
   * @param {import("../colloquy.js").ColloquyClient} client
   * @param {{header: import("./header.js").Header, account: import("./account.js").Account, refresh: () => void, onOpen: () => void}} parts
   */
  constructor(client, parts) {
    this.#client = client;
    this.#parts = parts;
    whenSignedOut((error) => this.#signedOut(error));

    client.on(EVENTS.CONNECTED, ({ protocol }) => {
      if (protocol === PROTOCOL_VERSION) removeBanner("version");
      else banner("version", "The server has been updated. Reload this page.", { level: "warning", dismissible: false });
    });
    client.on(EVENTS.BROADCAST, ({ message, level }) => banner(`broadcast ${message}`, message, { level }));
    client.on(EVENTS.STORAGE, (storage) => this.#storage(storage));
    client.on(EVENTS.SIGNED_OUT, ({ message }) => this.#parts.account.signedOut(sentence(message)));
    client.on(CLIENT_EVENTS.CONNECTION, (connection) => this.#connection(connection));
    client.on(CLIENT_EVENTS.LATENCY, (latencyMs) => parts.header.connection(client.connection, `by ${client.transport}, ${Math.round(latencyMs)} ms there and back`));
  }

  /** Open the connection, and keep it open. */
  connect() {
    this.#client.connect().catch((error) => {
      if (error.code === CODE.UNAUTHENTICATED || error.code === TOKEN_EXPIRED) this.#signedOut(error);
      else banner("refused", sentence(error.message), { level: "error" });
    });
  }

  async askForModel() {
    clearTimeout(this.#modelTimer);
    try {
      const ready = await readiness();
      this.model = ready.model ?? this.model;
      setText(byId("model-line"), modelLine(ready));
      byId("model-line").title = this.model.problem ?? "";
      if (!answers(ready)) this.#modelTimer = setTimeout(() => this.askForModel(), ASK_FOR_MODEL_EVERY_MS); // it may still be starting
    } catch {
      setText(byId("model-line"), "");
    }
    this.#parts.refresh();
  }

  async #signedOut(error) {
    await this.#parts.account.asked;
    if (this.#parts.account.isVisitor) return; // what is not for them is no reason to sign in
    const ended = error.code === TOKEN_EXPIRED || this.#parts.account.id;
    this.#parts.account.signedOut(ended ? "Your sign-in has ended." : "Log in to see conversations here.");
  }

  /** @param {{state: string, message?: string | null, waiting?: number}} storage */
  #storage({ state, message }) {
    if (state === STORED) {
      removeBanner("storage");
      return;
    }
    const why = message ? ` ${sentence(message)}` : "";
    banner("storage", `Nothing is being saved at the moment; the conversation goes on, and is saved when that is possible again.${why}`, { level: "warning", dismissible: false });
  }

  #connection(connection) {
    const { header, refresh, onOpen } = this.#parts;
    header.connection(connection, connection === CONNECTION.OPEN ? `by ${this.#client.transport}` : (this.#client.lastError?.message ?? ""));
    refresh();
    if (connection === CONNECTION.OPEN) {
      clearTimeout(this.#offlineTimer);
      this.#offlineTimer = 0;
      removeBanner("offline");
      removeBanner("storage"); // told anew after `connected`, where it still holds
      removeBanner("signed-out");
      onOpen();
      this.askForModel();
    } else if (!this.#offlineTimer) {
      this.#offlineTimer = setTimeout(() => this.#sayOffline(), OFFLINE_BANNER_AFTER_MS);
    }
  }

  #sayOffline() {
    if (document.querySelector('[data-key="signed-out"]')) return; // that is why
    banner("offline", "No connection to the server. Conversations go on there; this page catches up when it is back.", { level: "warning", dismissible: false });
  }
}
