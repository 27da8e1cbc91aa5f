/**
 * Those who write in one turn of the event loop share a commit. Each connection has a part of a turn of its own, so without this the first of many requests
 * that come at once would wait for the disk alone, and all others after it.
 */
import { turn } from '../store/watch.ts'

/** Whoever calls goes on at the end of this turn, together with everyone else who has called in it. */
export function gathering(): () => Promise<void> {
  let next: Promise<void> | null = null
  return () => (next ??= turn().then(() => void (next = null)))
}
