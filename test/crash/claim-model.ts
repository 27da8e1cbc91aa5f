/**
 * What the queue and its leases are supposed to be, as a plain value: the specification that recorded histories are held to.
 *
 *     add ─▶ queue ─admit─▶ offered ─claim─▶ claimed ─finish─▶ gone          sweep, restart: taken back, whoever holds it
 */
type Lease = { token: number; epoch: number; claimed: boolean; expires: number }

export type State = {
  epoch: number
  /** Tasks nobody let in yet, by when they were added and then by name. */
  queue: readonly { task: string; at: number }[]
  leases: Readonly<Record<string, Lease>>
}

export type Holder = { attempt: string; token: number; epoch: number }

/** One call of a client, and what it was answered. */
export type Call =
  | { call: 'add'; task: string; at: number }
  | { call: 'admit'; attempt: string; epoch: number; expires: number; answer: string | null }
  | { call: 'claim'; epoch: number; expires: number; answer: Holder | null }
  | { call: 'beat'; holder: Holder; expires: number; answer: boolean }
  | { call: 'finish'; holder: Holder; answer: boolean }
  | { call: 'sweep'; epoch: number; mono: number; limit: number; answer: string[] }
  | { call: 'restart'; answer: number }

export const empty: State = { epoch: 0, queue: [], leases: {} }

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** The state after a call, or null where this call cannot have been answered like this in this state. */
export function follow(state: State, call: Call): State | null {
  switch (call.call) {
    case 'add': {
      const queue = [...state.queue, { task: call.task, at: call.at }]
      return { ...state, queue: queue.toSorted((a, b) => a.at - b.at || order(a.task, b.task)) }
    }
    case 'admit': {
      const first = state.queue[0]
      if (call.answer !== (first?.task ?? null)) return null
      if (!first) return state
      const lease = { token: 1, epoch: call.epoch, claimed: false, expires: call.expires }
      return { ...withLease(state, call.attempt, lease), queue: state.queue.slice(1) }
    }
    case 'claim':
      return claim(state, call)
    case 'beat': {
      const held = leaseOf(state, call.holder)
      if (call.answer !== (held?.claimed === true)) return null
      return held?.claimed ? withLease(state, call.holder.attempt, { ...held, expires: call.expires }) : state
    }
    case 'finish':
      if (call.answer !== (leaseOf(state, call.holder) !== null)) return null
      return call.answer ? withLease(state, call.holder.attempt, null) : state
    case 'sweep': {
      const dead = Object.keys(state.leases)
        .filter((attempt) => isDead(state.leases[attempt]!, call.epoch, call.mono))
        .toSorted(order)
        .slice(0, call.limit)
      if (dead.join() !== call.answer.join()) return null
      return dead.reduce((now, attempt) => withLease(now, attempt, null), state)
    }
    case 'restart':
      return call.answer === state.epoch + 1 ? { ...state, epoch: call.answer } : null
  }
}

function claim(state: State, call: Call & { call: 'claim' }): State | null {
  const offered = Object.keys(state.leases).filter((attempt) => {
    const lease = state.leases[attempt]!
    return !lease.claimed && lease.epoch === call.epoch
  })
  const first = offered.toSorted(order)[0]
  if (call.answer === null) return first === undefined ? state : null
  const lease = leaseOf(state, call.answer)
  if (lease === null || call.answer.attempt !== first) return null
  return withLease(state, first, { ...lease, claimed: true, expires: call.expires })
}

const isDead = ({ epoch, expires }: Lease, present: number, mono: number): boolean =>
  epoch !== present || expires < mono

function leaseOf({ leases }: State, { attempt, token, epoch }: Holder): Lease | null {
  const lease = leases[attempt]
  return lease && lease.token === token && lease.epoch === epoch ? lease : null
}

function withLease(state: State, attempt: string, lease: Lease | null): State {
  const { [attempt]: _, ...rest } = state.leases
  return { ...state, leases: lease === null ? rest : { ...rest, [attempt]: lease } }
}
