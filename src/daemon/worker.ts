/**
 * The worker: carries one attempt from its claim to its recorded end. It owns the order in which an attempt dies (key, program, container, proof)
 * and is the only door through which a stage's result becomes events; the fence decides whether it may.
 */
import { join } from 'node:path'
import { isRefusal } from '../core/refusal.ts'
import type { Running, Task } from '../core/task.ts'
import { untrusted } from '../core/trust.ts'
import type { Contained, Outermost, KillReport } from '../sandbox/sandbox.ts'
import type { Carried } from '../engine/engine.ts'
import { Fault, isFault } from '../host/fault.ts'
import { openTranscript, type Transcript, type TranscriptEnd } from '../host/transcript.ts'
import { crosscheck, reproduce } from '../stage/check.ts'
import { implement } from '../stage/implement.ts'
import { land } from '../stage/land.ts'
import { plan } from '../stage/plan.ts'
import { review } from '../stage/review.ts'
import {
  stoppedAs,
  without,
  type KeptWork,
  type LeftWork,
  type Stage,
  type StageResult,
  type Work,
} from '../stage/stage.ts'
import { verify } from '../stage/verify.ts'
import { lastEvent } from '../store/log.ts'
import { append } from '../store/append.ts'
import { forgetProcess, gateResult, recordProcess } from '../store/lease.ts'
import { awaitsStart, loadTask } from '../store/task.ts'
import { removeTree } from '../sandbox/area.ts'
import { openArchive, sealArchive } from './archive.ts'
import type { Daemon } from './daemon.ts'
import type { RepoContext } from './repository.ts'
import { writeFinished } from './salvage.ts'
import { settle } from './settle.ts'
import { keepVigil } from './vigil.ts'

const stages: Record<Running['step'], Stage> = { plan, implement, verify, review, reproduce, crosscheck, land }

/**
 * Carries one claimed attempt. Never rejects for a failure of the work; a fault of ours becomes the attempt's outcome. An engine may hand an attempt
 * out again: two that work in one folder would end each other's processes, so while one carries it, and after its end, nothing is done.
 */
export async function carryAttempt(daemon: Daemon, carried: Carried): Promise<void> {
  const { database, carrying, keys } = daemon
  if (carrying.has(carried.attempt)) return
  carrying.add(carried.attempt)
  try {
    const task = await database.read((reader) => loadTask(reader, carried.task))
    const running = task?.running.find(({ attempt }) => attempt === carried.attempt)
    if (task && running) await carryOnce(daemon, carried, task, running)
  } finally {
    keys.delete(carried.attempt) // not before: until its end is written, it is taken out of all that is
    carrying.delete(carried.attempt)
  }
}

async function carryOnce(daemon: Daemon, carried: Carried, task: Task, running: Running): Promise<void> {
  const { gateway, keys, paths } = daemon
  const folder = join(paths.areas, carried.attempt)
  const transcript = await openOrNone(daemon, carried.attempt)
  const trees: Contained[] = []
  const vigil = keepVigil(daemon, carried, task, running.role, () => cpuOf(trees))
  // The first to hear that it must end, before the stage: no request leaves while the program is still being told.
  carried.signal.addEventListener(
    'abort',
    () => void gateway.revoke(carried.attempt).catch((error: unknown) => daemon.failed('worker', error)),
  )
  let result: StageResult
  let context: RepoContext | null = null
  try {
    const found = await daemon.repository(task.repo)
    if (isRefusal(found)) result = without('refused', found.hint ? `${found.why}: ${found.hint}` : found.why)
    else if (!found.isTrusted && !daemon.trusted) result = without('killed', untrusted)
    else {
      context = found
      const key = keys.get(carried.attempt) ?? null
      const opened =
        key === null ? null : { ...(await daemon.openGateway(carried.attempt, key, context)), url: gateway.url, key }
      const work: Work = {
        ...workOf(daemon, carried, task, running, context, trees),
        folder,
        gateway: opened,
        kept: await keptFor(daemon, task, running),
        finished: (done) => writeFinished(daemon, running, folder, done),
        onAgentEvent: vigil.onAgentEvent,
        onOutput: (stream, line, isCut) => transcript?.write(stream, line, isCut),
        active: vigil.active,
      }
      result = await stages[running.step](daemon.stagePorts, work)
    }
  } catch (error) {
    result = brokenBy(error, carried.signal)
    if (!isFault(error)) await daemon.failed(`worker ${running.step}`, error)
  } finally {
    vigil.end()
    await gateway.revoke(carried.attempt)
    // what is left of it is removed at the next start; a result that was paid for does not wait for that
    await removeTree(folder).catch((error) => daemon.failed('worker', error))
  }
  result = { ...result, killed: result.killed ?? (await lastReport(trees)) }
  await tellSurvivors(daemon, carried.attempt, result.killed)
  await settle(daemon, carried, running, result, context, await closeTranscript(daemon, transcript))
  if (context) daemon.wantClone(task.repo, context)
}

