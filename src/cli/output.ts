/** output: what an attempt's agent printed, from its transcript; with --follow until it ends. Works with the daemon down. */
import { join } from 'node:path'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { isOver } from '../core/task.ts'
import { watchReader } from '../host/reader.ts'
import { readTranscript, type Stream } from '../host/transcript.ts'
import type { Database } from '../store/database.ts'
import { attemptsOf, findTask, loadTask, type AttemptRow } from '../store/task.ts'
import { withDatabase, type Act, type Context, type Said } from './context.ts'
import { exitCode } from './exit-code.ts'
import { out as stdout } from './say.ts'

/** How often is looked whether a first attempt has begun, in milliseconds. */
const lookMs = 200

export const output: Act = (context, said) =>
  withDatabase(context, async (database) => {
    const follow = said.flag('follow') === true
    const isRead = follow ? watchReader(stdout) : () => true
    const attempt = await chooseAttempt(context, database, said, () => follow && isRead())
    if (isRefusal(attempt)) return attempt
    const { id, token, step, family, model } = attempt
    if (!context.json) context.note(`Attempt ${token}: ${step}${family ? ` by ${family} (${model})` : ''}\n`)
    const ended = async () => {
      if (!isRead()) return true
      const rows = await database.read((reader) => attemptsOf(reader, attempt.task))
      return rows.find((each) => each.id === id)?.state === 'ended'
    }
    const file = join(context.paths.transcripts, `${id}.jsonl`)
    const linesOf = context.json ? asJson : said.flag('raw') ? asIs : await asRead(attempt)
    let lines = 0
    for await (const { stream, text } of readTranscript(
      file,
      0,
      follow ? { timer: context.world.timer, ended } : undefined,
    )) {
      lines += 1
      context.out(
        linesOf(stream, text)
          .map((line) => `${line}\n`)
          .join(''),
      )
    }
    if (lines === 0 && !context.json) context.note('It has printed nothing.\n')
    if (!context.json)
      sayEnd(
        context,
        (await database.read((reader) => attemptsOf(reader, attempt.task))).find((each) => each.id === id),
      )
    return exitCode.done
  })

type Show = (stream: Stream, text: string) => string[]

const asJson: Show = (stream, text) => [JSON.stringify({ stream, text })]
const asIs: Show = (stream, text) => [`${stream === 'note' ? '# ' : ''}${text}`]

/** As a person reads it, where an agent was at work; a gate's output is words already. */
async function asRead({ id, role, family, model, agent }: AttemptRow): Promise<Show> {
  if (agent === null || family === null || model === null || role === 'gate') return asIs
  const { readAlong } = await import('../daemon/read-along.ts')
  const read = readAlong({ attempt: id, role: role as 'architect' | 'implementer' | 'reviewer', family, model, agent })
  return (stream, text) => (stream === 'note' ? asIs(stream, text) : read(stream, text))
}

function sayEnd({ note }: Context, row: AttemptRow | undefined): void {
  if (row?.state === 'ended') note(`Ended: ${row.outcome}${row.reason ? `, ${row.reason}` : ''}\n`)
}

/** What a person wants to read: the last one with an agent in it, else the last. */
const likeliest = (rows: readonly AttemptRow[]): AttemptRow | undefined =>
  rows.findLast(({ family }) => family !== null) ?? rows.at(-1)

/** The attempt asked for, or the likeliest; when following a task that has none yet, the first one once it is there. */
async function chooseAttempt(
  { world }: Context,
  database: Database,
  said: Said,
  waits: () => boolean,
): Promise<AttemptRow | Refusal> {
  const task = await database.read((reader) => findTask(reader, said.args[0]!))
  if (isRefusal(task)) return task
  const number = said.text('attempt')
  for (;;) {
    const rows = await database.read((reader) => attemptsOf(reader, task.id))
    const found = number === undefined ? likeliest(rows) : rows.find(({ token }) => String(token) === number)
    if (found) return found
    const over = await database.read((reader) => loadTask(reader, task.id))
    if (number !== undefined || !over || isOver(over) || !waits()) {
      const there = rows.map(({ token }) => token).join(', ')
      if (rows.length === 0)
        return refuse('no-attempt', `${task.id} has had no attempt yet`, `tri-agent show ${task.id}`)
      return refuse('no-such-attempt', `${task.id} has no attempt ${number}`, `there are: ${there}`)
    }
    await world.timer.sleep(lookMs)
  }
}
