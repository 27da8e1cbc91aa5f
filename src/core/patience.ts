/**
 * How long an attempt may be silent. Activity (agent events, wire bytes, CPU) resets it; waiting in the gateway stops the clock, and so how long a provider
 * may be silent is another measure (`providerMs`).
 */
import type { Size } from './task.ts'

export type Patience = {
  smallMs: number
  mediumMs: number
  largeMs: number
  grace: number
  wallMs: number
  providerMs: number
}

/** The silence window of a task, in milliseconds. */
export const silenceMs = (size: Size, patience: Patience): number =>
  ({ small: patience.smallMs, medium: patience.mediumMs, large: patience.largeMs })[size] * patience.grace
