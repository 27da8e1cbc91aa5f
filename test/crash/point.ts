/**
 * Where a daemon, or a command, is killed. A point is a commit: that of the nth transaction in which this statement was executed, and the moment
 * just before it or just after it. Between any two of them nothing is acknowledged and nothing is on disk that was not there before.
 */
export type Stop =
  | { sql: string; among?: string; when: 'before' | 'after'; nth: number }
  /** Just before this is executed, outside of any transaction. */
  | { says: string }
  /** Anywhere: so many milliseconds after its start. */
  | { afterMs: number }

export type Point = { name: string; stop: Stop }

const at = (sql: string, when: 'before' | 'after', nth = 1): Stop => ({ sql, when, nth })
const event = (among: string, when: 'before' | 'after', nth = 1): Stop => ({
  sql: 'insert into event',
  among,
  when,
  nth,
})

/** Of the command that adds a task. */
export const addPoints: readonly Point[] = [
  { name: 'add: before its commit', stop: event('task.added', 'before') },
  { name: 'add: after its commit, before it answers', stop: event('task.added', 'after') },
]

/**
 * Of the daemon, in an order in which each finds what it needs: a point in the start of the next daemon comes after one that leaves it something
 * to give back.
 */
export const daemonPoints: readonly Point[] = [
  { name: 'start: the epoch is taken, nobody knows', stop: event('daemon.started', 'before') },
  { name: 'start: the epoch is taken, nothing else is done', stop: event('daemon.started', 'after') },
  { name: 'admission: decided, not committed', stop: event('attempt.admitted', 'before') },
  { name: 'admission: committed, not claimed', stop: event('attempt.admitted', 'after') },
  { name: 'claim: not committed', stop: at("update lease set state = 'claimed'", 'before') },
  { name: 'claim: committed, nothing started', stop: at("update lease set state = 'claimed'", 'after') },
  { name: 'attempt: its process is there, its row is not', stop: at('insert into process', 'before') },
  { name: 'attempt: its process is written down', stop: at('insert into process', 'after') },
  { name: 'rescue: the lease is given back, not committed', stop: at('delete from lease', 'before') },
  { name: 'money: the hold is decided, not committed', stop: at('insert into hold', 'before') },
  { name: 'money: the hold is written, the request has not left', stop: at('insert into hold', 'after') },
  { name: 'start: what the dead daemon held is charged, not committed', stop: at('delete from hold', 'before') },
  { name: 'start: what the dead daemon held is charged', stop: at('delete from hold', 'after') },
  { name: 'money: the request is settled, not committed', stop: at('insert into charge', 'before', 2) },
  { name: 'money: the request is settled', stop: at('insert into charge', 'after', 3) },
  { name: 'end: the key is revoked, the process lives', stop: at('update virtual_key set revoked_at', 'after', 2) },
  { name: 'end: the agent is done, its result is not committed', stop: event('candidate.taken', 'before') },
  { name: 'end: the result is committed', stop: event('candidate.taken', 'after') },
  { name: 'gates: executed, not committed', stop: event('gates.finished', 'before') },
  { name: 'gates: committed', stop: event('gates.finished', 'after') },
  { name: 'review: a vote is not committed', stop: event('vote.cast', 'before') },
  { name: 'review: a vote is committed', stop: event('vote.cast', 'after', 2) },
  { name: 'landing: the intent is not committed', stop: event('landing.intended', 'before') },
  { name: 'landing: the intent is committed, the branch has not moved', stop: event('landing.intended', 'after') },
  { name: 'landing: the branch has moved, the landing is not committed', stop: event('task.landed', 'before') },
  { name: 'rescue: a landing found to have happened is not committed', stop: event('task.landed', 'before') },
  { name: 'landing: committed, its anchor is not written', stop: event('task.landed', 'after') },
  { name: 'seal: a batch is sealed, not committed', stop: at('insert into seal', 'before', 6) },
]

/** Of the daemon while it copies its database: the copy is there, and nothing has been made of it. */
export const backupPoint: Point = {
  name: 'backup: copied, not settled',
  stop: { says: 'pragma journal_mode = delete' },
}
