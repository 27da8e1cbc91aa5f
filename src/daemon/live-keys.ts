/**
 * The real keys of a daemon that is up: those that `keys` keeps are looked at again and again, so that a new one is used, and one that was taken away
 * is not, without a restart.
 *
 *     set or rotated ─▶ the new one; after a rotation the old one, where the provider does not know the new one yet
 *     removed ─▶ none: nothing is asked of that family any more
 */
import { isRefusal } from '../core/refusal.ts'
import type { KeySource } from '../core/setting.ts'
import { readBefore, readStored, stampOfStored, type KeyPorts } from '../host/key-store.ts'
import { startLoop, type Loop } from './loop.ts'

export type LiveKey = { key(): string; before(): string | null }

export type LiveKeys = {
  /** Takes a family's key in. */
  take(family: string, source: KeySource, key: string): LiveKey
  /** Looks at all that may have changed; `watch` does so every few seconds. */
  look(): Promise<void>
  watch(failed: (loop: string, error: unknown) => Promise<void>): Loop
  /** Every key there has been: all of them are to be scrubbed. */
  secrets(): readonly string[]
  /** Families whose key was taken away. */
  without(): readonly string[]
}

/** Milliseconds between two looks at what is kept. */
const lookMs = 5000

type Held = { stored: string | null; stamp: string | null; key: string; before: { key: string; until: number } | null }

export function liveKeys(ports: KeyPorts): LiveKeys {
  const held = new Map<string, Held>()
  const seen = new Set<string>()
  const read = async (each: Held): Promise<void> => {
    if (each.stored === null) return
    const stamp = stampOfStored(ports.folder, each.stored)
    if (stamp === each.stamp) return
    const found = stamp === null ? null : await readStored(ports, each.stored)
    if (found !== null && isRefusal(found)) return // locked for a moment: what is held goes on
    each.before = await readBefore(ports, each.stored)
    each.key = found?.key ?? ''
    each.stamp = stamp
    for (const key of [each.key, each.before?.key ?? '']) if (key !== '') seen.add(key)
  }
  const look = async () => void (await Promise.all([...held.values()].map(read)))
  return {
    look,
    watch: (failed) => startLoop(ports.world, 'keys', lookMs, look, failed),
    take(family, source, key) {
      const stored = 'stored' in source ? source.stored : null
      const each: Held = { stored, stamp: null, key, before: null } // looked at once more: a rotation may be under way
      held.set(family, each)
      seen.add(key)
      const isStill = () => each.before !== null && ports.world.clock.now() < each.before.until
      return { key: () => each.key, before: () => (isStill() ? each.before!.key : null) }
    },
    secrets: () => [...seen],
    without: () => [...held].flatMap(([family, { key }]) => (key === '' ? [family] : [])),
  }
}
