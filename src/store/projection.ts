/**
 * What the tables become when an event happens. The only writer of the projection tables; a rebuild calls it with every event of the log.
 * Nothing here reads a clock or decides: a projection that decides would decide differently on replay.
 */
import type { DaemonEvent, LoggedEvent, RepoEvent, TaskEvent } from '../core/event.ts'
import { evolve, stateOf, type Task } from '../core/task.ts'
import type { Tx } from './database.ts'
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
] as const

/** Applies one event to the tables. */
export async function project(tx: Tx, { at, stream, event }: LoggedEvent): Promise<void> {
  if (stream.startsWith('task/')) return projectTask(tx, stream.slice('task/'.length), event as TaskEvent, at)
  if (stream.startsWith('repo/')) return projectRepo(tx, event as RepoEvent)
  void (event as DaemonEvent) // the daemon's own story is read from the log
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

async function projectTask(tx: Tx, id: string, event: TaskEvent, at: number): Promise<void> {
  const row = await tx.get<{ doc: string }>('select doc from task where id = :id', { id })
  const before = row ? (JSON.parse(row.doc) as Task) : null
  const task = evolve(before, event, at)
  await projectPart(tx, task, event, at)
  await tx.run(
    `insert into task (id, repo, title, kind, lane, size, state, step, parent, added_at, version, doc)
     values (:id, :repo, :title, :kind, :lane, :size, :state, :step, :parent, :addedAt, :version, :doc)
     on conflict (id) do update set lane = :lane, state = :state, step = :step, version = :version, doc = :doc`,
    {
      id,
      repo: task.repo,
      title: task.title,
      kind: task.kind,
      lane: task.lane,
      size: task.size,
      state: stateOf(task),
      step: task.step,
      parent: task.parent,
      addedAt: task.addedAt,
      version: task.version,
      doc: JSON.stringify(task),
    },
  )
  if (before === null) await keepDependencies(tx, task)
  await placeInQueue(tx, task)
  if (task.phase === 'done' && before?.phase !== 'done') await placeWaiting(tx, task)
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
