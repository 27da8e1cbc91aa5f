/**
 * What a person decides about money while it is being spent: a task may cost more, a day may, what is parked goes on, a tripped breaker is closed. The
 * usual limits are the operator's settings; nothing here changes those.
 */
import type { TaskEvent } from '../core/event.ts'
import { dayOf, familyDay, repoDay } from '../core/day.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { isOver, stateOf, type Task } from '../core/task.ts'
import type { Tx } from '../store/database.ts'
import { raiseLimit, setLimit } from '../store/ledger.ts'
import { accountOf, raisedFor } from '../store/account.ts'
import { append } from '../store/append.ts'
import { closeBreaker } from '../store/pace.ts'
import { findTask, loadTask, parkedAt } from '../store/task.ts'
import type { CommandPorts } from './ports.ts'

export type Raised = { scope: string; limitNanoUsd: number; resumed: string[] }

/**
 * Lets a task (with its parts: they draw on their root's budget) cost so much more; what is parked there goes on. `usualNanoUsd` is what a task may cost
 * that nobody gave a budget. Refuses what `findTask` does, `already-over`, `no-amount`, `too-much`.
 */
export async function raiseTaskBudget(
  { database, world, actor }: CommandPorts,
  said: string,
  byNanoUsd: number,
  usualNanoUsd: number,
): Promise<Raised | Refusal> {
  if (byNanoUsd <= 0) return noAmount
  return database.write(async (tx) => {
    const task = await findTask(tx, said)
    if (isRefusal(task)) return task
    const root = (await loadTask(tx, task.root)) ?? task
    if (isOver(root)) return refuse('already-over', `${root.id} is ${root.phase}`)
    const scope = `task/${root.id}`
    const before = (await accountOf(tx, scope))?.limit ?? root.budgetNanoUsd ?? usualNanoUsd
    const budgetNanoUsd = before + byNanoUsd
    if (!Number.isSafeInteger(budgetNanoUsd)) return tooMuch
    const at = world.clock.now()
    await write({ world, actor }, tx, root, { type: 'task.budgeted', budgetNanoUsd, by: actor })
    await setLimit(tx, scope, budgetNanoUsd) // so that what is under way sees it at once
    const why = `${actor} raised its budget`
    return { scope, limitNanoUsd: budgetNanoUsd, resumed: await resumeAt(tx, scope, { at, actor, why }) }
  })
}

/** Lets today cost so much more; what is parked at it goes on. Refuses `no-amount`, `too-much`. */
export const raiseDayBudget = (
  ports: CommandPorts,
  byNanoUsd: number,
  usualNanoUsd: number,
): Promise<Raised | Refusal> =>
  raiseToday(ports, { scopeOf: (day) => `day/${day}`, what: 'the day' }, byNanoUsd, usualNanoUsd)

/** As `raiseDayBudget`, for what a repository (by its id) or a family may cost of it. */
export const raisePartOfDay = (
  ports: CommandPorts,
  part: { of: 'repo' | 'family'; name: string },
  byNanoUsd: number,
  usualNanoUsd: number,
): Promise<Raised | Refusal> => {
  const [scope, what] = part.of === 'repo' ? [repoDay, 'its repository'] : [familyDay, part.name]
  return raiseToday(
    ports,
    { scopeOf: (day) => scope(day, part.name), what: `the day of ${what}` },
    byNanoUsd,
    usualNanoUsd,
  )
}

async function raiseToday(
  { database, world, actor }: CommandPorts,
  { scopeOf, what }: { scopeOf: (day: string) => string; what: string },
  byNanoUsd: number,
  usualNanoUsd: number,
): Promise<Raised | Refusal> {
  if (byNanoUsd <= 0) return noAmount
  return database.write(async (tx) => {
    const at = world.clock.now()
    const scope = scopeOf(dayOf(at))
    const limitNanoUsd = usualNanoUsd + (await raisedFor(tx, scope)) + byNanoUsd
    if (!Number.isSafeInteger(limitNanoUsd)) return tooMuch
    await raiseLimit(tx, scope, byNanoUsd)
    const event = { type: 'budget.raised' as const, scope, byNanoUsd, by: actor }
    await append(tx, { at, actor, stream: 'budget/main', events: [event] })
    return { scope, limitNanoUsd, resumed: await resumeAt(tx, scope, { at, actor, why: `${actor} raised ${what}` }) }
  })
}

/** Lets one parked task go on, whatever it is parked at. Refuses what `findTask` does, `wrong-state`. */
export async function resumeTask({ database, world, actor }: CommandPorts, said: string): Promise<Task | Refusal> {
  return database.write(async (tx) => {
    const task = await findTask(tx, said)
    if (isRefusal(task)) return task
    if (task.phase !== 'parked')
      return refuse(
        'wrong-state',
        `${task.id} is ${stateOf(task)}: there is nothing to resume`,
        `tri-agent show ${task.id}`,
      )
    await write({ world, actor }, tx, task, { type: 'task.resumed', why: `${actor} says so` })
    return (await loadTask(tx, task.id))!
  })
}

/** Closes a tripped breaker before its time; what it parked goes on. Refuses `not-tripped`. */
export async function closeTheBreaker({ database, world, actor }: CommandPorts): Promise<string[] | Refusal> {
  return database.write(async (tx) => {
    const at = world.clock.now()
    if (!(await closeBreaker(tx, at, actor))) return refuse('not-tripped', 'the breaker has not tripped')
    return resumeAt(tx, 'minute', { at, actor, why: `${actor} closed the breaker` })
  })
}

const noAmount = refuse('no-amount', 'say how many dollars more', 'tri-agent budget raise day 20')

const tooMuch = refuse('too-much', 'that is more than can be counted in nano-dollars', 'tri-agent budget raise day 20')

async function resumeAt(
  tx: Tx,
  scope: string,
  { at, actor, why }: { at: number; actor: string; why: string },
): Promise<string[]> {
  const parked = await parkedAt(tx, scope)
  for (const { id } of parked)
    await append(tx, { at, actor, stream: `task/${id}`, events: [{ type: 'task.resumed', why }] })
  return parked.map(({ id }) => id)
}

const write = (
  { world, actor }: Pick<CommandPorts, 'world' | 'actor'>,
  tx: Tx,
  { id }: Task,
  event: TaskEvent,
): Promise<void> => append(tx, { at: world.clock.now(), actor, stream: `task/${id}`, events: [event] })
