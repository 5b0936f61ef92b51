// @ts-check
/** Which of the events that have come are new, in order, and without a hole. */

/**
 * @typedef {{name: string, payload: any}} LoggedEvent
 * @typedef {{epoch: string, prev_offset: number, offset: number}} Span what a batch covers, or an event
 */

/**
 * Sort out events that follow one another, against the place where a reader stands.
 * @param {{epoch: string, offset: number}} place
 * @param {LoggedEvent[]} events in their order
 * @param {Span} span all that they cover together: a filter may have left out more than there is between them
 * @returns {{fresh: LoggedEvent[], seen: number, offset: number, hole: boolean}} what to apply, how many were seen
 *   before, where the reader stands then, and whether something is missing behind that
 */
export function sortOut(place, events, span) {
  const fresh = [];
  let seen = 0;
  let { offset } = place;
  const stop = (hole) => ({ fresh, seen, offset, hole });
  for (const event of events) {
    const { epoch, prev_offset, offset: end } = event.payload;
    if (epoch !== place.epoch) return stop(true);
    if (end <= offset) {
      seen += 1;
    } else if (prev_offset === offset) {
      fresh.push(event);
      offset = end;
    } else {
      return stop(true);
    }
  }
  if (span.epoch !== place.epoch || span.prev_offset > offset) return stop(true);
  offset = Math.max(offset, span.offset);
  return stop(false);
}
