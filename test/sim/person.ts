/** The person of a story: files wishes, decides on what is there, and reads the database as any program may. */
import { DatabaseSync } from 'node:sqlite'
import { dayOf } from '../../src/core/day.ts'
import { isRefusal, type Refusal } from '../../src/core/refusal.ts'
import type { OperatorSettings } from '../../src/core/setting.ts'
import type { Task } from '../../src/core/task.ts'
import type { Database } from '../../src/store/database.ts'
import { readPauses } from '../../src/store/pause.ts'
import { listTasks } from '../../src/store/task.ts'
import type { VirtualWorld } from '../../sim/world.ts'
import type { Auditor } from './auditor.ts'
import { straight, type Act } from './door.ts'
import type { Deed, Step } from './story.ts'

export const actor = 'person:ada'

export type Person = {
  /** What everything may cost, as the operator says. */
  money: OperatorSettings['money']
  database: Database
  world: VirtualWorld
  repos: { id: string; path: string }[]
  /** Ids of the tasks it was told of, in order. */
  added: string[]
  /** How many events there are now. */
  asked: Auditor['events']
  acknowledged: Auditor['acknowledged']
  /** The day on which it raised all that it can. */
  raisedOn: string | null
  /** How often each task was tried again in the calm. */
  retries: Map<string, number>
}

const everything = 1_000_000

/** Does one thing. What is refused is a person's luck. Resolves when it was answered. */
export async function doDeed(
  person: Person,
  step: Step & { what: 'add' | 'person' | 'pause' | 'raise' | 'resume' },
  act: Act,
): Promise<void> {
  if (step.what === 'add') return add(person, step, act)
  if (step.what === 'pause') return pause(person, step, act)
  if (step.what === 'raise') return raise(person, step, act)
  if (step.what === 'resume') return void (await resumeOne(person, step.pick, act))
  const tasks = (await allTasks(person)).filter((task) => canBe(step.deed, task))
  const task = tasks[Math.floor(step.pick * tasks.length)]
  if (!task) return
  await decide(person, act, step.deed, task)
}

const allTasks = async ({ database }: Person): Promise<Task[]> =>
  (await database.read((reader) => listTasks(reader, { limit: everything }))).toReversed()

async function add(person: Person, step: Step & { what: 'add' }, act: Act): Promise<void> {
  const { count, after } = step
  const needed = after > 0 ? person.added.at(-after) : undefined
  await Promise.all(Array.from({ length: count }, (_, n) => addOne(person, step, n, needed, act)))
}

async function addOne(
  person: Person,
  { title, kind, size, lane, repo, count, budgetNanoUsd }: Step & { what: 'add' },
  n: number,
  needed: string | undefined,
  act: Act,
): Promise<void> {
  const asked = person.asked()
  const task = await act('add', {
    repo: person.repos[repo % person.repos.length]!.id,
    title: count === 1 ? title : `${title} ${n + 1} of ${count}`,
    kind,
    size,
    lane,
    after: needed ? [needed] : [],
    budgetNanoUsd,
  })
  if (isRefusal(task)) return
  person.added.push(task.id)
  person.acknowledged('added', task.id, asked)
}

async function pause(person: Person, step: Step & { what: 'pause' }, act: Act): Promise<void> {
  const { scope: what, now } = step
  const name = what === 'repo' ? person.repos[Number(step.name)]!.id : step.name
  const asked = person.asked()
  const paused = await act('pause', { what, name, why: 'quiet now', now })
  if (!isRefusal(paused)) person.acknowledged('paused', `${what} ${name}`, asked)
}

async function raise(person: Person, { of, name, pick, byNanoUsd }: Step & { what: 'raise' }, act: Act): Promise<void> {
  if (of !== 'task') return raiseToday(person, { of, name }, byNanoUsd, act)
  const tasks = (await allTasks(person)).filter(isOpen)
  const task = tasks[Math.floor(pick * tasks.length)]
  if (task) await act('raiseTask', task.id, byNanoUsd, person.money.taskNanoUsd)
}

/** Today, or a part of it, may cost so much more. */
async function raiseToday(
  person: Person,
  { of, name }: { of: 'day' | 'repo' | 'family'; name: string },
  byNanoUsd: number,
  act: Act,
): Promise<void> {
  const { dayNanoUsd, repositoriesNanoUsd, familiesNanoUsd } = person.money
  const asked = person.asked()
  const raised =
    of === 'day'
      ? await act('raiseDay', byNanoUsd, dayNanoUsd)
      : of === 'repo'
        ? await act(
            'raisePart',
            { of, name: person.repos[Number(name.slice(1))]!.id },
            byNanoUsd,
            repositoriesNanoUsd[name]!,
          )
        : await act('raisePart', { of, name }, byNanoUsd, familiesNanoUsd[name]!)
  if (!isRefusal(raised)) person.acknowledged('raised', raised.scope, asked)
}

