/**
 * What the tables become when an event happens. The only writer of the projection tables; a rebuild calls it with every event of the log.
 * Nothing here reads a clock or decides: a projection that decides would decide differently on replay.
 */
import type { DaemonEvent, LoggedEvent, RepoEvent, TaskEvent } from '../core/event.ts'
import { evolve } from '../core/evolve.ts'
import { stateOf, type Task } from '../core/task.ts'
import type { Tx } from './database.ts'
import { columns, decodeTask, insertTask, updateTask, type TaskRow } from './document.ts'
import { encodeTask, learnTask, taskRow } from './row.ts'
import { endPause, keepPause } from './pause.ts'
import { keepDependencies, placeInQueue, placeWaiting } from './place.ts'

/** Tables that `project` owns, each with the order in which a dump lists its rows. */
export const projections = [
  { table: 'repo', order: 'id' },
  { table: 'task', order: 'id' },
  { table: 'attempt', order: 'id' },
  { table: 'vote', order: 'task, round, family' },
  { table: 'landing', order: 'task' },
  { table: 'dependency', order: 'needs, task' },
  { table: 'queue', order: 'task' },
  { table: 'pause', order: 'what, name' },
] as const

/** How many events a stream has, and, of a task's, what they made of it (but for its text, which no event changes). */
type Standing = { version: number; task: Task | null }

/** What a stream's next events follow on. A task's row knows how many there were, so that the log need not be asked. */
export async function standing(tx: Tx, stream: string): Promise<Standing> {
  if (stream.startsWith(ofTask)) {
    const id = stream.slice(ofTask.length)
    const task = tx.known.tasks.get(id) ?? (await readTask(tx, id))
    return { version: task?.version ?? 0, task }
  }
  const last = await tx.get<{ version: number }>(
    'select coalesce(max(version), 0) as version from event where stream = :stream',
    { stream },
  )
  return { version: last!.version, task: null }
}

async function readTask(tx: Tx, id: string): Promise<Task | null> {
  const row = await tx.get<TaskRow>(`select ${columns} from task where id = :id`, { id })
  return row ? decodeTask(row) : null
}

/** How a task's stream is called, before its id. */
const ofTask = 'task/'

/** Applies events of one stream, in order, to the tables. However many they are, the task's own row is written once. */
export async function project(tx: Tx, stream: string, logged: readonly LoggedEvent[], before: Standing): Promise<void> {
  if (stream.startsWith(ofTask)) return projectTask(tx, stream.slice(ofTask.length), logged, before.task)
  if (stream.startsWith('repo/')) for (const { event } of logged) await projectRepo(tx, event as RepoEvent)
  if (stream === 'daemon/main')
    for (const { at, actor, event } of logged) await projectPause(tx, event as DaemonEvent, actor, at)
}

/** Of the daemon's own story the rest is read from the log. */
async function projectPause(tx: Tx, event: DaemonEvent, by: string, at: number): Promise<void> {
  if (event.type === 'work.paused') {
    const { what, name, why, now } = event
    return keepPause(tx, { what, name, why, by, at, now })
  }
  if (event.type === 'work.resumed') return endPause(tx, event.what, event.name, at)
}

async function projectRepo(tx: Tx, event: RepoEvent): Promise<void> {
  if (event.type === 'repo.trusted')
    return void (await tx.run('update repo set trusted = :hash where id = :repo', {
      hash: event.commandsSha256,
      repo: event.repo,
    }))
  const { repo, path, name, base } = event
  await tx.run(
    `insert into repo (id, path, name, base) values (:repo, :path, :name, :base)
     on conflict (id) do update set path = :path, name = :name, base = :base`,
    { repo, path, name, base },
  )
}

async function projectTask(tx: Tx, id: string, logged: readonly LoggedEvent[], before: Task | null): Promise<void> {
  let now = before
  for (const { at, event } of logged) {
    now = evolve(now, event as TaskEvent, at)
    const part = partOf(now, event as TaskEvent, at)
    if (part) await tx.run(part.sql, part.values)
  }
  const task = now!
  // apart from the update: an upsert checks every constraint twice, and that is most of what writing a task costs
  if (before === null) await tx.run(insertTask, taskRow(task))
  else {
    await tx.run(updateTask, changing(task))
    learnTask(tx.known, task)
  }
  if (before === null) await keepDependencies(tx, task)
  await placeInQueue(tx, task, before)
  if (task.phase === 'done' && before?.phase !== 'done') await placeWaiting(tx, task)
}

const changing = (task: Task) => ({
  id: task.id,
  lane: task.lane,
  state: stateOf(task),
  step: task.step,
  version: task.version,
  held: task.held,
  doc: encodeTask(task),
})
export type Row = Record<string, string | number | null>
/** A row beside the task's own that an event makes, or changes where it is there already: columns and their values. */
export type Part = { table: 'attempt' | 'vote' | 'landing'; key: string; values: Row; sql: string; isNew: boolean }

/** What an event does beside changing its task. Pure: the tables are written with it, and looked through with it without writing any. */
export function partOf(task: Task, event: TaskEvent, at: number): Part | null {
  switch (event.type) {
    case 'attempt.admitted': {
      const { attempt: id, token, step, role, family, agent, model } = event
      const who = { id, task: task.id, token, step, role, family, agent, model }
      const values = { ...who, state: 'admitted', admitted_at: at, cost_nano_usd: 0 }
      return { table: 'attempt', key: id, values, sql: insertAttempt, isNew: true }
    }
    case 'attempt.started': {
      const values = { id: event.attempt, state: 'started', started_at: at, rung: event.rung }
      return { table: 'attempt', key: event.attempt, values, sql: startAttempt, isNew: false }
    }
    case 'attempt.ended': {
      const values = {
        id: event.attempt,
        state: 'ended',
        ended_at: at,
        outcome: event.outcome,
        reason: event.reason,
        cost_nano_usd: event.costNanoUsd,
        tokens: JSON.stringify(event.tokens),
        transcript: event.transcript ? JSON.stringify(event.transcript) : null,
      }
      return { table: 'attempt', key: event.attempt, values, sql: endAttempt, isNew: false }
    }
    case 'vote.cast': {
      const { round, family, model, attempt, commit, summary } = event
      const by = { family, model, attempt, commit_sha: commit, author: task.round!.author, summary }
      const key = `${task.id}/${round}/${family}`
      return { table: 'vote', key, values: { task: task.id, round, ...by }, sql: insertVote, isNew: true }
    }
    case 'task.landed': {
      const { commit, tree, target } = event
      const values = { task: task.id, repo: task.repo, commit_sha: commit, tree, target, at }
      return { table: 'landing', key: task.id, values, sql: insertLanding, isNew: true }
    }
    default:
      return null
  }
}

const insertAttempt = `insert into attempt (id, task, token, step, role, family, agent, model, state, admitted_at, cost_nano_usd)
  values (:id, :task, :token, :step, :role, :family, :agent, :model, :state, :admitted_at, :cost_nano_usd)`
const startAttempt = 'update attempt set state = :state, started_at = :started_at, rung = :rung where id = :id'
const endAttempt = `update attempt set state = :state, ended_at = :ended_at, outcome = :outcome, reason = :reason,
  cost_nano_usd = :cost_nano_usd, tokens = :tokens, transcript = :transcript where id = :id`
export const insertVote = `insert into vote (task, round, family, model, attempt, commit_sha, author, summary)
  values (:task, :round, :family, :model, :attempt, :commit_sha, :author, :summary)`
export const insertLanding = `insert into landing (task, repo, commit_sha, tree, target, at)
  values (:task, :repo, :commit_sha, :tree, :target, :at)`
