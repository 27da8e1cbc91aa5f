/** log: what happened, one line per event; with --follow as it happens. With --json one JSON object per line. */
import type { LoggedEvent } from '../core/event.ts'
import { suggestion } from '../core/nearest.ts'
import { isRefusal, refuse } from '../core/refusal.ts'
import { readMoment } from '../host/moment.ts'
import { watchReader } from '../host/reader.ts'
import type { Database } from '../store/database.ts'
import { lastSeq, readLastLog, readLog, typesInLog } from '../store/log.ts'
import { findTask } from '../store/task.ts'
import { withDatabase, type Act, type Context } from './context.ts'
import { exitCode } from './exit-code.ts'
import { clockTime } from './format.ts'
import { out as stdout } from './say.ts'
import { tell } from './tell.ts'

/** How often a followed log is looked at, in milliseconds. */
const lookMs = 200

export const log: Act = async (context, said) => {
  switch (said.args[0]) {
    case 'verify':
      return (await import('./log-verify.ts')).verifyTheLog(context, said)
    case 'adopt':
      return (await import('./log-adopt.ts')).adoptTheLog(context, said)
    default:
      return showLog(context, said)
  }
}

const showLog: Act = (context, said) =>
  withDatabase(context, async (database) => {
    const when = said.text('since')
    const since = when === undefined ? 0 : readMoment('--since', when, context.world.clock.now())
    if (isRefusal(since)) return since
    const written = said.text('limit') ?? (when === undefined ? '50' : String(Number.MAX_SAFE_INTEGER))
    const limit = Number(written)
    if (!Number.isSafeInteger(limit) || limit < 0)
      return refuse('bad-limit', `--limit ${JSON.stringify(written)} is not a number of events`, '--limit 20')
    const named = said.text('task')
    const task = named === undefined ? null : await database.read((reader) => findTask(reader, named))
    if (isRefusal(task)) return task
    const types = said.texts('type')
    const filter = { ...(task ? { stream: `task/${task.id}` } : {}), ...(types.length > 0 ? { types } : {}) }
    const [before, from] = await database.read(
      async (reader) =>
        [limit === 0 ? [] : await readLastLog(reader, { ...filter, since, limit }), await lastSeq(reader)] as const,
    )
    const follow = said.flag('follow') === true
    const unseen = types.filter((type) => before.every(({ event }) => event.type !== type))
    if (unseen.length > 0 && !follow) await tellUnknown(context, database, unseen)
    const isRead = follow ? watchReader(stdout) : () => false // from before the first line: whoever wants no more than that is seen
    for (const each of before) context.out(lineOf(context, each))
    if (follow) await followLog(context, database, filter, before.at(-1)?.seq ?? from, () => !isRead())
    return exitCode.done
  })

/** Nothing is a true answer to a type that nothing had, and a puzzling one to a type that is mistyped. */
async function tellUnknown({ note }: Context, database: Database, types: readonly string[]): Promise<void> {
  const known = await database.read(typesInLog)
  for (const type of types)
    if (!known.includes(type))
      note(`No event of type ${JSON.stringify(type)} is in the log: ${suggestion(type, known)}\n`)
}

/** Prints what happens after `after`, until `ended` says so (asked after each look). */
export async function followLog(
  context: Context,
  database: Database,
  filter: { stream?: string; types?: string[] },
  after: number,
  ended: () => boolean | Promise<boolean>,
): Promise<void> {
  let seen = after
  for (;;) {
    const last = await ended() // asked before looking, so that what led to the end is still printed
    for (;;) {
      const page = await database.read((reader) => readLog(reader, { ...filter, after: seen, limit: 500 }))
      for (const each of page) context.out(lineOf(context, each))
      if (page.length === 0) break
      seen = page.at(-1)!.seq
    }
    if (last) return
    await context.world.timer.sleep(lookMs)
  }
}

/** One event as one line: when, to whom, what. */
export function lineOf({ json }: Context, logged: LoggedEvent): string {
  return json ? `${JSON.stringify(logged)}\n` : `${clockTime(logged.at)}  ${sentence(logged)}\n`
}

/** To whom and what, without when. */
export function sentence({ stream, actor, event }: LoggedEvent): string {
  const who = stream.startsWith('task/') ? stream.slice('task/'.length) : stream
  const by = actor.startsWith('person:') ? ` [${actor.slice('person:'.length)}]` : ''
  return `${who}  ${tell(event).replaceAll(/\s+/g, ' ')}${by}`
}
