/**
 * What a daemon that is up takes from the operator's file when that changes: money and prices (`budget set`, `prices set`, or an editor). All else in it
 * is taken at the next start.
 *
 *     the file is another ─▶ it is right ─▶ limits of the gateway, the log is told, what was parked at a lower limit goes on
 *                              └─no─▶ said (`loop.failed`), and everything goes on with what was
 */
import { statSync } from 'node:fs'
import { limitOf } from '../core/budget.ts'
import { dayOf, partOfDay } from '../core/day.ts'
import type { Event } from '../core/event.ts'
import { isRefusal } from '../core/refusal.ts'
import type { OperatorSettings } from '../core/setting.ts'
import type { Gateway } from '../gateway/gateway.ts'
import { loadConfig } from '../host/config.ts'
import { Fault } from '../host/fault.ts'
import type { Env } from '../host/path.ts'
import type { World } from '../host/world.ts'
import { append } from '../store/append.ts'
import type { Database, Tx } from '../store/database.ts'
import { loadTask, parkedAnywhere, repoById } from '../store/task.ts'
import { startLoop } from './loop.ts'

type Parts = {
  world: World
  database: Database
  gateway: Pick<Gateway, 'adjust'>
  /** The daemon's own, which are changed. */
  settings: OperatorSettings
  /** Null, or undefined: they were read from no file. */
  file?: string | null
  env: Env
}

type Money = OperatorSettings['money']

/** Between two looks at the file; a command that writes it wakes the daemon. Milliseconds. */
const lookMs = 5000

/** Looks at the file again and again. */
export function watchSettings(
  parts: Parts,
  failed: (loop: string, error: unknown) => Promise<void>,
): AsyncDisposable & { wake(): void } {
  const { file } = parts
  if (typeof file !== 'string') return { wake: () => {}, [Symbol.asyncDispose]: () => Promise.resolve() }
  return startLoop(parts.world, 'settings', lookMs, settingsLook({ ...parts, file }), failed)
}

/** What the gateway goes by. */
export const gatewayLimits = ({
  dayNanoUsd,
  repositoriesNanoUsd,
  familiesNanoUsd,
  minuteNanoUsd,
  burstNanoUsd,
}: Money) => ({
  dayNanoUsd,
  repositoriesNanoUsd,
  familiesNanoUsd,
  pace: { minuteNanoUsd, burstNanoUsd },
})

/** One look at the file. Faults: `config-invalid`, once for each state of the file. */
function settingsLook({
  world,
  database,
  gateway,
  settings,
  file,
  env,
}: Omit<Parts, 'world' | 'file'> & { world: Pick<World, 'clock'>; file: string }): () => Promise<void> {
  let seen = stampOf(file)
  return async () => {
    const stamp = stampOf(file)
    if (stamp === seen || stamp === null) return // a file that is gone says nothing
    seen = stamp
    const loaded = await loadConfig({ file, env })
    if (isRefusal(loaded))
      throw new Fault(loaded.refused, loaded.why, { hint: 'correct it: until then what was holds' })
    const { money: before } = settings
    const { money, prices, priceChecks } = loaded.settings
    Object.assign(settings, { money, prices, priceChecks })
    const changed = changesIn(before, money)
    if (changed.length === 0) return
    await gateway.adjust(gatewayLimits(money))
    await database.write(async (tx) => {
      const at = world.clock.now()
      await append(tx, { at, actor: 'daemon', stream: 'budget/main', events: [{ type: 'limits.changed', changed }] })
      await resumeRaised(tx, before, money, at)
    })
  }
}

function stampOf(file: string): string | null {
  const found = statSync(file, { throwIfNoEntry: false })
  return found ? `${found.ino} ${found.mtimeMs} ${found.size}` : null
}

function changesIn(before: Money, after: Money) {
  const [was, is] = [limitsIn(before), limitsIn(after)]
  return [...new Set([...was.keys(), ...is.keys()])].flatMap((limit) => {
    const [beforeNanoUsd, nanoUsd] = [was.get(limit) ?? null, is.get(limit) ?? null]
    return beforeNanoUsd === nanoUsd ? [] : [{ limit, beforeNanoUsd, nanoUsd }]
  })
}

/** Every limit there is, under the name it has in the file. */
const limitsIn = (money: Money): Map<string, number> =>
  new Map([
    ...(['day', 'task', 'minute', 'burst', 'warn'] as const).map((key) => [key, money[`${key}NanoUsd`]] as const),
    ...(['repositories', 'families'] as const).flatMap((kind) =>
      Object.entries(money[`${kind}NanoUsd`]).map(([name, nanoUsd]) => [`${kind}.${name}`, nanoUsd] as const),
    ),
  ])

/** Is the limit of a repository or family higher now, or gone? */
async function partRose(tx: Tx, scope: string, before: Money, after: Money): Promise<boolean> {
  const part = partOfDay(scope)
  if (part === null) return false
  const kind = part.of === 'repo' ? 'repositoriesNanoUsd' : 'familiesNanoUsd'
  const name = part.of === 'repo' ? ((await repoById(tx, part.name))?.name ?? '') : part.name
  const [was, is] = [before, after].map((money) => limitOf(money[kind], name) ?? Infinity)
  return is! > was!
}

/** What was parked at a limit that is higher now. What a breaker parked goes on by itself, once it closes. */
async function resumeRaised(tx: Tx, before: Money, after: Money, at: number): Promise<void> {
  const day = `day/${dayOf(at)}`
  for (const { id, root, parked } of await parkedAnywhere(tx)) {
    const scope = parked?.scope ?? ''
    const isUsual = scope.startsWith('task/') && (await loadTask(tx, root))?.budgetNanoUsd === null
    const goesOn =
      (scope === day && after.dayNanoUsd > before.dayNanoUsd) ||
      (scope.startsWith(`${day}/`) && (await partRose(tx, scope, before, after))) ||
      (scope === 'burst' && after.burstNanoUsd > before.burstNanoUsd) ||
      (isUsual && after.taskNanoUsd > before.taskNanoUsd)
    if (!goesOn) continue
    const event: Event = { type: 'task.resumed', why: 'the settings allow more' }
    await append(tx, { at, actor: 'daemon', stream: `task/${id}`, events: [event] })
  }
}
