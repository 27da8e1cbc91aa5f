/** rebuild: the tables made anew from the log; with --verify only compared, row by row. */
import { refuse } from '../core/refusal.ts'
import { verifyProjections, rebuildProjections, type Rebuilt } from '../store/rebuild.ts'
import type { Database } from '../store/database.ts'
import { tellDamage, verifyLog } from '../store/verify-log.ts'
import { answer, withDatabase, type Act } from './context.ts'
import { exitCode } from './exit-code.ts'
import { plural } from '../core/quantity.ts'

const mostShown = 20

export const rebuild: Act = (context, said) =>
  withDatabase(context, async (database) => {
    const onlyLook = said.flag('verify') === true
    const why = onlyLook ? null : await whyNotWhole(database)
    if (why !== null) return refuse('log-damaged', `${why}: nothing was made anew from it`, next)
    const { events, rows, differing, differences } = onlyLook
      ? await verifyProjections(database)
      : await rebuildProjections(database)
    const scale = `${plural(events, 'event')} ${events === 1 ? 'folds' : 'fold'} into ${plural(rows, 'row')}`
    const same = differing === 0
    const verdict = same
      ? 'every row is the same'
      : `${plural(differing, 'row')} ${onlyLook ? await whatToDo(database) : 'differed and were made anew'}`
    answer(
      context,
      { ok: same || !onlyLook, events, rows, differing, differences },
      [`${scale}; ${verdict}.`, ...differences.slice(0, mostShown).map(tellDifference)].join('\n'),
    )
    return same || !onlyLook ? exitCode.done : exitCode.refused
  })

const next = 'tri-agent log verify, tri-agent restore latest'

/** What the log has lost, the tables alone still know. With a key that is not here nothing can be said of a log, and nothing is. */
async function whyNotWhole(database: Database): Promise<string | null> {
  const damage = (await verifyLog(database)).damage.find(({ kind }) => kind !== 'other-key')
  return damage ? `the log is not whole (${tellDamage(damage)})` : null
}

async function whatToDo(database: Database): Promise<string> {
  const why = await whyNotWhole(database)
  return why === null ? 'differ: tri-agent rebuild makes them anew' : `differ, and ${why}: ${next}`
}

const tellDifference = ({ table, row, stored, folded }: Rebuilt['differences'][number]): string =>
  `  ${table} ${row}\n    table: ${stored ?? '(not there)'}\n    log:   ${folded ?? '(not there)'}`
