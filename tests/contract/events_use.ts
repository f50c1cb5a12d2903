// How a console or a client uses contracts/generated/events.ts; tests/contract/test_typescript.py compiles it.
import {
  ENTITY_TYPES,
  EVENT_TYPES,
  type EntityType,
  type EventType,
  type NewEvent,
  type RunEvent,
} from "../../contracts/generated/events";

/** `type` tells which payload there is. */
export function text(event: RunEvent): string {
  switch (event.type) {
    case "MESSAGE_DELTA":
      return event.payload.delta;
    case "PLAN_CREATED":
      return event.payload.tasks.map((task) => task.title).join();
    case "ARTIFACT_CREATED": {
      const kind: EntityType = event.payload.entity_type;
      return kind;
    }
    case "USAGE_RECORDED":
      return String((event.payload.cost_micros ?? 0) + event.payload.input_tokens);
    case "STATE_DELTA":
      return event.payload.delta.map((change): "add" | "remove" | "replace" | "move" | "copy" | "test" => change.op).join();
    case "CUSTOM":
      return event.payload.name + event.payload["more"];
    default:
      return event.type;
  }
}

export const good: NewEvent[] = [
  { type: "RUN_FINISHED" },
  { type: "MESSAGE_DELTA", payload: { message_id: "m", delta: "x", further: [1, { a: null }] }, schema_version: 1 },
];

export const all: readonly EventType[] = EVENT_TYPES;
export const kinds: readonly EntityType[] = ENTITY_TYPES;

// @ts-expect-error a payload is needed
export const bad1: NewEvent = { type: "MESSAGE_DELTA" };
// @ts-expect-error delta is a string
export const bad2: NewEvent = { type: "MESSAGE_DELTA", payload: { message_id: "m", delta: 1 } };
// @ts-expect-error reserved
export const bad3: NewEvent = { type: "RUN_STARTED", payload: {} };
// @ts-expect-error refused name
export const bad4: EntityType = "web_source";
// @ts-expect-error unknown type
export const bad5: EventType = "NOPE";
