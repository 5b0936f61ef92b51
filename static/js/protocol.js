// Generated from app/protocol by tools/protocol_js.py: do not edit. `make generate` writes it, `make check` compares.
// @ts-check

/** The version of the wire contract. */
export const PROTOCOL_VERSION = 1;

/** The Socket.IO namespace. */
export const NAMESPACE = "/conversations";

/** Names of the commands that a client sends. */
export const COMMANDS = Object.freeze({
  "JOIN": "join",
  "LEAVE": "leave",
  "ACK": "ack",
  "START_STREAM": "start_stream",
  "PAUSE_STREAM": "pause_stream",
  "RESUME_STREAM": "resume_stream",
  "STOP_STREAM": "stop_stream",
  "SEND_MESSAGE": "send_message",
  "UNQUEUE_MESSAGE": "unqueue_message",
  "CONTINUE_STREAM": "continue_stream",
  "PROVIDE_INPUT": "provide_input",
  "FEEDBACK": "feedback",
  "AUTHENTICATE": "authenticate",
  "PING": "ping"
});

/** Names of the events that the server sends. */
export const EVENTS = Object.freeze({
  "CONVERSATION_STATUS": "conversation_status",
  "AGENT_STEP": "agent_step",
  "MESSAGE_START": "message_start",
  "MESSAGE_DELTA": "message_delta",
  "AGENT_MESSAGE": "agent_message",
  "MESSAGE_RESET": "message_reset",
  "PROGRESS": "progress",
  "CONVERSATION_COMPLETE": "conversation_complete",
  "CONVERSATION_ERROR": "conversation_error",
  "FALLBACK_MODE": "fallback_mode",
  "MESSAGE_UPDATED": "message_updated",
  "TOOL_CALL": "tool_call",
  "TOOL_RESULT": "tool_result",
  "CHART_GENERATED": "chart_generated",
  "INPUT_REQUEST": "input_request",
  "INPUT_RESOLVED": "input_resolved",
  "MESSAGE_QUEUED": "message_queued",
  "MESSAGE_UNQUEUED": "message_unqueued",
  "CONVERSATION_UPDATED": "conversation_updated",
  "FRAMEWORK_EVENT": "framework_event",
  "CONNECTED": "connected",
  "PRESENCE": "presence",
  "HEARTBEAT": "heartbeat",
  "RESYNC": "resync",
  "BATCH": "batch",
  "AUTH_EXPIRING": "auth_expiring",
  "SIGNED_OUT": "signed_out",
  "ACCESS_ENDED": "access_ended",
  "CONVERSATION_DELETED": "conversation_deleted",
  "STORAGE": "storage",
  "BROADCAST": "broadcast"
});

/** Events that may stand in a conversation's log, with an envelope. */
export const LOGGED_EVENTS = Object.freeze([
  "conversation_status",
  "agent_step",
  "message_start",
  "message_delta",
  "agent_message",
  "message_reset",
  "progress",
  "conversation_complete",
  "conversation_error",
  "fallback_mode",
  "message_updated",
  "tool_call",
  "tool_result",
  "chart_generated",
  "input_request",
  "input_resolved",
  "message_queued",
  "message_unqueued",
  "conversation_updated",
  "framework_event"
]);

/** What a conversation is doing. */
export const STATUS = Object.freeze({
  "IDLE": "idle",
  "INITIALIZING": "initializing",
  "ACTIVE": "active",
  "PAUSED": "paused",
  "COMPLETED": "completed",
  "STOPPED": "stopped",
  "ERROR": "error"
});

/** What the user's content is. */
export const CONTENT_TYPES = Object.freeze({
  "TEXT": "text",
  "ARTICLE": "article",
  "URL": "url"
});

