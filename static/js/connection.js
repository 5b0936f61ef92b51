// @ts-check
/** States of the connection, with the names that a WebSocket has, and one for a connection that comes back. */
export const CONNECTION = Object.freeze({ CLOSED: "closed", OPENING: "opening", OPEN: "open", REOPENING: "reopening" });

/** Names of the client's own events, which no server event can have. */
export const CLIENT_EVENTS = Object.freeze({
  CONNECTION: "client:connection",
  LATENCY: "client:latency",
  QUEUE: "client:queue",
});
