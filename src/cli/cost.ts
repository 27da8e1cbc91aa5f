/** cost: what was spent, summed by one dimension, from the ledger's charges. */
import { isDay } from '../core/day.ts'
import { isRefusal, refuse } from '../core/refusal.ts'
import { totalsBy, type Dimension, type Total } from '../store/account.ts'
import { findTask, loadTask } from '../store/task.ts'
import { answer, withDatabase, type Act } from './context.ts'
import { money, table } from './format.ts'

export const cost: Act = (context, said) =>
  withDatabase(context, async (database) => {
    const by = (said.text('by') ?? 'task') as Dimension
    const from = said.text('since')
    if (from !== undefined && !isDay(from))
      return refuse('bad-day', `--since ${JSON.stringify(from)} is not a day`, '--since 2026-11-24')
    const named = said.text('task')
    const task = named === undefined ? null : await database.read((reader) => findTask(reader, named))
    if (isRefusal(task)) return task
    const only = { ...(from === undefined ? {} : { from }), ...(task === null ? {} : { task: task.id }) }
    const rows = await database.read((reader) => totalsBy(reader, by, only))
    const titles = new Map<string, string>()
    if (by === 'task')
      await database.read(async (reader) => {
        for (const { name } of rows) titles.set(name, (await loadTask(reader, name))?.title ?? '')
      })
    const sum = rows.reduce((all, each) => all + each.nanoUsd, 0)
    if (said.flag('csv')) {
      context.out(asCsv(by, rows))
      return 0
    }
    const cells = rows.map(({ name, requests, input, cachedInput, cacheWrite, output, nanoUsd }) => [
      name,
      money(nanoUsd),
      String(requests),
      String(input + cachedInput + cacheWrite),
      String(output),
      ...(by === 'task' ? [titles.get(name) ?? ''] : []),
    ])
    const head = [by, 'cost', 'requests', 'tokens in', 'out', ...(by === 'task' ? ['title'] : [])]
    const text =
      rows.length === 0 ? 'Nothing was spent.' : `${table(head, cells, context.columns)}\nTotal ${money(sum)}`
    return answer(context, { by, totalNanoUsd: sum, rows }, text)
  })

const columns = ['requests', 'input', 'cachedInput', 'cacheWrite', 'output', 'nanoUsd'] as const

/** RFC 4180 but for its line ends. A name that a spreadsheet would take for a formula is quoted by an apostrophe. */
function asCsv(by: string, rows: readonly Total[]): string {
  const quote = (text: string) => `"${text.replace(/^(?=[=+@-])/, "'").replaceAll('"', '""')}"`
  const lines = rows.map((row) => [quote(row.name), ...columns.map((column) => row[column])].join(','))
  return `${[[by, ...columns].join(','), ...lines].join('\n')}\n`
}
