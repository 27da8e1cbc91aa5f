/** How an attempt ended. One word each, because retry, feedback and reports all switch on it. */
export const outcomes = [
  'passed', // did what the step is for
  'failed', // did it, and the answer is no: a red gate, a conflict, a task the agent could not do
  'no-change', // the agent ended well and committed nothing
  'unreadable', // the agent answered, but not in the form asked for
  'timed-out', // wall cap
  'stalled', // alive, but no activity for its silence window
  'killed', // ended by us: cancelled, daemon stopped, lease taken back
  'lost', // the daemon or worker died; nobody knows how it ended
  'crashed', // the agent's process died by itself
  'over-budget', // a limit was reached on the wire
  'rate-limited', // the provider said later, or its family is closed because nobody reaches it
  'unreachable', // the provider could not be reached
  'refused', // the provider or the gateway said no for good: credential, model, request
] as const

export type Outcome = (typeof outcomes)[number]

/** Ended by the world, not by the work: another attempt may do better without a word of feedback. */
export const isRetryable = (outcome: Outcome): boolean =>
  ['unreadable', 'timed-out', 'stalled', 'crashed', 'rate-limited', 'unreachable', 'lost', 'killed'].includes(outcome)
