/**
 * kill: ends what is under way of a task, a family or everything, keeps it from starting again until a person says so, and reports how each ended and
 * what survived. The daemon does it: key revoked, program told, container killed, emptiness proven. Where none is up, what it left is ended from here.
 */
import { holdTask } from '../command/decision.ts'
import { stopWork } from '../command/pause.ts'
import { plural } from '../core/quantity.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { isOver, type Task } from '../core/task.ts'
import { nudge } from '../host/nudge.ts'
import type { Database } from '../store/database.ts'
import { attemptEnds, type AttemptEnd } from '../store/log.ts'
import { attemptsUnderWay, childrenOf, findTask, loadTask, type UnderWay } from '../store/task.ts'
import { answer, commandPorts, withDatabase, type Act, type Context, type Said } from './context.ts'
import { exitCode } from './exit-code.ts'
import { knownFamily } from './pause.ts'
import { findDaemon } from './presence.ts'

/** The program is given two seconds, killing and proving take milliseconds; a machine under load some more. */
const patienceMs = 30_000
const lookMs = 25

/** What is to end, and what undoes that it may not start again. */
type Aim = { attempts: UnderWay[]; stays: string; undo: string; tasks?: readonly string[] }

export const kill: Act = (context, said) =>
  withDatabase(context, async (database) => {
    const aim = await take(context, database, said)
    if (isRefusal(aim)) return aim
    const isHeard = await nudge(context.paths.socket)
    const { attempts } = aim
    if (!isHeard && (await database.read(findDaemon)) === null) return endFromHere(context, database, aim)
    const ends = await waitForEnds(context, database, attempts)
    return report(
      context,
      await withoutOver(database, aim),
      attempts.map((each) => ({ ...each, end: ends.get(each.id) ?? null })),
    )
  })

/** Writes down what may not start again, which is what ends it; answers what was under way at that moment. */
async function take(context: Context, database: Database, said: Said): Promise<Aim | Refusal> {
  const [word = '', name] = said.args
  const why = said.text('why') ?? 'killed'
  const ports = commandPorts(context, database)
  if (word === 'all' || word === 'family') {
    if (word === 'family' && name === undefined)
      return refuse('no-family', 'which family?', 'tri-agent kill family openai')
    const known = word === 'all' ? 'all' : await knownFamily(context, name!)
    if (isRefusal(known)) return known
    const scope = word === 'all' ? ({ what: 'all', name: 'all' } as const) : ({ what: 'family', name: name! } as const)
    const attempts = await stopWork(ports, { ...scope, why })
    if (isRefusal(attempts)) return attempts
    const undo = word === 'all' ? 'tri-agent resume' : `tri-agent resume --family ${name}`
    return { attempts, stays: word === 'all' ? 'Everything is paused' : `Family ${name} is paused`, undo }
  }
  if (name !== undefined) return refuse('one-at-a-time', 'one task at a time is killed', `tri-agent kill ${word}`)
  const task = await database.read((reader) => findTask(reader, word))
  if (isRefusal(task)) return task
  const tasks = [task, ...(await partsOf(database, task))].filter((each) => !isOver(each))
  if (tasks.length === 0) return refuse('already-over', `${task.id} is ${task.phase}`)
  const ids = tasks.map(({ id }) => id)
  const underWay = () => database.read((reader) => attemptsUnderWay(reader, { tasks: ids }))
  const before = await underWay()
  for (const id of ids) {
    const held = await holdTask(ports, id, why, true)
    if (isRefusal(held) && held.refused !== 'already-held' && held.refused !== 'already-over') return held
  }
  // one that was let in meanwhile ends as the others do
  const attempts = [...new Map([...before, ...(await underWay())].map((each) => [each.id, each])).values()]
  return holding(attempts, ids)
}

const holding = (attempts: UnderWay[], tasks: readonly string[]): Aim => ({
  attempts,
  tasks,
  stays: `Held: ${tasks.join(', ')}`,
  undo: tasks.map((id) => `tri-agent release ${id}`).join(' && '),
})

