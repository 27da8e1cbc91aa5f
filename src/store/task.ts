/** Reading tasks, attempts and repositories. */
import type { Lane } from '../core/lane.ts'
import type { Place } from '../core/cap.ts'
import type { Task } from '../core/task.ts'
import { refuse, type Refusal } from '../core/refusal.ts'
import type { Reader } from './database.ts'
import { decodeTask, whole, type TaskRow } from './document.ts'

type Whole = TaskRow & { text: string }

/** A task by its whole id, or null. */
export async function loadTask(reader: Reader, id: string): Promise<Task | null> {
  const row = await reader.get<Whole>(`select ${whole} from task where id = :id`, { id })
  return row ? decodeTask(row) : null
}

/** The task a person means: a whole id or the beginning of one, with or without `task_`. Refuses `no-such-task`, `ambiguous`. */
export async function findTask(reader: Reader, said: string): Promise<Task | Refusal> {
  const prefix = said.startsWith('task_') ? said : `task_${said}`
  const nothing = prefix === 'task_' // an empty variable in somebody's script must not mean the only task there is
  const rows = nothing
    ? []
    : await reader.all<Whole>(
        `select ${whole} from task where substr(id, 1, length(:prefix)) = :prefix order by id limit 3`,
        { prefix },
      )
  if (rows.length === 0)
    return refuse('no-such-task', nothing ? 'no task is named' : `there is no task ${said}`, 'tri-agent list')
  if (rows.length > 1 && rows[0]!.id !== prefix)
    return refuse(
      'ambiguous',
      `${said} is the beginning of ${rows.map(({ id }) => id).join(', ')}${rows.length > 2 ? '…' : ''}`,
      'type more of the id',
    )
  return decodeTask(rows[0]!)
}

/** Tasks of which something is under way, those named, and what all of these depend on: what admission looks at. */
export async function tasksAround(reader: Reader, ids: readonly string[]): Promise<Task[]> {
  const rows = await reader.all<Whole>(
    `with near as (
       select id, doc from task
       where id in (select value from json_each(:ids) union select task from attempt where state <> 'ended')
         and state not in ('done', 'cancelled'))
     select ${whole} from task
     where id in (select id from near union select each.value from near, json_each(near.doc, '$.after') as each)
     order by added_at, id`,
    { ids: JSON.stringify(ids) },
  )
  return rows.map(decodeTask)
}

/** Repositories in which a landing of a task that was cancelled has not ended yet. */
export const dyingLandings = async (reader: Reader): Promise<string[]> =>
  (
    await reader.all<{ repo: string }>(
      `select distinct repo from attempt join task on task.id = attempt.task
       where attempt.state <> 'ended' and attempt.step = 'land' and task.state = 'cancelled'`,
    )
  ).map(({ repo }) => repo)

/** Split tasks of whose parts none is left to do. */
export const finishedSplits = async (reader: Reader): Promise<Task[]> =>
  (
    await reader.all<Whole>(
      `select ${whole} from task
       where state = 'split' and not exists (
         select 1 from task as part where part.parent = task.id and part.state not in ('done', 'cancelled'))
       order by added_at, id`,
    )
  ).map(decodeTask)

/** Is an attempt under way, or a split about to be joined? */
export async function anythingUnderWay(reader: Reader): Promise<boolean> {
  const row = await reader.get<{ is: number }>(
    `select exists (select 1 from attempt join task on task.id = attempt.task
                    where attempt.state <> 'ended' and task.state not in ('done', 'cancelled')) as "is"`,
  )
  return row!.is === 1 || (await finishedSplits(reader)).length > 0
}

/** Who is at work where, for caps. */
export const placesUnderWay = (reader: Reader): Promise<Place[]> =>
  reader.all<Place>(
    `select attempt.family, attempt.role, task.repo from attempt join task on task.id = attempt.task
     where attempt.state <> 'ended' and task.state not in ('done', 'cancelled')`,
  )

export type TaskFilter = { states?: readonly string[]; repo?: string; limit: number }

