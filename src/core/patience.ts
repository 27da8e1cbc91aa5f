/** How long an attempt may be silent. Activity (agent events, wire bytes, CPU) resets it; waiting in the gateway stops the clock. */
import type { Size } from './task.ts'

export type Patience = { smallMs: number; mediumMs: number; largeMs: number; grace: number; wallMs: number }

/** The silence window of a task, in milliseconds. */
export const silenceMs = (size: Size, patience: Patience): number =>
  ({ small: patience.smallMs, medium: patience.mediumMs, large: patience.largeMs })[size] * patience.grace
