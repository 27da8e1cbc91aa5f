/**
 * retry and cancel, of one task or of many. What failed for good is escalated: it lies there, listed by `list --state escalated`, until a person has it tried
 * again or gives it up, one by one or all of it. Each of many is decided by itself; what is refused is said, and stops no other.
 */
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { plural } from '../core/quantity.ts'
import type { Task } from '../core/task.ts'
import type { Database } from '../store/database.ts'
import { listTasks } from '../store/task.ts'
import { ask } from './ask.ts'
import { answer, withDatabase, type Act, type Context, type Said } from './context.ts'
import { cancelOne, retryOne } from './decide.ts'
import { briefTask } from './describe.ts'
import { exitCode } from './exit-code.ts'
import { findRepository } from './repository.ts'

export const retry: Act = async (context, said) => {
  const which = whichOf(said, 'all')
  if (isRefusal(which)) return which
  if (which === 'one') return retryOne(context, said)
  return withDatabase(context, async (database) => {
    const ids = which === 'named' ? said.args : await escalated(context, database, said)
    if (isRefusal(ids)) return ids
    return decideEach(context, 'Open again', ids, (id) => ask(context, database, 'retry', id))
  })
}

export const cancel: Act = async (context, said) => {
  const which = whichOf(said, 'escalated')
  if (isRefusal(which)) return which
  if (which === 'one') return cancelOne(context, said)
  const why = said.text('why') ?? 'no reason given'
  return withDatabase(context, async (database) => {
    const ids = which === 'named' ? said.args : await escalated(context, database, said)
    if (isRefusal(ids)) return ids
    if (which === 'all' && ids.length > 0 && said.flag('yes') !== true)
      return refuse(
        'not-sure',
        `this gives up ${plural(ids.length, 'task')} for good: ${ids.join(', ')}`,
        'the same with --yes',
      )
    return decideEach(context, 'Given up', ids, (id) => ask(context, database, 'cancel', id, why))
  })
}

/** Whether one task, several or all that are escalated are meant. Refuses `what-task`. */
function whichOf(said: Said, all: string): 'one' | 'named' | 'all' | Refusal {
  const isAll = said.flag(all) === true
  if (isAll !== (said.args.length === 0))
    return refuse('what-task', `say which: ids of tasks, or --${all}`, 'tri-agent list --state escalated')
  if (said.text('repo') !== undefined && !isAll)
    return refuse('what-task', `--repo goes with --${all}`, 'tri-agent list --state escalated')
  return isAll ? 'all' : said.args.length === 1 ? 'one' : 'named'
}

/** Oldest first. */
async function escalated(context: Context, database: Database, said: Said): Promise<string[] | Refusal> {
  return database.read(async (reader) => {
    const named = said.text('repo')
    const repo = named === undefined ? null : await findRepository(reader, context, named)
    if (isRefusal(repo)) return repo
    const filter = { states: ['escalated'], limit: Number.MAX_SAFE_INTEGER, ...(repo ? { repo: repo.id } : {}) }
    return (await listTasks(reader, filter)).map(({ id }) => id).toReversed()
  })
}

async function decideEach(
  context: Context,
  what: string,
  ids: readonly string[],
  decide: (id: string) => Promise<{ said: Task | Refusal; heard: boolean }>,
): Promise<number> {
  const done: Task[] = []
  const left: { id: string; refused: string; why: string }[] = []
  let daemonHeard = false
  for (const id of ids) {
    const { said, heard } = await decide(id)
    if (isRefusal(said)) left.push({ id, refused: said.refused, why: said.why })
    else done.push(said)
    daemonHeard ||= heard
  }
  const lines = [
    ids.length === 0 ? 'No task is escalated.' : `${what}: ${done.map(({ id }) => id).join(', ') || 'none'}.`,
    ...left.map(({ why }) => `Left as it is: ${why}`),
  ]
  answer(context, { tasks: done.map(briefTask), left, daemonHeard }, lines.join('\n'))
  return left.length > 0 && done.length === 0 ? exitCode.refused : exitCode.done
}
