/**
 * How a stage's result becomes events, in one transaction behind the fence. What the wire showed wins over what the agent said: the family of a
 * candidate or a vote is that of the model the gateway saw, and a limit reached on the wire is the outcome.
 */
import { createHash } from 'node:crypto'
import { windowMs } from '../core/breaker.ts'
import { dayEnd } from '../core/day.ts'
import { driftOf } from '../core/drift.ts'
import type { AttemptEnded, Event, TaskAdded, TaskEvent } from '../core/event.ts'
import { familyOf } from '../core/family.ts'
import { conclude, type Ending, type Product } from '../core/flow.ts'
import { isOver, type Running, type SubTask, type Task } from '../core/task.ts'
import { untrusted } from '../core/trust.ts'
import type { Carried } from '../engine/engine.ts'
import type { WireReport } from '../gateway/gateway.ts'
import { prepareSecrets, scrubKnown } from '../host/scrub.ts'
import { without, type StageResult } from '../stage/stage.ts'
import type { Tx } from '../store/database.ts'
import { append } from '../store/append.ts'
import { keepGateResult } from '../store/lease.ts'
import { countParts, loadTask } from '../store/task.ts'
import type { Daemon } from './daemon.ts'
import { drainScope } from './drain.ts'
import { landIntended } from './lander.ts'
import type { RepoContext } from './repository.ts'

type Transcript = AttemptEnded['transcript']

/** Records the end of an attempt and all that follows from it. A holder that has lost its lease writes nothing. */
export async function settle(
  daemon: Daemon,
  carried: Carried,
  running: Running,
  result: StageResult,
  context: RepoContext | null,
  transcript: Transcript,
): Promise<void> {
  const wire = daemon.gateway.report(carried.attempt)
  const seen = seenOnTheWire(running, result, wire)
  if (seen.landing && context) {
    const landed = await landIntended(daemon, carried, context, seen.landing)
    if (landed !== null) {
      await finish(daemon, carried, running, { ...seen, ...landed }, context, transcript, wire)
      return void (await daemon.database.anchor())
    }
  }
  await finish(daemon, carried, running, seen, context, transcript, wire)
}

async function finish(
  daemon: Daemon,
  carried: Carried,
  running: Running,
  result: StageResult,
  context: RepoContext | null,
  transcript: Transcript,
  wire: WireReport,
): Promise<void> {
  const { database, engine, world } = daemon
  await database.write(async (tx) => {
    if (!(await engine.finish(tx, carried))) return // fenced: somebody else speaks for this task now
    const task = await loadTask(tx, carried.task)
    if (!task?.running.some(({ attempt }) => attempt === carried.attempt)) return
    const at = world.clock.now()
    for (const report of result.reports) await keepGateResult(tx, report, at)
    const whole = await withinRoot(tx, task, result)
    const { reason, feedback } = whole
    const told = scrubKnown({ reason, feedback }, prepareSecrets(daemon.secrets())) // whoever wrote it: git, the machine, the wire
    const ending = endingOf(carried, running, { ...whole, ...told }, transcript, wire)
    if (result.outcome === 'over-budget' && wire.scope !== null)
      ending.limit = { scope: wire.scope, until: untilOf(wire.scope, at), archive: result.archive ?? null }
    if (result.archive?.drained) {
      ending.limit = { scope: drainScope, until: null, archive: result.archive }
      ending.ended.reason = 'the daemon was told to end'
    }
    const events = conclude(task, ending, daemon.flowPolicy(context), { at, chance: world.random() })
    await append(tx, {
      at,
      actor: 'daemon',
      stream: `task/${task.id}`,
      events: [
        ...drifted(carried, result, wire),
        ...didItself(carried, wire),
        ...events,
        ...(await split(daemon, tx, task, events, at)),
      ],
    })
    if (result.reason === untrusted) await holdUntrusted(tx, task.id, at)
    daemon.wake() // before the commit: what follows on this, here or in another task, is let in with it
  })
}

/** Nothing of a task is executed before a person agreed to its repository's commands; `up --trust` releases it. */
async function holdUntrusted(tx: Tx, id: string, at: number): Promise<void> {
  const task = await loadTask(tx, id)
  if (!task || isOver(task) || task.held !== null) return
  const event = { type: 'task.held' as const, why: untrusted }
  await append(tx, { at, actor: 'daemon', stream: `task/${id}`, events: [event] })
}

function endingOf(
  carried: Carried,
  running: Running,
  result: StageResult,
  transcript: Transcript,
  wire: WireReport,
): Ending {
  const { outcome, reason, product, feedback, promptSha256, killed } = result
  const { input, cachedInput, cacheWrite, output, costNanoUsd } = wire
  const ended: AttemptEnded = {
    type: 'attempt.ended',
    attempt: carried.attempt,
    outcome,
    reason,
    signature: outcome === 'passed' ? null : signatureOf(`${running.step} ${outcome}`, reason),
    tokens: { input, cachedInput, cacheWrite, output },
    costNanoUsd,
    transcript,
    promptSha256,
    killed,
  }
  return { ended, product, feedback, ...(result.rebase === undefined ? {} : { rebase: result.rebase }) }
}

