/**
 * What the tables become when an event happens. The only writer of the projection tables; a rebuild calls it with every event of the log.
 * Nothing here reads a clock or decides: a projection that decides would decide differently on replay.
 */
import type { DaemonEvent, LoggedEvent, RepoEvent, TaskEvent } from '../core/event.ts'
import { evolve, stateOf, type Task } from '../core/task.ts'
import type { Tx } from './database.ts'
import { decodeTask, encodeTask } from './document.ts'
import { endPause, keepPause } from './pause.ts'
import { keepDependencies, placeInQueue, placeWaiting } from './queue.ts'

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

/** How many events a stream has, and, of a task's, what they made of it. */
type Standing = { version: number; task: Task | null }

/** What a stream's next events follow on. A task's row knows how many there were, so that the log need not be asked. */
export async function standing(tx: Tx, stream: string): Promise<Standing> {
  if (stream.startsWith(ofTask)) {
    const row = await tx.get<{ doc: string }>('select doc from task where id = :id', {
      id: stream.slice(ofTask.length),
    })
    const task = row ? decodeTask(row.doc) : null
    return { version: task?.version ?? 0, task }
  }
  const last = await tx.get<{ version: number }>(
    'select coalesce(max(version), 0) as version from event where stream = :stream',
    { stream },
  )
  return { version: last!.version, task: null }
}

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
    await projectPart(tx, now, event as TaskEvent, at)
  }
  const task = now!
  const changing = {
    id,
    lane: task.lane,
    state: stateOf(task),
    step: task.step,
    version: task.version,
    held: task.held,
    doc: encodeTask(task),
  }
  if (before === null) await insertTask(tx, task, changing)
  else
    await tx.run(
      'update task set lane = :lane, state = :state, step = :step, version = :version, held = :held, doc = :doc where id = :id',
      changing,
    )
  if (before === null) await keepDependencies(tx, task)
  await placeInQueue(tx, task, before)
  if (task.phase === 'done' && before?.phase !== 'done') await placeWaiting(tx, task)
}

/** Apart from the update: an upsert checks every constraint twice, and that is most of what writing a task costs. */
async function insertTask(tx: Tx, task: Task, changing: Record<string, string | number | null>): Promise<void> {
  const { repo, title, kind, size, parent, addedAt } = task
  await tx.run(
    `insert into task (id, repo, title, kind, lane, size, state, step, parent, added_at, version, held, doc)
     values (:id, :repo, :title, :kind, :lane, :size, :state, :step, :parent, :addedAt, :version, :held, :doc)`,
    { ...changing, repo, title, kind, size, parent, addedAt },
  )
}

async function projectPart(tx: Tx, task: Task, event: TaskEvent, at: number): Promise<void> {
  switch (event.type) {
    case 'attempt.admitted':
      return insertAttempt(tx, task.id, event, at)
    case 'attempt.started':
      return void (await tx.run(
        "update attempt set state = 'started', started_at = :at, rung = :rung where id = :attempt",
        { at, rung: event.rung, attempt: event.attempt },
      ))
    case 'attempt.ended':
      return void (await tx.run(
        `update attempt set state = 'ended', ended_at = :at, outcome = :outcome, reason = :reason,
           cost_nano_usd = :cost, tokens = :tokens, transcript = :transcript where id = :attempt`,
        {
          at,
          outcome: event.outcome,
          reason: event.reason,
          cost: event.costNanoUsd,
          tokens: JSON.stringify(event.tokens),
          transcript: event.transcript ? JSON.stringify(event.transcript) : null,
          attempt: event.attempt,
        },
      ))
    case 'vote.cast':
      return insertVote(tx, task, event)
    case 'task.landed': {
      const { commit, tree, target } = event
      return void (await tx.run(
        `insert into landing (task, repo, commit_sha, tree, target, at) values (:task, :repo, :commit, :tree, :target, :at)`,
        { task: task.id, repo: task.repo, commit, tree, target, at },
      ))
    }
    default:
      return
  }
}

async function insertAttempt(
  tx: Tx,
  task: string,
  event: TaskEvent & { type: 'attempt.admitted' },
  at: number,
): Promise<void> {
  const { attempt, token, step, role, family, agent, model } = event
  await tx.run(
    `insert into attempt (id, task, token, step, role, family, agent, model, state, admitted_at)
     values (:attempt, :task, :token, :step, :role, :family, :agent, :model, 'admitted', :at)`,
    { attempt, task, token, step, role, family, agent, model, at },
  )
}

async function insertVote(tx: Tx, task: Task, event: TaskEvent & { type: 'vote.cast' }): Promise<void> {
  const { round, family, model, attempt, commit, summary } = event
  await tx.run(
    `insert into vote (task, round, family, model, attempt, commit_sha, author, summary)
     values (:task, :round, :family, :model, :attempt, :commit, :author, :summary)`,
    { task: task.id, round, family, model, attempt, commit, author: task.round!.author, summary },
  )
}