/** A landing that had begun is let finish: nothing is held of a task that is done, and nothing can be released. */
async function withoutOver(database: Database, aim: Aim): Promise<Aim> {
  if (aim.tasks === undefined) return aim
  const found = await Promise.all(aim.tasks.map((id) => database.read((reader) => loadTask(reader, id))))
  const over = found.filter((task) => task !== null && isOver(task)) as Task[]
  if (over.length === 0) return aim
  const said = over.map(({ id, phase }) => `${id} is ${phase}`).join(', ')
  const left = holding(
    aim.attempts,
    aim.tasks.filter((id) => over.every((task) => task.id !== id)),
  )
  return left.undo === '' ? { ...left, stays: said } : { ...left, stays: `${said}. ${left.stays}` }
}

async function partsOf(database: Database, { id }: Task): Promise<Task[]> {
  const children = await database.read((reader) => childrenOf(reader, id))
  return (await Promise.all(children.map(async (child) => [child, ...(await partsOf(database, child))]))).flat()
}

async function waitForEnds(
  { world: { clock, timer } }: Context,
  database: Database,
  attempts: readonly UnderWay[],
): Promise<Map<string, AttemptEnd>> {
  const began = clock.mono()
  for (;;) {
    const ends = await database.read((reader) => attemptEnds(reader, attempts))
    if (ends.size === attempts.length || clock.mono() - began > patienceMs) return ends
    await timer.sleep(lookMs)
  }
}

/** No daemon: nothing is carried, and what a dead one left is proven dead here. The next start gives the attempts back. */
async function endFromHere(context: Context, database: Database, aim: Aim): Promise<number | Refusal> {
  const { endProcesses } = await import('../daemon/reap-by-hand.ts')
  const { world, env, paths } = context
  const { actor } = commandPorts(context, database)
  const ids = new Set(aim.attempts.map(({ id }) => id))
  const ended = await endProcesses({ world, env, paths, database, actor }, ids)
  if (isRefusal(ended)) return ended
  const reports = aim.attempts.map((each) => {
    const gone = ended.get(each.id)
    const killed = { method: 'by hand', survivors: gone === false ? 1 : 0, ms: 0 }
    return { ...each, end: { outcome: 'lost', killed } }
  })
  return report(context, aim, reports)
}

function report(
  context: Context,
  { stays, undo }: Aim,
  attempts: readonly (UnderWay & { end: { outcome: string; killed: AttemptEnd['killed'] } | null })[],
): number {
  const survivors = attempts.reduce((sum, { end }) => sum + (end?.killed?.survivors ?? 0), 0)
  const late = attempts.filter(({ end }) => end === null)
  const lines = attempts.map(({ task, step, family, end }) => {
    const who = `${task} ${step}${family === null ? '' : ` by ${family}`}`
    if (end === null) return `${who}: has not ended yet`
    const { method, survivors: left, ms } = end.killed ?? { method: 'nothing was started', survivors: 0, ms: 0 }
    return `${who}: ${end.outcome}; ${method}, ${left === 0 ? 'proven empty' : `${plural(left, 'process')} LEFT ALIVE`}, ${ms} ms`
  })
  const text = [
    ...(lines.length === 0 ? ['Nothing of it was under way.'] : lines),
    undo === '' ? `${stays}.` : `${stays}; to go on: ${undo}`,
    ...(survivors > 0 ? ['What survived is looked for: tri-agent reap --dry-run'] : []),
  ].join('\n')
  const ended = attempts.map(({ id, task, step, family, end }) => ({ attempt: id, task, step, family, ...end }))
  answer(context, { killed: ended, survivors, notEnded: late.length, undo }, text)
  return survivors > 0 ? exitCode.refused : late.length > 0 ? exitCode.tryAgain : exitCode.done
}
