/** Chance by name: what is drawn for a name depends on the seed and that name alone, so that leaving one thing out of a story changes no other. */
import { seededRandom } from '../../sim/world.ts'

export type Dice = {
  /** In [0, 1). */
  roll(): number
  /** True with probability `p`. */
  hits(p: number): boolean
  /** A whole number in [low, high]. */
  between(low: number, high: number): number
  pick<T>(from: readonly T[]): T
}

/** Dice for one thing of a story. */
export function diceFor(seed: number, name: string): Dice {
  let hash = 0x811c9dc5 ^ seed // FNV-1a
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193)
  const roll = seededRandom(hash ^ (hash >>> 15))
  const between = (low: number, high: number) => low + Math.floor(roll() * (high - low + 1))
  return { roll, between, hits: (p) => roll() < p, pick: (from) => from[between(0, from.length - 1)]! }
}