/** Null where nothing can be written: what an attempt prints is worth less than what it does. */
const openOrNone = (daemon: Daemon, attempt: string): Promise<Transcript | null> =>
  openTranscript(daemon.transcriptFile(attempt), daemon.secrets()).catch(async (error: unknown) => {
    if (!isFault(error)) throw error
    await daemon.failed('transcript', error)
    return null
  })

/** Null where it could not be written to its end, on a full disk say: the attempt's result was paid for and counts without it. */
const closeTranscript = async (daemon: Daemon, transcript: Transcript | null): Promise<TranscriptEnd | null> =>
  transcript === null
    ? null
    : transcript.close().catch(async (error: unknown) => {
        if (!isFault(error)) throw error
        await daemon.failed('transcript', error)
        return null
      })

async function tellSurvivors({ failed }: Daemon, attempt: string, killed: StageResult['killed']): Promise<void> {
  if (killed === null || killed.survivors === 0) return
  const what = `${killed.survivors} of the processes of ${attempt} survived its end (${killed.method})`
  await failed('kill', new Fault('survivors', what, { hint: 'looked for every 30 s; tri-agent reap --dry-run' }))
}

/** Of the tree that is under way. */
const cpuOf = (trees: readonly Contained[]): number | null => trees.at(-1)?.cpuMs() ?? null

/** How the last process tree of an attempt ended; of those before only survivors count. Asked of all, because a kill asked twice answers the same. */
async function lastReport(trees: readonly Contained[]): Promise<KillReport | null> {
  const reports = await Promise.all(trees.map((each) => each.kill()))
  const last = reports.at(-1)
  return last ? { ...last, survivors: reports.reduce((sum, { survivors }) => sum + survivors, 0) } : null
}

/** What a stage is told of an attempt, but for what its worker alone knows. */
export function workOf(
  daemon: Daemon,
  carried: Carried,
  task: Task,
  attempt: Running,
  context: RepoContext,
  trees: Contained[],
) {
  const { database, engine, world, epochBoot } = daemon
  return {
    task,
    attempt,
    repo: context.repo,
    repository: context.settings,
    toolchain: context.toolchain,
    registries: context.registries,
    signal: carried.signal,
    secrets: daemon.secrets(),
    contained: (tree: Contained) => void trees.push(tree),
    started: async (contained: Outermost, area: { root: string }) => {
      const row = {
        attempt: carried.attempt,
        pid: contained.pid,
        boot_id: contained.bootId ?? epochBoot,
        start_time: contained.startTime,
        area: area.root,
        started_at: world.clock.now(),
      }
      await database.write(async (tx) => {
        // a worker that was away for longer than its lease starts nothing: another attempt may be at work by now
        if (!(await engine.holds(tx, carried))) throw new Fault('lease-lost', `${carried.attempt} was given back`)
        await recordProcess(tx, row)
        if (!(await awaitsStart(tx, carried.attempt))) return
        const event = {
          type: 'attempt.started' as const,
          attempt: carried.attempt,
          rung: daemon.stagePorts.sandbox.rung,
          pid: contained.pid,
        }
        await append(tx, { at: world.clock.now(), actor: 'daemon', stream: `task/${carried.task}`, events: [event] })
      })
    },
    // what survived stays written down: once the lease is given back it is the reaper's
    ended: ({ survivors }: KillReport) =>
      survivors > 0 ? Promise.resolve() : database.write((tx) => forgetProcess(tx, carried.attempt)),
    cachedGates: (tree: string, key: string) =>
      database.read(async (reader) => {
        // What made a gate red may lie outside of the tree, and be mended: a person who says so is not answered from memory.
        const retried = await lastEvent(reader, `task/${carried.task}`, 'task.retried')
        return gateResult(reader, tree, key, retried?.at)
      }),
    anchor: () => database.anchor(),
    isOverBudget: () => daemon.gateway.report(carried.attempt).verdict === 'over-budget',
    isDrained: () => daemon.parking.drained.has(carried.attempt),
    hurry: daemon.parking.hurry.signal,
    keep: async (left: LeftWork) => {
      const sealed = await sealArchive(
        daemon.paths.archives,
        { attempt: carried.attempt, family: attempt.family! },
        left,
      )
      return sealed && daemon.parking.drained.has(carried.attempt) ? { ...sealed, drained: true as const } : sealed
    },
  }
}

/** What a parked attempt left, for the next implementer of its family: nobody goes on with the work of another one. */
async function keptFor({ paths }: Daemon, { archive }: Task, { step, family }: Running): Promise<KeptWork | null> {
  if (!archive || step !== 'implement' || archive.family !== family) return null
  return openArchive(paths.archives, archive)
}

/** A fault of ours while working: the attempt did not fail at its task, so another may do better. */
function brokenBy(error: unknown, signal: AbortSignal): StageResult {
  if (signal.aborted) return without(stoppedAs(signal), 'ended while working')
  const message = error instanceof Error ? error.message : String(error)
  return without(
    'crashed',
    isFault(error) ? `${message}${error.hint ? ` (${error.hint})` : ''}` : `a defect of tri-agent: ${message}`,
  )
}
