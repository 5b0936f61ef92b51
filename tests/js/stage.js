/** A client with one stream, and the server's part of the talk. */
import { ColloquyClient, COMMANDS, ConversationStream, emptySnapshot, fold } from "../../static/js/colloquy.js";
import { EPOCH, ID } from "./events.js";
import { fakeIo, settle } from "./fake_io.js";

/** What the server would say of a conversation after these events. */
export const snapshotOf = (events, epoch = EPOCH) =>
  JSON.parse(JSON.stringify({ ...events.reduce((state, event) => fold(state, event), emptySnapshot(ID)), epoch }));

/** The answer to a join without a position. */
export const ackOf = (snapshot) => ({
  ok: true, conversation_id: snapshot.conversation_id, epoch: snapshot.epoch, offset: snapshot.offset, recovered: false, snapshot,
});

/** The answer to a join from a position that is still kept. */
export const recovered = (offset, epoch = EPOCH) => ({ ok: true, conversation_id: ID, epoch, offset, recovered: true, snapshot: null });

const clients = [];

/** End all clients that were made here. */
export const closeAll = () => clients.splice(0).forEach((client) => client.disconnect());

/** A client that is on its way. */
export function dialling(options = {}) {
  const fake = fakeIo();
  const client = new ColloquyClient({
    io: fake.io, url: "http://example.test", pingIntervalMs: 0, reconnectionDelayMs: 1, reconnectionDelayMaxMs: 2, ...options,
  });
  clients.push(client);
  const connecting = client.connect();
  connecting.catch(() => {});
  return { fake, client, connecting };
}

/** A client whose connection stands, and a stream that follows nothing yet. */
export async function connected(options) {
  const { fake, client, connecting } = dialling(options);
  await settle();
  fake.socket.opens();
  await connecting;
  const stream = new ConversationStream(client);
  const say = (...events) => events.forEach(({ name, payload }) => fake.socket.says(name, payload));
  return { client, socket: fake.socket, stream, say };
}

/** The same, with a stream that has joined after these events. */
export async function joinedAt(events, options) {
  const all = await connected(options);
  const joining = all.stream.join(ID);
  await settle();
  all.socket.take(COMMANDS.JOIN).ack(ackOf(snapshotOf(events)));
  await joining;
  return all;
}