const pausesNow = async ({ database }: Person) =>
  (await database.read(readPauses)).filter(({ until }) => until === null)

async function resumeOne(person: Person, pick: number, act: Act): Promise<boolean> {
  const pauses = await pausesNow(person)
  const one = pauses[Math.floor(pick * pauses.length)]
  if (one) await act('resume', { what: one.what, name: one.name })
  return one !== undefined
}

const isOpen = ({ phase }: Task) => phase !== 'done' && phase !== 'cancelled'

function canBe(deed: Deed, task: Task): boolean {
  switch (deed) {
    case 'approve':
    case 'reject':
      return task.phase === 'awaiting-approval'
    case 'retry':
      return task.phase === 'escalated'
    case 'release':
      return isOpen(task) && task.held !== null
    case 'hold':
    case 'hold-now':
      return isOpen(task) && task.held === null
    case 'cancel':
    case 'prioritize':
      return isOpen(task)
  }
}

async function decide(person: Person, act: Act, deed: Deed, { id }: Task): Promise<void> {
  const asked = person.asked()
  const answer = await ask(act, deed, id)
  if (isRefusal(answer)) return
  if (deed === 'hold' || deed === 'hold-now') person.acknowledged('held', id, asked)
  if (deed === 'approve') person.acknowledged('approved', id, asked)
  if (deed === 'cancel') person.acknowledged('cancelled', id, asked)
}

function ask(act: Act, deed: Deed, id: string): Promise<Task | Refusal> {
  switch (deed) {
    case 'approve':
      return act('approve', id, null)
    case 'reject':
      return act('reject', id, 'I want it otherwise')
    case 'retry':
      return act('retry', id)
    case 'release':
      return act('release', id)
    case 'hold':
    case 'hold-now':
      return act('hold', id, 'not now', deed === 'hold-now')
    case 'cancel':
      return act('cancel', id, 'not wanted any more')
    case 'prioritize':
      return act('prioritize', id, { lane: 'critical', override: true })
  }
}

/**
 * In the calm: approves what waits, releases what is held, has what stopped tried again, and gives it up when that helps nothing. A day that is used up
 * is over at midnight; only where that has not been enough for long (`mayRaise`) the person raises it, once each day.
 */
export async function answerAll(person: Person, mayRaise: boolean): Promise<void> {
  const act = straight({ ...person, actor })
  if (mayRaise) await raiseAll(person, act)
  while (await resumeOne(person, 0, act));
  for (const task of await allTasks(person)) {
    if (!isOpen(task)) continue
    if (task.held !== null) await decide(person, act, 'release', task)
    if (task.phase === 'awaiting-approval') await decide(person, act, 'approve', task)
    if (task.phase === 'parked') await giveMoney(act, task)
    if (task.phase !== 'escalated') continue
    const times = (person.retries.get(task.id) ?? 0) + 1
    person.retries.set(task.id, times)
    const answer = times > 3 ? null : await ask(act, 'retry', task.id)
    if (answer === null || isRefusal(answer)) await decide(person, act, 'cancel', task)
  }
}

/** So much that it cannot stop there again. */
const plenty = 1000 * 1_000_000_000

async function giveMoney(act: Act, { id, parked }: Task): Promise<void> {
  if (parked?.scope.startsWith('task/')) await act('raiseTask', id, plenty, 0)
  else if (!parked?.scope.startsWith('day/')) await act('resumeTask', id)
}

async function raiseAll(person: Person, act: Act): Promise<void> {
  const { repositoriesNanoUsd, familiesNanoUsd } = person.money
  const today = dayOf(person.world.clock.now())
  if (person.raisedOn === today) return
  person.raisedOn = today
  await raiseToday(person, { of: 'day', name: 'day' }, plenty, act)
  for (const name of Object.keys(repositoriesNanoUsd)) await raiseToday(person, { of: 'repo', name }, plenty, act)
  for (const name of Object.keys(familiesNanoUsd)) await raiseToday(person, { of: 'family', name }, plenty, act)
}

/** Looking at the tables from outside, as `sqlite3` would. */
export function lookInto(path: string) {
  const db = new DatabaseSync(path, { readOnly: true })
  const count = (table: string) => (db.prepare(`select count(*) as n from ${table}`).get() as { n: number }).n
  return {
    spent: () =>
      (
        db
          .prepare(
            "select coalesce(sum(spent_nano_usd), 0) as n from account where scope like 'day/%' and scope not like 'day/%/%'",
          )
          .get() as {
          n: number
        }
      ).n,
    leftovers: () => ({ leases: count('lease'), holds: count('hold'), processes: count('process') }),
    log: () => db.prepare('select seq, at, stream, type, actor, body from event order by seq').all(),
    close: () => db.close(),
  }
}