/** Corrects a result by what the gateway saw: no model seen means nothing was judged or written by one. */
function seenOnTheWire(running: Running, result: StageResult, wire: WireReport): StageResult {
  if (running.family === null) return result
  if (wire.voided !== null)
    return without('refused', wire.voided, { killed: result.killed, promptSha256: result.promptSha256 })
  if (
    result.outcome !== 'passed' &&
    wire.verdict !== null &&
    result.outcome !== 'killed' &&
    result.outcome !== 'stalled' &&
    result.outcome !== 'timed-out'
  )
    return { ...result, outcome: wire.verdict, reason: wire.reason ?? result.reason, feedback: null }
  if (result.outcome !== 'passed' || !result.product) return result
  const model = wire.models.at(-1)
  if (model === undefined)
    return without('unreadable', 'the agent answered without asking any model', {
      killed: result.killed,
      promptSha256: result.promptSha256,
    })
  const family = familyOf(model) ?? running.family
  return { ...result, product: bySeen(result.product, family, model) }
}

function bySeen(product: Product, family: string, model: string): Product {
  switch (product.step) {
    case 'implement':
      return { ...product, candidate: { ...product.candidate, family, model } }
    case 'review':
      return { ...product, family, model }
    case 'plan':
      return { ...product, family }
    case 'crosscheck':
      return { ...product, by: family }
    case 'verify':
    case 'reproduce':
    case 'land':
      return product
  }
}

/** When what was stopped at a limit may go on by itself: a new day, a cheaper minute. Null: when a person raises the limit. */
function untilOf(scope: string, at: number): number | null {
  if (scope.startsWith('day/')) return dayEnd(at)
  return scope === 'minute' ? at + windowMs : null
}

/** The client as a witness of the wire; only of an attempt that came to its own end. */
function drifted({ attempt }: Carried, { said, outcome }: StageResult, wire: WireReport): TaskEvent[] {
  const { input, cachedInput, cacheWrite, output } = wire
  const seen = { input, cachedInput, cacheWrite, output }
  const drift = said && outcome === 'passed' ? driftOf(seen, said) : null
  return said && drift ? [{ type: 'usage.drifted', attempt, drift, wire: seen, said }] : []
}

/** What its provider did by itself. */
const didItself = ({ attempt }: Carried, { tools: { uses, nanoUsd } }: WireReport): TaskEvent[] =>
  Object.keys(uses).length > 0 ? [{ type: 'tools.used', attempt, uses, costNanoUsd: nanoUsd }] : []

/** numbers.md: parts of one root that are open at a time, however deep. */
const mostParts = 40

/** A plan whose parts would be too many for its root is a question for a person, not something to begin. */
async function withinRoot(tx: Tx, task: Task, result: StageResult): Promise<StageResult> {
  const { product, promptSha256, killed } = result
  if (product?.step !== 'plan' || task.kind === 'architect' || product.plan.subTasks.length === 0) return result
  const open = await countParts(tx, task.root)
  const all = open + product.plan.subTasks.length
  if (all <= mostParts) return result
  const why = `the plan has ${product.plan.subTasks.length} parts, and ${open} of ${task.root} are open: at most ${mostParts} may be`
  return without('refused', why, { promptSha256, killed })
}

/** Sub-tasks of a plan, as tasks of their own in the same transaction; the parent then waits for them. */
async function split(daemon: Daemon, tx: Tx, parent: Task, events: readonly TaskEvent[], at: number): Promise<Event[]> {
  const planned = events.find((event) => event.type === 'task.planned')
  if (!planned || parent.kind === 'architect' || planned.plan.subTasks.length === 0) return []
  const ids = planned.plan.subTasks.map(() => daemon.world.id('task'))
  for (const [index, sub] of planned.plan.subTasks.entries())
    await append(tx, { at, actor: 'daemon', stream: `task/${ids[index]!}`, events: [childOf(parent, sub, ids, index)] })
  return [{ type: 'task.split', children: ids }]
}

function childOf(parent: Task, sub: SubTask, ids: readonly string[], index: number): TaskAdded {
  return {
    type: 'task.added',
    task: ids[index]!,
    repo: parent.repo,
    title: sub.title,
    text: sub.text,
    kind: sub.kind,
    lane: parent.lane,
    size: sub.size,
    tags: parent.tags,
    after: sub.after.filter((each) => each < index).map((each) => ids[each]!),
    acceptance: sub.acceptance,
    budgetNanoUsd: null,
    parent: parent.id,
    depth: parent.depth + 1,
    root: parent.root,
    ref: null,
    ...(parent.path === undefined ? {} : { path: parent.path }),
  }
}

/** A short hash of a failure, digits and ids left out, so that the same failure is recognised when it comes back. */
const signatureOf = (outcome: string, reason: string): string =>
  createHash('sha256')
    .update(`${outcome} ${reason.toLowerCase().replaceAll(/[0-9a-f]{7,}|\d+/g, '#')}`)
    .digest('hex')
    .slice(0, 16)