/** The payload of each command, as JSON Schema. */
export const COMMAND_SCHEMAS = Object.freeze({
  "join": {
    "$defs": {
      "Filter": {
        "additionalProperties": false,
        "description": "What a reader wants to see of a conversation. What is left out is not filtered by.\n\nAn event passes when it has one of the ``types`` *and*, where it names a role or an agent, one of those. Status,\nerrors and the end always pass: a reader that does not hear them would wait for ever.",
        "properties": {
          "types": {
            "default": [],
            "description": "names of logged events",
            "items": {
              "type": "string"
            },
            "maxItems": 50,
            "title": "Types",
            "type": "array"
          },
          "roles": {
            "default": [],
            "description": "whose messages: user, agent, system",
            "items": {
              "enum": [
                "user",
                "agent",
                "system"
              ],
              "type": "string"
            },
            "maxItems": 3,
            "title": "Roles",
            "type": "array"
          },
          "agents": {
            "default": [],
            "description": "names of agents",
            "items": {
              "type": "string"
            },
            "maxItems": 50,
            "title": "Agents",
            "type": "array"
          }
        },
        "title": "Filter",
        "type": "object"
      },
      "Position": {
        "additionalProperties": false,
        "description": "A reader's place in a conversation's log.",
        "properties": {
          "epoch": {
            "maxLength": 64,
            "minLength": 1,
            "title": "Epoch",
            "type": "string"
          },
          "offset": {
            "minimum": 0,
            "title": "Offset",
            "type": "integer"
          }
        },
        "required": [
          "epoch",
          "offset"
        ],
        "title": "Position",
        "type": "object"
      }
    },
    "additionalProperties": false,
    "description": "Watch a conversation. Without a position: the ack carries a snapshot; then every later event follows.",
    "properties": {
      "conversation_id": {
        "description": "the conversation's id",
        "maxLength": 64,
        "minLength": 1,
        "title": "Conversation Id",
        "type": "string"
      },
      "position": {
        "anyOf": [
          {
            "$ref": "#/$defs/Position"
          },
          {
            "type": "null"
          }
        ],
        "default": null,
        "description": "where the reader stands, to get only what it missed"
      },
      "since": {
        "anyOf": [
          {
            "format": "date-time",
            "type": "string"
          },
          {
            "type": "null"
          }
        ],
        "default": null,
        "description": "ISO 8601, with time zone: replay what was logged from then on, in the place of a position",
        "title": "Since"
      },
      "filter": {
        "anyOf": [
          {
            "$ref": "#/$defs/Filter"
          },
          {
            "type": "null"
          }
        ],
        "default": null,
        "description": "only these events; `prev_offset` spans what was left out"
      },
      "acks": {
        "default": false,
        "description": "true: this client sends `ack` on receipt, and is paced by it when it lags",
        "title": "Acks",
        "type": "boolean"
      },
      "batch": {
        "default": false,
        "description": "true: catch-up comes as `batch` events, not one by one",
        "title": "Batch",
        "type": "boolean"
      },
      "batch_ms": {
        "default": 0,
        "description": "0: live; else the events of so many ms come together, as one `batch`",
        "maximum": 10000,
        "minimum": 0,
        "title": "Batch Ms",
        "type": "integer"
      },
      "changes_only": {
        "default": false,
        "description": "true: `agent_message` comes as `message_updated`, with only what its deltas did not say",
        "title": "Changes Only",
        "type": "boolean"
      }
    },
    "required": [
      "conversation_id"
    ],
    "title": "Join",
    "type": "object"
  },
  "leave": {
    "additionalProperties": false,
    "description": "Stop watching. The conversation goes on.",
    "properties": {
      "conversation_id": {
        "description": "the conversation's id",
        "maxLength": 64,
        "minLength": 1,
        "title": "Conversation Id",
        "type": "string"
      }
    },
    "required": [
      "conversation_id"
    ],
    "title": "Leave",
    "type": "object"
  },
  "ack": {
    "additionalProperties": false,
    "description": "Tell that everything up to `offset` has arrived: on receipt, at most every 250 ms, never after rendering.",
    "properties": {
      "conversation_id": {
        "description": "the conversation's id",
        "maxLength": 64,
        "minLength": 1,
        "title": "Conversation Id",
        "type": "string"
      },
      "offset": {
        "minimum": 0,
        "title": "Offset",
        "type": "integer"
      }
    },
    "required": [
      "conversation_id",
      "offset"
    ],
    "title": "Acknowledge",
    "type": "object"
  },
  "start_stream": {
    "$defs": {
      "ContentType": {
        "description": "What the user's content is: a request, a text to be quoted and not obeyed, or an address to be fetched.",
        "enum": [
          "text",
          "article",
          "url"
        ],
        "title": "ContentType",
        "type": "string"
      },
      "RunOptions": {
        "additionalProperties": false,
        "description": "Wishes of the caller for one run; the server's settings bound them.",
        "properties": {
          "tokens_per_s": {
            "anyOf": [
              {
                "maximum": 100000,
                "minimum": 0,
                "type": "number"
              },
              {
                "type": "null"
              }
            ],
            "default": null,
            "description": "pace of this conversation in tokens/s; 0: unlimited",
            "title": "Tokens Per S"
          },
          "max_turns": {
            "anyOf": [
              {
                "maximum": 100,
                "minimum": 1,
                "type": "integer"
              },
              {
                "type": "null"
              }
            ],
            "default": null,
            "description": "agent turns, where the team allows it",
            "title": "Max Turns"
          },
          "max_tokens": {
            "anyOf": [
              {
                "maximum": 1000000000,
                "minimum": 1,
                "type": "integer"
              },
              {
                "type": "null"
              }
            ],
            "default": null,
            "description": "tokens that this run may spend with models, prompts included",
            "title": "Max Tokens"
          },
          "word_delay_ms": {
            "anyOf": [
              {
                "maximum": 5000,
                "minimum": 0,
                "type": "number"
              },
              {
                "type": "null"
              }
            ],
            "default": null,
            "description": "delay between the words of a reply that came whole, in ms",
            "title": "Word Delay Ms"
          }
        },
        "title": "RunOptions",
        "type": "object"
      }
    },
    "additionalProperties": false,
    "description": "Start a conversation (or a new session of one that has ended) and join it. The ack comes before any event.",
    "properties": {
      "content": {
        "description": "what the agents shall talk about; bounded by MAX_CONTENT_BYTES",
        "title": "Content",
        "type": "string"
      },
      "acks": {
        "default": false,
        "description": "as in `join`",
        "title": "Acks",
        "type": "boolean"
      },
      "batch": {
        "default": false,
        "description": "as in `join`",
        "title": "Batch",
        "type": "boolean"
      },
      "team": {
        "default": "debate",
        "maxLength": 100,
        "minLength": 1,
        "title": "Team",
        "type": "string"
      },
      "content_type": {
        "$ref": "#/$defs/ContentType",
        "default": "text"
      },
      "conversation_id": {
        "anyOf": [
          {
            "maxLength": 64,
            "type": "string"
          },
          {
            "type": "null"
          }
        ],
        "default": null,
        "description": "continue this one; it must have ended",
        "title": "Conversation Id"
      },
      "client_id": {
        "anyOf": [
          {
            "maxLength": 64,
            "minLength": 1,
            "type": "string"
          },
          {
            "type": "null"
          }
        ],
        "default": null,
        "description": "the client's own id of this start: sent again, it joins the same run",
        "title": "Client Id"
      },
      "options": {
        "$ref": "#/$defs/RunOptions",
        "default": {
          "tokens_per_s": null,
          "max_turns": null,
          "max_tokens": null,
          "word_delay_ms": null
        }
      }
    },
    "required": [
      "content"
    ],
    "title": "StartStream",
    "type": "object"
  },
  "pause_stream": {
    "additionalProperties": false,
    "description": "Stop reading from the model. Acked when nothing more is taken from it.",
    "properties": {
      "conversation_id": {
        "description": "the conversation's id",
        "maxLength": 64,
        "minLength": 1,
        "title": "Conversation Id",
        "type": "string"
      }
    },
    "required": [
      "conversation_id"
    ],
    "title": "PauseStream",
    "type": "object"
  },
  "resume_stream": {
    "additionalProperties": false,
    "description": "Go on where the pause began.",
    "properties": {
      "conversation_id": {
        "description": "the conversation's id",
        "maxLength": 64,
        "minLength": 1,
        "title": "Conversation Id",
        "type": "string"
      }
    },
    "required": [
      "conversation_id"
    ],
    "title": "ResumeStream",
    "type": "object"
  },
  "stop_stream": {
    "additionalProperties": false,
    "description": "End the run. Acked when the model's HTTP request is closed, with the tokens spent.",
    "properties": {
      "conversation_id": {
        "description": "the conversation's id",
        "maxLength": 64,
        "minLength": 1,
        "title": "Conversation Id",
        "type": "string"
      }
    },
    "required": [
      "conversation_id"
    ],
    "title": "StopStream",
    "type": "object"
  },
  "send_message": {
    "$defs": {
      "ContentType": {
        "description": "What the user's content is: a request, a text to be quoted and not obeyed, or an address to be fetched.",
        "enum": [
          "text",
          "article",
          "url"
        ],
        "title": "ContentType",
        "type": "string"
      }
    },
    "additionalProperties": false,
    "description": "The next user turn: the team goes on with the history. While agents talk it waits for its turn (`queued`).\n\nWith a ``client_id`` that the conversation has taken already, nothing is done twice: the ack is the first one's.",
    "properties": {
      "conversation_id": {
        "description": "the conversation's id",
        "maxLength": 64,
        "minLength": 1,
        "title": "Conversation Id",
        "type": "string"
      },
      "content": {
        "title": "Content",
        "type": "string"
      },
      "content_type": {
        "$ref": "#/$defs/ContentType",
        "default": "text"
      },
      "client_id": {
        "anyOf": [
          {
            "maxLength": 64,
            "minLength": 1,
            "type": "string"
          },
          {
            "type": "null"
          }
        ],
        "default": null,
        "description": "the client's own id of this message, for sending it again",
        "title": "Client Id"
      }
    },
    "required": [
      "conversation_id",
      "content"
    ],
    "title": "SendMessage",
    "type": "object"
  },
  "unqueue_message": {
    "additionalProperties": false,
    "description": "Take back a message that waits. Its author may, and the conversation's owner.",
    "properties": {
      "conversation_id": {
        "description": "the conversation's id",
        "maxLength": 64,
        "minLength": 1,
        "title": "Conversation Id",
        "type": "string"
      },
      "message_id": {
        "maxLength": 64,
        "minLength": 1,
        "title": "Message Id",
        "type": "string"
      }
    },
    "required": [
      "conversation_id",
      "message_id"
    ],
    "title": "UnqueueMessage",
    "type": "object"
  },
  "continue_stream": {
    "additionalProperties": false,
    "description": "Go on with a conversation that was stopped or broke off: from its team's last finished turn, with nothing new.",
    "properties": {
      "conversation_id": {
        "description": "the conversation's id",
        "maxLength": 64,
        "minLength": 1,
        "title": "Conversation Id",
        "type": "string"
      },
      "client_id": {
        "anyOf": [
          {
            "maxLength": 64,
            "minLength": 1,
            "type": "string"
          },
          {
            "type": "null"
          }
        ],
        "default": null,
        "description": "the client's own id of this wish, for sending it again",
        "title": "Client Id"
      }
    },
    "required": [
      "conversation_id"
    ],
    "title": "ContinueStream",
    "type": "object"
  },
  "provide_input": {
    "additionalProperties": false,
    "description": "Answer an agent that waits (`input_request`). The first answer wins; later ones get `input_resolved`.\n\nA text is answered by `content`, which may be empty. A permission is answered by `granted`, and `content` may say\nwhy; without `granted`, `content` must say it: yes, y or true; no, n or false, in any case.",
    "properties": {
      "conversation_id": {
        "description": "the conversation's id",
        "maxLength": 64,
        "minLength": 1,
        "title": "Conversation Id",
        "type": "string"
      },
      "request_id": {
        "maxLength": 64,
        "minLength": 1,
        "title": "Request Id",
        "type": "string"
      },
      "content": {
        "anyOf": [
          {
            "type": "string"
          },
          {
            "type": "null"
          }
        ],
        "default": null,
        "description": "the answer; bounded by MAX_CONTENT_BYTES",
        "title": "Content"
      },
      "granted": {
        "anyOf": [
          {
            "type": "boolean"
          },
          {
            "type": "null"
          }
        ],
        "default": null,
        "description": "for a permission",
        "title": "Granted"
      },
      "client_id": {
        "anyOf": [
          {
            "maxLength": 64,
            "minLength": 1,
            "type": "string"
          },
          {
            "type": "null"
          }
        ],
        "default": null,
        "description": "the client's own id of this answer, for sending it again",
        "title": "Client Id"
      }
    },
    "required": [
      "conversation_id",
      "request_id"
    ],
    "title": "ProvideInput",
    "type": "object"
  },
  "feedback": {
    "additionalProperties": false,
    "description": "Say what you think of a message; null takes it back. All who watch get `message_updated`.",
    "properties": {
      "conversation_id": {
        "description": "the conversation's id",
        "maxLength": 64,
        "minLength": 1,
        "title": "Conversation Id",
        "type": "string"
      },
      "message_id": {
        "maxLength": 64,
        "minLength": 1,
        "title": "Message Id",
        "type": "string"
      },
      "value": {
        "anyOf": [
          {
            "enum": [
              "up",
              "down"
            ],
            "type": "string"
          },
          {
            "type": "null"
          }
        ],
        "description": "what you think of it",
        "title": "Value"
      }
    },
    "required": [
      "conversation_id",
      "message_id",
      "value"
    ],
    "title": "GiveFeedback",
    "type": "object"
  },
  "authenticate": {
    "additionalProperties": false,
    "description": "Bring a fresh token of the same person: the connection goes on with it.",
    "properties": {
      "token": {
        "description": "without the word Bearer",
        "maxLength": 8192,
        "minLength": 1,
        "title": "Token",
        "type": "string"
      }
    },
    "required": [
      "token"
    ],
    "title": "Authenticate",
    "type": "object"
  },
  "ping": {
    "additionalProperties": false,
    "description": "Measure the way: the ack returns `echo` as it came.",
    "properties": {
      "echo": {
        "anyOf": [
          {
            "type": "number"
          },
          {
            "type": "integer"
          },
          {
            "type": "string"
          },
          {
            "type": "null"
          }
        ],
        "default": null,
        "description": "at most 200 characters, if a string",
        "title": "Echo"
      }
    },
    "title": "Ping",
    "type": "object"
  }
});
