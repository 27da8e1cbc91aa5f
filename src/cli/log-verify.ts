/** log verify: is the log what was written? Every seal made again, every anchor looked up, those in landing commits too. */
import { verifyLog, type LogReport } from '../store/verify-log.ts'
import { clockTime } from './format.ts'
import { answer, withDatabase, type Act } from './context.ts'
import { exitCode } from './exit-code.ts'
import { plural } from '../core/quantity.ts'

const mostShown = 20

export const verifyTheLog: Act = (context) =>
  withDatabase(context, async (database) => {
    const { anchorsInHistory } = await import('../daemon/verify.ts')
    const { anchors, unasked } = await anchorsInHistory(database, context.env)
    const report = await verifyLog(database, anchors)
    answer(context, { ...report, unasked }, asText(report, unasked))
    return report.ok ? exitCode.done : exitCode.refused
  })

function asText(report: LogReport, unasked: readonly string[]): string {
  const { events, batches, anchors, foreign, adopted, unproven, damage } = report
  const [first] = damage
  return [
    `${plural(events, 'event')} in ${plural(batches, 'sealed commit')}, ${plural(anchors, 'anchor')}; ${
      first
        ? `the first bad batch is ${span(first)}.`
        : `all as they were ${unproven ? 'found or written' : 'written'}.`
    }`,
    ...damage.slice(0, mostShown).map((each) => `  ${each.kind}  ${span(each)}: ${each.why}`),
    ...(damage.length > mostShown ? [`  and ${damage.length - mostShown} more: --json`] : []),
    ...(adopted === null
      ? []
      : [`Events 1 to ${adopted} are older than the seals: of what happened to them before, nothing is known.`]),
    ...(unproven === null
      ? []
      : [
          `Events 1 to ${unproven.last} are as they were found ${clockTime(unproven.at)}, when ${unproven.by} went on without ${unproven.keys.join(', ')}: that they are what was written nobody can prove. All later ones are.`,
        ]),
    ...(foreign === 0
      ? []
      : [`${plural(foreign, 'landing')} carry an anchor of another log: nothing is known of it here.`]),
    ...unasked.map((each) => `Not asked for the anchors of its landings: ${each}`),
  ].join('\n')
}

const span = ({ first, last }: LogReport['damage'][number]): string =>
  first === last ? `event ${first}` : `events ${first} to ${last}`