/** Tasks, newest first. */
export async function listTasks(reader: Reader, filter: TaskFilter): Promise<Task[]> {
  const { states, repo = null, limit } = filter
  const rows = states
    ? await reader.all<Whole>(
        `select ${whole} from task
         where state in (select value from json_each(:states)) and (:repo is null or repo = :repo)
         order by added_at desc, id desc limit :limit`,
        { states: JSON.stringify(states), repo, limit },
      )
    : await reader.all<Whole>(
        `select ${whole} from task where :repo is null or repo = :repo order by added_at desc, id desc limit :limit`,
        { repo, limit },
      )
  return rows.map(decodeTask)
}

/** Tasks a person holds back, oldest first. */
export const heldTasks = async (reader: Reader, limit: number): Promise<Task[]> =>
  (
    await reader.all<Whole>(
      `select ${whole} from task
       where held is not null and state not in ('done', 'cancelled') order by added_at, id limit :limit`,
      { limit },
    )
  ).map(decodeTask)

/** Parked tasks that may go on by themselves by now, those that have waited longest first; so many that a pass stays short. */
export const parkedUntil = async (reader: Reader, at: number): Promise<Task[]> =>
  (
    await reader.all<Whole>(
      `select ${whole} from task where state = 'parked' and doc ->> '$.parked.until' <= :at order by added_at, id limit 100`,
      { at },
    )
  ).map(decodeTask)

/** When the next time comes at which a parked task goes on; null: none does. */
export const nextGoingOn = async (reader: Reader, at: number): Promise<number | null> =>
  (await reader.get<{ at: number | null }>(
    `select min(doc ->> '$.parked.until') as at from task where state = 'parked' and doc ->> '$.parked.until' > :at`,
    { at },
  ))!.at

/** Tasks parked at this limit. */
export const parkedAt = async (reader: Reader, scope: string): Promise<Task[]> =>
  (
    await reader.all<Whole>(
      `select ${whole} from task where state = 'parked' and doc ->> '$.parked.scope' = :scope order by added_at, id`,
      { scope },
    )
  ).map(decodeTask)

/** All parked tasks. */
export const parkedAnywhere = async (reader: Reader): Promise<Task[]> =>
  (await reader.all<Whole>(`select ${whole} from task where state = 'parked' order by added_at, id`)).map(decodeTask)

/** Those of these attempts whose archive a task that is not over may still need. */
export async function archivesNamed(reader: Reader, attempts: readonly string[]): Promise<Set<string>> {
  const rows = await reader.all<{ id: string }>(
    `select attempt.id from attempt join task on task.id = attempt.task
     where attempt.id in (select value from json_each(:ids)) and task.state not in ('done', 'cancelled')
       and doc ->> '$.archive.attempt' = attempt.id`,
    { ids: JSON.stringify(attempts) },
  )
  return new Set(rows.map(({ id }) => id))
}

/** The first task with this tag, or null. */
export async function taskTagged(reader: Reader, tag: string): Promise<string | null> {
  const row = await reader.get<{ id: string }>(
    `select id from task where exists (select 1 from json_each(doc, '$.tags') where value = :tag) order by added_at, id limit 1`,
    { tag },
  )
  return row?.id ?? null
}

export const childrenOf = async (reader: Reader, parent: string): Promise<Task[]> =>
  (await reader.all<Whole>(`select ${whole} from task where parent = :parent order by added_at, id`, { parent })).map(
    decodeTask,
  )

/** How many parts of a root, however deep, are not over. */
export const countParts = async (reader: Reader, root: string): Promise<number> =>
  (await reader.get<{ n: number }>(
    `select count(*) as n from task
     where state not in ('done', 'cancelled') and parent is not null and doc ->> '$.root' = :root`,
    { root },
  ))!.n

/** How many tasks are in each state. */
export async function countTasks(reader: Reader): Promise<Record<string, number>> {
  const rows = await reader.all<{ state: string; n: number }>(
    'select state, count(*) as n from task group by state order by state',
  )
  return Object.fromEntries(rows.map(({ state, n }) => [state, n]))
}

export type AttemptRow = {
  id: string
  task: string
  token: number
  step: string
  role: string
  family: string | null
  agent: string | null
  model: string | null
  state: 'admitted' | 'started' | 'ended'
  rung: string | null
  admitted_at: number
  started_at: number | null
  ended_at: number | null
  outcome: string | null
  reason: string | null
  cost_nano_usd: number
  tokens: string | null
  transcript: string | null
}

