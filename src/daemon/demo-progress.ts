/** The demo's live view: one line per task, redrawn in place on a terminal; plain lines, one per event, elsewhere. */
import type { Event } from '../core/event.ts'
import { isOver, stateOf, type Task } from '../core/task.ts'
import type { World } from '../host/world.ts'
import { readLog } from '../store/log.ts'
import { listTasks } from '../store/task.ts'
import type { RunningDaemon } from './daemon.ts'

type View = {
  running: RunningDaemon
  world: World
  ids: readonly string[]
  say: (text: string) => void
  deadlineMs: number
  isTerminal: boolean
  columns: number
}

const lookMs = 100
const stages = ['plan', 'implement', 'verify', 'review', 'land'] as const

/** Shows the tasks until none moves any more, or the deadline; answers them as they stand then. */
export async function showProgress(view: View): Promise<Task[]> {
  const { running, world, ids, say, deadlineMs, isTerminal } = view
  const began = world.clock.mono()
  const seen = { seq: 0, drawn: 0 }
  for (;;) {
    const tasks = await tasksOf(running, ids)
    const events = await running.daemon.database.read((reader) => readLog(reader, { after: seen.seq, limit: 1000 }))
    seen.seq = events.at(-1)?.seq ?? seen.seq
    const seconds = ((world.clock.mono() - began) / 1000).toFixed(1).padStart(5)
    const lines = events
      .flatMap(({ stream, event }) =>
        describe(
          event,
          tasks.find(({ id }) => stream === `task/${id}`),
        ),
      )
      .map(({ title, what }) => `${seconds} s  [${tag(view, title)}] ${what}`)
    if (isTerminal) redraw(view, tasks, lines, seen)
    else if (lines.length > 0) say(`${lines.join('\n')}\n`)
    if (tasks.every(isStill) || world.clock.mono() - began > deadlineMs) {
      if (isTerminal) say('\n')
      return tasks
    }
    await world.timer.sleep(lookMs)
  }
}

function redraw(
  { say, columns, world }: View,
  tasks: readonly Task[],
  lines: readonly string[],
  seen: { drawn: number },
): void {
  const up = seen.drawn > 0 ? `\u001B[${seen.drawn}A` : ''
  const news = lines.map((line) => `\u001B[2K${cut(line, columns)}\n`).join('')
  const rows = board(tasks, world.clock.now()).map((line) => `\u001B[2K${cut(line, columns)}\n`)
  say(`${up}\u001B[J${news}\n${rows.join('')}`)
  seen.drawn = rows.length + 1
}

const cut = (text: string, columns: number): string => (text.length > columns ? `${text.slice(0, columns - 1)}…` : text)

/** On a narrow terminal a title gives way to what happened; in a file there is room for both. */
const tag = ({ isTerminal, columns }: View, title: string): string =>
  isTerminal ? cut(title, Math.max(16, columns - 70)) : title

/**
 * A line of headings and one per task:
 *
 *     plan  implement  verify  review  land  lane        task
 *      ✓        ▶                            normal      Write durations, not only read them
 */
export function board(tasks: readonly Task[], at = 0): string[] {
  const rows = tasks.map((task) => {
    const cells = stages.map((stage, index) => centred(mark(task, index), stage.length))
    const after = task.after.filter((id) => tasks.some((each) => each.id === id && each.phase !== 'done'))
    const waits = after.length > 0 ? ' (waits for another)' : ''
    const state = ['open', 'done'].includes(task.phase) ? waits : ` (${stateOf(task)}${soon(task.parked?.until, at)})`
    return `${cells.join('  ')}  ${task.lane.padEnd(10)}  ${task.title}${state}`
  })
  return [`${stages.join('  ')}  ${'lane'.padEnd(10)}  task`, ...rows]
}

const soon = (until: number | null | undefined, at: number): string =>
  until == null ? '' : until > at ? `, ${Math.ceil((until - at) / 1000)} s left` : ', goes on'

function mark(task: Task, index: number): string {
  if (stages[index] === 'plan' && task.size === 'small') return '–' // small tasks need none
  const now = stages.indexOf(task.step as (typeof stages)[number])
  if (task.phase === 'done' || index < now) return '✓'
  return index > now ? ' ' : task.running.length > 0 ? '▶' : '·'
}

const centred = (text: string, width: number): string => text.padStart((width + 1) >> 1).padEnd(width)

/** Amounts as a person reads them; the log has every digit. */
const inCents = (text: string): string => text.replaceAll(/(\$\d+\.\d\d)\d+/g, '$1')

/** One event in a person's words, or nothing where it would only be noise. */
function describe(event: Event, task: Task | undefined): { title: string; what: string }[] {
  if (event.type === 'breaker.tripped') return [{ title: 'money', what: `the breaker trips: ${inCents(event.why)}` }]
  if (event.type === 'breaker.closed') return [{ title: 'money', what: 'the breaker closes: a minute is cheap again' }]
  return task ? wordsFor(event).map((what) => ({ title: task.title, what })) : []
}

function wordsFor(event: Event): string[] {
  switch (event.type) {
    case 'task.planned':
      return [`planned by ${event.family}`]
    case 'attempt.admitted':
      return event.step === 'verify' || event.step === 'land'
        ? []
        : [`${event.step}: ${event.family ?? 'our own gates'}${event.model ? ` (${event.model}, simulated)` : ''}`]
    case 'candidate.taken':
      return [`handed over: ${event.files.join(', ')}  +${event.added} −${event.removed}`]
    case 'gates.finished':
      return [
        `gates on the merge: ${event.report.results.map(({ name, state }) => `${name} ${state}${event.report.baseline.includes(name) ? ' (was red before: baseline)' : ''}`).join(', ')}`,
      ]
    case 'task.returned':
      return [`sent back by ${event.from}, with the evidence`]
    case 'vote.cast':
      return [
        `${event.family}: ${event.findings.length === 0 ? 'nothing wrong found' : event.findings.map(({ claim }) => `claims "${claim}"`).join('; ')}`,
      ]
    case 'finding.checked':
      return [`claim checked by ${event.by}: ${event.verdict}`]
    case 'verdict.reached':
      return [`review: ${event.verdict}`]
    case 'task.parked':
      return [
        event.until === null
          ? `parked${event.archive ? ', its work sealed' : ''}: ${inCents(event.why)}`
          : `parked${event.archive ? ', its work sealed' : ''}; goes on by itself`,
      ]
    case 'task.resumed':
      return [`goes on with its work: ${event.why}`]
    case 'task.landed':
      return [`landed as ${event.commit.slice(0, 9)}`]
    case 'task.escalated':
      return [`needs a person: ${event.why}`]
    case 'attempt.ended':
      return event.outcome === 'passed' || event.outcome === 'failed'
        ? []
        : [`attempt ended: ${event.outcome}, ${inCents(event.reason)}`]
    default:
      return []
  }
}

/** The demo's tasks as they stand, in the order they were added. */
async function tasksOf(running: RunningDaemon, ids: readonly string[]): Promise<Task[]> {
  const all = await running.daemon.database.read((reader) => listTasks(reader, { limit: 100 }))
  return ids.map((id) => all.find((task) => task.id === id)!)
}

/** True when nothing of the demo will move any more. */
const isStill = (task: Task): boolean =>
  isOver(task) || task.phase === 'escalated' || task.phase === 'awaiting-approval'
