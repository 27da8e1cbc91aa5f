/** watch: the overview and the last events, redrawn in place; where there is no terminal, the log as it happens. Only looks. */
import { refuse, type Refusal } from '../core/refusal.ts'
import { watchReader } from '../host/reader.ts'
import type { Database } from '../store/database.ts'
import { lastSeq, readLastLog } from '../store/log.ts'
import { anythingMoves } from '../store/moving.ts'
import { withDatabase, type Act, type Context } from './context.ts'
import { exitCode } from './exit-code.ts'
import { clean, clip, clockTime } from './format.ts'
import { listenForLeaving } from './key.ts'
import { followLog, sentence } from './log.ts'
import { findDaemon } from './presence.ts'
import { out as stdout } from './say.ts'
import { overviewText, readOverview } from './status.ts'

const redrawMs = 500

export const watch: Act = (context, said) =>
  withDatabase(context, async (database) => {
    const untilIdle = said.flag('until-idle') === true
    const idle = async () => untilIdle && !(await database.read(anythingMoves))
    return context.isTerminal && !context.json
      ? redraw(context, database, idle, untilIdle)
      : follow(context, database, idle, untilIdle)
  })

/** Waiting until idle with nobody at work would never end. */
async function nobodyWorks(database: Database): Promise<Refusal | null> {
  return (await database.read(findDaemon))
    ? null
    : refuse('not-up', 'the daemon is down, so nothing will move', 'tri-agent up --detach')
}

async function follow(
  context: Context,
  database: Database,
  idle: () => Promise<boolean>,
  untilIdle: boolean,
): Promise<number | Refusal> {
  const from = await database.read(lastSeq)
  const isRead = watchReader(stdout)
  let refusal: Refusal | null = null
  await followLog(context, database, {}, from, async () => {
    if (!isRead() || (await idle())) return true
    refusal = untilIdle ? await nobodyWorks(database) : null
    return refusal !== null
  })
  return refusal ?? exitCode.done
}

async function redraw(
  context: Context,
  database: Database,
  idle: () => Promise<boolean>,
  untilIdle: boolean,
): Promise<number | Refusal> {
  const { draw, world } = context
  const stop = new AbortController()
  const end = () => stop.abort()
  process.once('SIGINT', end).once('SIGTERM', end)
  const endKeys = listenForLeaving(process.stdin, end)
  let shown: string[] = []
  draw('\u001b[?1049h\u001b[?25l') // a screen of its own, without a cursor: what was on the terminal comes back after
  try {
    for (;;) {
      const last = (await idle()) || stop.signal.aborted
      shown = await screen(context, database)
      draw(frame([...shown, '', 'q leaves; the work goes on']))
      if (last) return exitCode.done
      const refusal = untilIdle ? await nobodyWorks(database) : null
      if (refusal) return refusal
      await world.timer.sleep(redrawMs, stop.signal)
    }
  } finally {
    draw(`\u001b[?25h\u001b[?1049l${shown.map((line) => `${line}\n`).join('')}`)
    endKeys()
    process.off('SIGINT', end).off('SIGTERM', end)
  }
}

async function screen(context: Context, database: Database): Promise<string[]> {
  const columns = process.stdout.columns || 80 // asked at each look: windows are resized
  const rows = process.stdout.rows || 24
  const fitted = { ...context, columns }
  return database.read(async (reader) => {
    const top = overviewText(fitted, await readOverview(reader, context), Math.max(2, Math.floor(rows / 6))).split('\n')
    const room = rows - top.length - 4
    const events = room > 0 ? await readLastLog(reader, { limit: room }) : []
    return [
      ...top,
      '',
      ...events.map((each) => clip(clean(`${clockTime(each.at).slice(11)}  ${sentence(each)}`), columns)),
    ].slice(0, rows - 3)
  })
}

/** From the top left, each line cleared to its end, what is below cleared: no flicker, no scrollback. */
const frame = (lines: readonly string[]): string =>
  `\u001b[H${lines.map((line) => `${line}\u001b[K\n`).join('')}\u001b[J`
