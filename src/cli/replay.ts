/** replay: how a task came to be as it is, folded from the log before your eyes: each event, and what it changed. */
import { tellStory, type Change } from '../core/history.ts'
import { isRefusal } from '../core/refusal.ts'
import { stateOf } from '../core/task.ts'
import { taskRow } from '../store/row.ts'
import { storyOf } from '../store/log.ts'
import { findTask, loadTask } from '../store/task.ts'
import { answer, withDatabase, type Act } from './context.ts'
import { exitCode } from './exit-code.ts'
import { plural } from '../core/quantity.ts'
import { clip, clockTime, money } from './format.ts'
import { sentence } from './log.ts'

const longest = 160

export const replay: Act = (context, said) =>
  withDatabase(context, (database) =>
    database.read(async (reader) => {
      const found = await findTask(reader, said.args[0]!)
      if (isRefusal(found)) return found
      const story = tellStory(await storyOf(reader, found.id))
      const end = story.at(-1)?.task ?? null
      const there = await loadTask(reader, found.id)
      const same = end !== null && there !== null && JSON.stringify(taskRow(end)) === JSON.stringify(taskRow(there))
      const events = story.map(({ logged, task, changes }) => ({ ...logged, state: stateOf(task), changes }))
      const width = Math.min(context.columns, longest)
      const lines = story.flatMap(({ logged, changes }) => [
        clip(`${String(logged.version).padStart(3)}  ${clockTime(logged.at)}  ${sentence(logged)}`, width),
        ...changes.map((change) => clip(`       ${tellChange(change)}`, width)),
      ])
      const verdict = same
        ? `${plural(story.length, 'event')} ${story.length === 1 ? 'folds' : 'fold'} into exactly what the table has.`
        : 'The table has something else than these events fold into: tri-agent rebuild --verify'
      answer(context, { ok: same, task: found.id, events }, [...lines, verdict].join('\n'))
      return same ? exitCode.done : exitCode.refused
    }),
  )

const tellChange = ({ field, before, after }: Change): string =>
  `${field}: ${brief(field, before)} → ${brief(field, after)}`

/** What it is; of a list, how long it is. */
function brief(field: string, value: unknown): string {
  if (typeof value === 'number' && (field.endsWith('At') || field === 'notBefore')) return clockTime(value)
  if (typeof value === 'number' && field.endsWith('NanoUsd')) return money(value)
  if (value === null || value === undefined) return 'none'
  if (Array.isArray(value)) return `${value.length} of them`
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return clip(text.replaceAll(/\s+/g, ' '), 60)
}
