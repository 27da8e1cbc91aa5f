/** What the daemon says of itself, and what admission sees of the world. */
import type { FamilyState, Snapshot } from '../core/admission.ts'
import type { Caps } from '../core/cap.ts'
import { dayOf, dayStepOf } from '../core/day.ts'
import { tellClosing } from '../core/cool-down.ts'
import type { FlowPolicy } from '../core/flow.ts'
import { trustPrice, type PriceTable } from '../core/price.ts'
import { isRefusal } from '../core/refusal.ts'
import type { OperatorSettings } from '../core/setting.ts'
import type { Closed } from '../gateway/cool-downs.ts'
import type { Gateway } from '../gateway/gateway.ts'
import type { Reader } from '../store/database.ts'
import { accountOf } from '../store/account.ts'
import { lastAt, lastSeq } from '../store/log.ts'
import { readPacing } from '../store/pace.ts'
import { countTasks, dyingLandings, listRepos } from '../store/task.ts'
import type { FoundAgents } from './agents.ts'
import { checkSealKey } from './check-key.ts'
import { examineNow } from './check-machine.ts'
import type { Daemon } from './daemon.ts'
import { closeUsedUp, readDayParts } from './day-part.ts'
import { record } from './record.ts'
import { checkAreas, measureRoom, whyClosed } from './room.ts'
import type { Health } from './http.ts'
import type { RepoContext } from './repository.ts'
import { dayLimit } from './treasurer.ts'

type Seen = Pick<Snapshot, 'at' | 'tasks' | 'pauses' | 'idleMs'> & {
  settings: OperatorSettings
  agents: FoundAgents
  closed: string | null
  gateway: Pick<Gateway, 'closed'>
  prices: PriceTable
  /** Since when families have nothing left of today. */
  usedUp: Map<string, number>
}

/** The state of the world as admission sees it. */
export async function takeSnapshot(
  reader: Reader,
  { tasks, pauses, idleMs, settings, agents, at, closed, gateway, prices, usedUp }: Seen,
): Promise<Snapshot> {
  const closures = [
    ...gateway.closed(),
    ...withoutKey(agents, settings),
    ...withoutPrice(prices, agents, settings, { tasks, at }),
  ]
  const families = agents.usable.map((family): FamilyState => {
    const { agent, models } = settings.families[family]!
    return { family, agent, models, ...closureOf(family, Object.values(models), closures, at) }
  })
  const parts = await readDayParts(reader, settings, at)
  const day = await accountOf(reader, `day/${dayOf(at)}`)
  const { breaker } = await readPacing(reader)
  return {
    at,
    tasks,
    dyingLandings: await dyingLandings(reader),
    families: closeUsedUp(families, parts, usedUp, at),
    slots: settings.slots,
    idleMs,
    lendAfterMs: settings.lending.idleMs,
    laneStepMs: settings.lane.stepMs,
    closed,
    pauses,
    caps: await capsOf(reader, settings),
    dayStep: dayStepOf(day ? day.spent + day.held : 0, await dayLimit(reader, settings, at)),
    parts,
    breaker: breaker?.why ?? null,
  }
}

/** Families whose key was taken away while the daemon is up. */
const withoutKey = (agents: FoundAgents, { families }: OperatorSettings): Closed[] =>
  agents.keys.without().map((family) => {
    const model = families[family]!.models.implementer
    return { family, model, since: 0, until: Infinity, why: 'key' }
  })

/** Families with a model that has no price, or one too old: each of their requests would be refused. Nothing is looked up while nobody waits. */
function withoutPrice(
  prices: PriceTable,
  agents: Pick<FoundAgents, 'usable'>,
  { families }: Pick<OperatorSettings, 'families'>,
  { tasks, at }: { tasks: readonly unknown[]; at: number },
): Closed[] {
  if (tasks.length === 0) return []
  const day = dayOf(at)
  return agents.usable.flatMap((family) =>
    [...new Set(Object.values(families[family]!.models))]
      .filter((model) => isRefusal(trustPrice(prices, model, day)))
      .map((model) => ({ family, model, since: 0, until: Infinity, why: 'price' as const })),
  )
}

/** A family is closed while any model it is driven with is. */
function closureOf(
  family: string,
  models: readonly string[],
  closures: readonly Closed[],
  at: number,
): Pick<FamilyState, 'closedUntil' | 'closedSince' | 'closedWhy' | 'unreachable'> {
  const own = closures.filter((each) => each.family === family && models.includes(each.model))
  const last = own.filter(({ until }) => until > at).toSorted((a, b) => b.until - a.until)[0]
  return {
    closedUntil: last?.until ?? null,
    closedSince: last?.since ?? null,
    closedWhy: last ? tellClosing(last.why, last.model) : null,
    ...(own.some(({ why }) => why === 'overloaded') ? { unreachable: true as const } : {}),
  }
}

/** Settings name repositories, admission knows them by their ids. Two of one name have a cap each. */
async function capsOf(reader: Reader, { caps }: OperatorSettings): Promise<Caps> {
  const { families, roles, repositories } = caps
  const known = Object.keys(repositories).length > 0 ? await listRepos(reader) : []
  const repos = known.flatMap(({ id, name }) => (Object.hasOwn(repositories, name) ? [[id, repositories[name]!]] : []))
  return { families, roles, repos: Object.fromEntries(repos) as Record<string, number> }
}

/** The rules of the road for a repository; without one (it could not be read) no gate is known, and nothing passes that needs any. */
export function flowPolicy(settings: OperatorSettings, agents: FoundAgents, context: RepoContext | null): FlowPolicy {
  return {
    unattended: settings.unattended,
    usable: agents.usable,
    gates: context?.settings.gates ?? [],
    retry: settings.retry,
    rounds: settings.review.rounds,
    ...(context?.settings.review ? { least: context.settings.review } : {}),
  }
}

/** Why nothing new may start on this machine, or null. */
export const machineClosed = (folder: string): Promise<string | null> =>
  Promise.resolve(whyClosed(measureRoom(folder), folder))

/** Between two writings of what was found: whoever asks every second must not wear out the disk. */
const recordEveryMs = 10_000

/** The answers of /health and /readyz. What doctor would find of the same is in that of /health, and then written down, at most every 10 s. */
export function describeHealth(daemon: Daemon, rung: string): (whole: boolean) => Promise<Health> {
  const { database, epoch, engine, world, paths, settings } = daemon
  let recordedAt = Number.NEGATIVE_INFINITY
  return async (whole) => {
    const read = await database.read(async (reader) => ({
      tasks: await countTasks(reader),
      events: await lastSeq(reader),
      lastEventAt: await lastAt(reader),
    }))
    const { lastEventAt, ...summary } = read
    const now = world.clock.mono()
    const trouble = daemon.trouble()
    const seen = daemon.measured.areaBytes
    const checks = [
      ...examineNow({ world, env: {}, paths, settings, daemonPid: process.pid, lastEventAt }),
      ...(whole && trouble === null ? await checkSealKey(database) : []),
      ...(seen === null ? [] : [checkAreas(seen)]),
    ]
    if (whole && trouble === null && now - recordedAt >= recordEveryMs) {
      recordedAt = now
      void record(database, { world, paths }, checks, false).catch((error: unknown) => daemon.failed('health', error))
    }
    return {
      ready: trouble === null,
      summary: {
        trouble,
        epoch,
        rung,
        carrying: engine.carrying().length,
        archives: daemon.measured.archives,
        ...summary,
        checks,
      },
    }
  }
}
