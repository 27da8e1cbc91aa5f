/** status: one screen. On the fast path: reads the database and the process table, asks nobody. */
import { tellClosure, type Circumstances } from '../core/waiting.ts'
import { dayOf } from '../core/day.ts'
import { stateOf, type Task } from '../core/task.ts'
import { tellGate, type GateProgress } from '../core/gate-progress.ts'
import type { Reader } from '../store/database.ts'
import { accountOf } from '../store/account.ts'
import { outlived } from '../store/lease.ts'
import { readTrouble, type Trouble } from '../store/told.ts'
import { countTasks, heldTasks, listRepos, listTasks } from '../store/task.ts'
import { answer, withDatabase, type Act, type Context } from './context.ts'
import { briefTask, situation } from './describe.ts'
import { plural } from '../core/quantity.ts'
import { readGates } from './gate-progress.ts'
import { age, clean, clip, clockTime, money } from './format.ts'
import { readPaused, type Paused } from './paused.ts'
import { findDaemon, type Presence } from './presence.ts'
import { readClosures, readStuck } from './waiting.ts'

export type Overview = {
  daemon: Presence | null
  /** What keeps the daemon's database from being written. */
  trouble: Trouble | null
  /** Attempts whose processes have outlived them. */
  outlived: string[]
  counts: Record<string, number>
  running: Task[]
  /** The gates that are being executed, by task. */
  gates: Map<string, GateProgress>
  awaiting: Task[]
  escalated: Task[]
  parked: Task[]
  held: Task[]
  paused: Paused[]
  stuck: { task: Task; why: string }[]
  /** Families that cool down; `until` null: until a person does something. */
  closures: NonNullable<Circumstances['closures']>
  repositories: { name: string; path: string; base: string }[]
  today: { spentNanoUsd: number; heldNanoUsd: number; limitNanoUsd: number | null }
}

export const status: Act = (context) =>
  withDatabase(context, async (database) => {
    const overview = await database.read((reader) => readOverview(reader, context))
    const { running, gates, awaiting, escalated, parked, held, stuck, ...rest } = overview
    const asJson = {
      up: overview.daemon !== null,
      ...rest,
      running: running.map((task) => ({ ...briefTask(task), gate: gates.get(task.id) ?? null })),
      awaitingApproval: awaiting.map(briefTask),
      escalated: escalated.map(briefTask),
      parked: parked.map(briefTask),
      held: held.map(briefTask),
      stuck: stuck.map(({ task, why }) => ({ ...briefTask(task), waits: why })),
    }
    return answer(context, asJson, overviewText(context, overview, 10))
  })

/** Everything the screen shows, in one snapshot. */
export async function readOverview(reader: Reader, { world, paths }: Context): Promise<Overview> {
  const now = world.clock.now()
  const open = await listTasks(reader, { states: ['running', 'awaiting-approval', 'escalated', 'parked'], limit: 1000 })
  const inState = (state: string) => open.filter((task) => stateOf(task) === state).reverse()
  const today = await accountOf(reader, `day/${dayOf(now)}`)
  const daemon = await findDaemon(reader)
  return {
    daemon,
    trouble: daemon === null ? null : readTrouble(paths.database),
    outlived: (await outlived(reader)).map(({ attempt }) => attempt),
    counts: await countTasks(reader),
    running: inState('running'),
    gates: await readGates(reader, inState('running'), { now, folder: paths.transcripts }),
    awaiting: inState('awaiting-approval'),
    escalated: inState('escalated'),
    parked: inState('parked'),
    held: await heldTasks(reader, 1000),
    paused: await readPaused(reader),
    stuck: await readStuck(reader, now),
    closures: await readClosures(reader),
    repositories: (await listRepos(reader)).map(({ name, path, base }) => ({ name, path, base })),
    today: { spentNanoUsd: today?.spent ?? 0, heldNanoUsd: today?.held ?? 0, limitNanoUsd: today?.limit ?? null },
  }
}

const order = ['running', 'ready', 'delayed', 'awaiting-approval', 'escalated', 'parked', 'split', 'done', 'cancelled']

/** The screen as lines; of each group at most `most` tasks. */
export function overviewText(context: Context, overview: Overview, most: number): string {
  const { daemon, trouble, counts, today, repositories } = overview
  const now = context.world.clock.now()
  const { spentNanoUsd, heldNanoUsd, limitNanoUsd } = today
  const states = order.filter((state) => counts[state]).map((state) => `${counts[state]} ${state}`)
  const lines = [
    daemon
      ? `Daemon    up ${age(now - daemon.startedAt)}, pid ${daemon.pid}, sandbox rung ${daemon.rung}`
      : 'Daemon    down: tri-agent up --detach',
    ...(trouble
      ? [
          `Disk      ${trouble.why}: nothing new starts, what is done waits (${age(now - trouble.since)}). ${trouble.hint ?? ''}`,
        ]
      : []),
    `Tasks     ${states.join(', ') || 'none yet: tri-agent add "what you want"'}`,
    `Today     ${money(spentNanoUsd)} spent${heldNanoUsd > 0 ? `, ${money(heldNanoUsd)} held` : ''}${limitNanoUsd === null ? '' : ` of ${money(limitNanoUsd)}`}`,
    `Where     ${repositories.map(({ name, base }) => `${name} (${base})`).join(', ') || 'no repository: tri-agent init'}`,
    ...(overview.outlived.length > 0
      ? [`Survived  processes of ${overview.outlived.join(', ')}, which are looked for: tri-agent reap --dry-run`]
      : []),
    ...overview.closures.map((each) => `Closed    ${each.family}: ${tellClosure(each, clockTime)}`),
    ...overview.paused.map(({ told, at, undo }) => `Paused    ${told}, for ${age(now - at)}: ${undo}`),
    ...group('Under way', overview.running, most, (task) => {
      const since = Math.min(...task.running.map(({ admittedAt }) => admittedAt))
      const gate = overview.gates.get(task.id)
      return `${situation(task)}, ${gate ? tellGate(gate) : age(now - since)}`
    }),
    ...group(
      'Waiting for your approval: tri-agent show TASK, then approve or reject',
      overview.awaiting,
      most,
      situation,
    ),
    ...group(
      'Waiting for your decision: tri-agent show TASK, then retry or cancel',
      overview.escalated,
      most,
      situation,
    ),
    ...group('Parked with their work: tri-agent show TASK', overview.parked, most, situation),
    ...group(
      'Ready and not started: tri-agent doctor',
      overview.stuck.map(({ task }) => task),
      most,
      (task) => overview.stuck.find((each) => each.task === task)!.why,
    ),
    ...group('Held: tri-agent release TASK', overview.held, most, situation),
  ]
  return lines.map((line) => clip(clean(line).replaceAll(/\s*\n\s*/g, ' '), context.columns)).join('\n')
}

function group(title: string, tasks: readonly Task[], most: number, tell: (task: Task) => string): string[] {
  if (tasks.length === 0) return []
  const rest = tasks.length - most
  return [
    '',
    title,
    ...tasks.slice(0, most).map((task) => `  ${task.id}  ${task.title}: ${tell(task)}`),
    ...(rest > 0 ? [`  and ${plural(rest, 'more task')}`] : []),
  ]
}
