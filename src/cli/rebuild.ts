/** rebuild: the tables made anew from the log; with --verify only compared, row by row. */
import { verifyProjections, rebuildProjections, type Rebuilt } from '../store/rebuild.ts'
import { answer, withDatabase, type Act } from './context.ts'
import { exitCode } from './exit-code.ts'
import { plural } from '../core/quantity.ts'

const mostShown = 20

export const rebuild: Act = (context, said) =>
  withDatabase(context, async (database) => {
    const onlyLook = said.flag('verify') === true
    const { events, rows, differing, differences } = onlyLook
      ? await verifyProjections(database)
      : await rebuildProjections(database)
    const scale = `${plural(events, 'event')} fold into ${plural(rows, 'row')}`
    const same = differing === 0
    const verdict = same
      ? 'every row is the same'
      : `${plural(differing, 'row')} ${onlyLook ? 'differ: tri-agent rebuild makes them anew' : 'differed and were made anew'}`
    answer(
      context,
      { ok: same || !onlyLook, events, rows, differing, differences },
      [`${scale}; ${verdict}.`, ...differences.slice(0, mostShown).map(tellDifference)].join('\n'),
    )
    return same || !onlyLook ? exitCode.done : exitCode.refused
  })

const tellDifference = ({ table, row, stored, folded }: Rebuilt['differences'][number]): string =>
  `  ${table} ${row}\n    table: ${stored ?? '(not there)'}\n    log:   ${folded ?? '(not there)'}`
