/** add --estimate: what a task may cost, before it is added. Adds nothing. */
import { leastHistory } from '../core/estimate.ts'
import { plural } from '../core/quantity.ts'
import { isRefusal, type Refusal } from '../core/refusal.ts'
import { defaultSettings } from '../core/setting.ts'
import { checkWish, type Wish } from '../core/wish.ts'
import { loadConfig } from '../host/config.ts'
import type { Database } from '../store/database.ts'
import { listTasks } from '../store/task.ts'
import { answer, type Context } from './context.ts'
import { money } from './format.ts'

/** So many of the last done tasks are looked at. */
const mostHistory = 200

export async function showEstimate(context: Context, database: Database, wish: Wish): Promise<number | Refusal> {
  const task = checkWish(wish, defaultSettings(1).sizes.taskTextBytes)
  if (isRefusal(task)) return task
  const loaded = await loadConfig({ file: context.paths.configFile, env: context.env })
  if (isRefusal(loaded)) return loaded
  const { estimateTask } = await import('../daemon/estimate.ts')
  const done = await database.read((reader) =>
    listTasks(reader, { states: ['done'], repo: task.repo, limit: mostHistory }),
  )
  const history = done
    .filter(({ size, costNanoUsd }) => size === task.size && costNanoUsd > 0)
    .map((each) => each.costNanoUsd)
  const now = context.world.clock.now()
  const found = estimateTask(loaded.settings, { ...task, plan: null }, history, now)
  if (isRefusal(found)) return found
  const limitNanoUsd = task.budgetNanoUsd ?? loaded.settings.money.taskNanoUsd
  const { lowNanoUsd, highNanoUsd, from, tasks, implementer, reviewers } = found
  const because =
    from === 'history'
      ? `from ${plural(tasks, `done ${task.size} task`)} of this repository`
      : `from prices and the tokens that ${task.size} tasks usually take; better after ${leastHistory} done ones, ${tasks} so far`
  return answer(
    context,
    { estimate: { ...found, limitNanoUsd }, added: false },
    [
      `Between ${money(lowNanoUsd)} and ${money(highNanoUsd)}: ${implementer} writes, ${reviewers.join(' and ') || 'a person'} ${reviewers.length > 1 ? 'review' : 'reviews'}; ${because}.`,
      `It never costs more than ${money(limitNanoUsd)} (--budget says another limit). Nothing was added: leave out --estimate to add it.`,
    ].join('\n'),
  )
}
