/**
 * Is a history linearizable? Each client's calls came one after the other; those of different clients overlap. It is, if all of them can be put in one
 * order that agrees with their times and in which each was answered as the model says (Wing and Gong; a position that was met before with the same
 * state is not searched again).
 */
export type Recorded<C> = { call: C; began: number; ended: number }

type Position<S> = { next: number[]; state: S; done: number }

/** Null when it is, else what could not be explained: the calls that were next where the search came furthest. */
export function explainHistory<S, C>(
  clients: readonly (readonly Recorded<C>[])[],
  begin: S,
  follow: (state: S, call: C) => S | null,
): { explained: number; of: number; next: C[] } | null {
  const total = clients.reduce((sum, calls) => sum + calls.length, 0)
  const seen = new Set<string>()
  let furthest: Position<S> = { next: clients.map(() => 0), state: begin, done: 0 }
  const open = [furthest]
  for (let position = open.pop(); position !== undefined; position = open.pop()) {
    if (position.done === total) return null
    if (position.done > furthest.done) furthest = position
    const key = `${position.next.join()} ${JSON.stringify(position.state)}`
    if (seen.has(key)) continue
    seen.add(key)
    for (const [client, recorded] of mayBeNext(clients, position.next)) {
      const state = follow(position.state, recorded.call)
      if (state === null) continue
      const next = position.next.with(client, position.next[client]! + 1)
      open.push({ next, state, done: position.done + 1 })
    }
  }
  const next = clients.flatMap((calls, client) => calls[furthest.next[client]!]?.call ?? [])
  return { explained: furthest.done, of: total, next }
}

/** Those that began before any other that is not explained yet had ended; the one that ended first is looked at first. */
function mayBeNext<C>(
  clients: readonly (readonly Recorded<C>[])[],
  next: readonly number[],
): [client: number, Recorded<C>][] {
  const heads = clients.flatMap((calls, client): [number, Recorded<C>][] => {
    const head = calls[next[client]!]
    return head ? [[client, head]] : []
  })
  const firstEnd = Math.min(...heads.map(([, { ended }]) => ended))
  return heads.filter(([, { began }]) => began <= firstEnd).toSorted(([, a], [, b]) => b.ended - a.ended)
}
