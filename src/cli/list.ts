/** list: tasks on lines that fit the terminal. On the fast path. */
import { refuse } from '../core/refusal.ts'
import { isOver, stateOf, type Task } from '../core/task.ts'
import type { Reader } from '../store/database.ts'
import { countTasks, listRepos, listTasks } from '../store/task.ts'
import { answer, withDatabase, type Act, type Context } from './context.ts'
import { isRefusal } from '../core/refusal.ts'
import { findRepository } from './repository.ts'
import { briefTask, situation } from './describe.ts'
import { plural } from '../core/quantity.ts'
import { age, money, table } from './format.ts'
import { pausedReader } from './paused.ts'

const over = ['done', 'cancelled']
const notOver = ['ready', 'delayed', 'running', 'awaiting-approval', 'escalated', 'parked', 'split']
/** So many that are over are shown without `--all`. */
const recent = 10

export const list: Act = (context, said) =>
  withDatabase(context, (database) =>
    database.read(async (reader) => {
      const written = said.text('limit')
      const limit = written === undefined ? Number.MAX_SAFE_INTEGER : Number(written)
      if (!Number.isSafeInteger(limit) || limit < 1)
        return refuse('bad-limit', `--limit ${JSON.stringify(written)} is not a number of tasks`, '--limit 20')
      const named = said.text('repo')
      const repo = named === undefined ? null : await findRepository(reader, context, named)
      if (isRefusal(repo)) return repo
      const only = repo ? { repo: repo.id } : {}
      const states = said.texts('state')
      const tasks =
        states.length > 0 || said.flag('all')
          ? await listTasks(reader, { ...only, ...(states.length > 0 ? { states } : {}), limit })
          : await present(reader, only, limit)
      const counts = await countTasks(reader)
      const names = new Map((await listRepos(reader)).map(({ id, name }) => [id, name]))
      const why = await pausedReader(reader)
      const asJson = { tasks: tasks.map((task) => ({ ...briefTask(task), waits: why(task) })), counts }
      return answer(context, asJson, asText(context, { tasks, counts, names, why }))
    }),
  )

/** Those not over, newest first, and behind them the last few that are. */
async function present(reader: Reader, only: { repo?: string }, limit: number): Promise<Task[]> {
  const open = await listTasks(reader, { ...only, states: notOver, limit })
  const room = Math.min(recent, limit - open.length)
  return room > 0 ? [...open, ...(await listTasks(reader, { ...only, states: over, limit: room }))] : open
}

type Listed = {
  tasks: readonly Task[]
  counts: Record<string, number>
  names: Map<string, string>
  why(task: Task): string | null
}

function asText(context: Context, { tasks, counts, names, why }: Listed): string {
  if (tasks.length === 0)
    return Object.keys(counts).length === 0
      ? 'No tasks yet: tri-agent add "what you want"'
      : 'No task is in that state.'
  const now = context.world.clock.now()
  const roomy = context.columns >= 120
  const states = new Map(tasks.map((task) => [task.id, task]))
  const rows = tasks.map((task) => {
    const waits = task.after.filter((id) => states.has(id) && states.get(id)?.phase !== 'done')
    const what = isOver(task)
      ? ''
      : ` (${situation(task, task.phase === 'open' && task.running.length === 0 ? waits : [], why(task))})`
    const last = roomy ? `${task.title}${what}` : task.title
    const more = roomy ? [task.kind, names.get(task.repo) ?? '?', money(task.costNanoUsd)] : []
    return [task.id, stateOf(task), `${task.lane}${task.override ? '!' : ''}`, ...more, age(now - task.addedAt), last]
  })
  const head = ['id', 'state', 'lane', ...(roomy ? ['kind', 'repository', 'cost'] : []), 'age', 'title']
  const total = Object.values(counts).reduce((sum, n) => sum + n, 0)
  const hidden = total - tasks.length
  const more = hidden > 0 ? `\n${plural(hidden, 'more task')}: tri-agent list --all` : ''
  return `${table(head, rows, context.columns)}${more}`
}