/** The attempts of a task in the order they were admitted. */
export const attemptsOf = (reader: Reader, task: string): Promise<AttemptRow[]> =>
  reader.all<AttemptRow>('select * from attempt where task = :task order by token', { task })

/** True for an attempt that was let in and has not been recorded as started. */
export async function awaitsStart(reader: Reader, attempt: string): Promise<boolean> {
  const row = await reader.get<{ state: string }>('select state from attempt where id = :id', { id: attempt })
  return row?.state === 'admitted'
}

/** The lane of an attempt's task, or null where there is no such attempt. */
export async function laneOfAttempt(reader: Reader, attempt: string): Promise<Lane | null> {
  const row = await reader.get<{ lane: Lane }>(
    'select task.lane from attempt join task on task.id = attempt.task where attempt.id = :attempt',
    { attempt },
  )
  return row?.lane ?? null
}

export type UnderWay = Pick<AttemptRow, 'id' | 'task' | 'step' | 'family'>

/** Attempts that have not ended: of these tasks, of a family, or all (null). */
export const attemptsUnderWay = (
  reader: Reader,
  { tasks = null, family = null }: { tasks?: readonly string[] | null; family?: string | null },
): Promise<UnderWay[]> =>
  reader.all<UnderWay>(
    `select id, task, step, family from attempt
     where state <> 'ended' and (:family is null or family = :family)
       and (:tasks is null or task in (select value from json_each(:tasks)))
     order by id`,
    { tasks: tasks && JSON.stringify(tasks), family },
  )

/** Those of these attempts whose task is over. */
export async function attemptsOfOver(reader: Reader, attempts: readonly string[]): Promise<string[]> {
  const rows = await reader.all<{ id: string }>(
    `select attempt.id from attempt join task on task.id = attempt.task
     where attempt.id in (select value from json_each(:ids)) and task.state in ('done', 'cancelled')`,
    { ids: JSON.stringify(attempts) },
  )
  return rows.map(({ id }) => id)
}

/** Those of these tasks that are over, and of which nothing has happened since `since` (epoch milliseconds), or that nobody knows. */
export const longOver = async (reader: Reader, ids: readonly string[], since: number): Promise<Set<string>> => {
  const rows = await reader.all<{ id: string }>(
    `select value as id from json_each(:ids)
     where not exists (
       select 1 from task where task.id = value and (state not in ('done', 'cancelled') or exists (
         select 1 from attempt where attempt.task = task.id and (ended_at is null or ended_at > :since))))`,
    { ids: JSON.stringify(ids), since },
  )
  return new Set(rows.map(({ id }) => id))
}

/** Every task that draws on this root, itself among them, in the order they were added. */
export const tasksOfRoot = async (reader: Reader, root: string): Promise<string[]> =>
  (
    await reader.all<{ id: string }>(
      `select id from task where coalesce(doc ->> '$.root', id) = :root order by added_at, id`,
      {
        root,
      },
    )
  ).map(({ id }) => id)

/** Tasks of a repository that are not over. */
export const openTasksOf = async (reader: Reader, repo: string): Promise<Task[]> =>
  (
    await reader.all<Whole>(
      `select ${whole} from task where repo = :repo and state not in ('done', 'cancelled') order by added_at, id`,
      { repo },
    )
  ).map(decodeTask)

export const openTaskIds = async (reader: Reader): Promise<string[]> =>
  (
    await reader.all<{ id: string }>(
      `select id from task where state not in ('done', 'cancelled') order by added_at, id`,
    )
  ).map(({ id }) => id)

export type RepoRow = { id: string; path: string; name: string; base: string; trusted: string | null }

export const listRepos = (reader: Reader): Promise<RepoRow[]> =>
  reader.all<RepoRow>('select * from repo order by name, id')

export const repoByPath = (reader: Reader, path: string): Promise<RepoRow | undefined> =>
  reader.get<RepoRow>('select * from repo where path = :path', { path })

export const repoById = (reader: Reader, id: string): Promise<RepoRow | undefined> =>
  reader.get<RepoRow>('select * from repo where id = :id', { id })

export type LandingRow = { task: string; repo: string; commit_sha: string; tree: string; target: string; at: number }

export const landingsOf = (reader: Reader, repo: string): Promise<LandingRow[]> =>
  reader.all<LandingRow>('select * from landing where repo = :repo order by at, task', { repo })
