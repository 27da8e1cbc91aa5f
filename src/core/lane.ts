/**
 * Lanes: the order of work. The stored lane never changes by waiting; only the *effective* rank rises, one lane per `stepMs` waited, so that
 * nothing starves and nobody finds a task renamed.
 */
export const lanes = ['critical', 'normal', 'background'] as const
export type Lane = (typeof lanes)[number]

/** 0 is first. May go below 0: a background task that waited long enough overtakes a fresh critical one. */
export const effectiveRank = (lane: Lane, waitedMs: number, stepMs: number): number =>
  lanes.indexOf(lane) - Math.floor(Math.max(0, waitedMs) / stepMs)
