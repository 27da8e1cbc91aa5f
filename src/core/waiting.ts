/** What a task waits for, and why it does not start, in words: what whoever wonders reads, beside what admission decides. Pure. */
import { countAgainst, noCaps, type Caps, type Place } from './cap.ts'
import type { Family } from './family.ts'
import { pauseOfFamily, pauseOver, tellPause, type Pause } from './pause.ts'
import { forcedFamily, route } from './routing.ts'
import type { Role, Task } from './task.ts'
import { wantedSteps } from './wanted-step.ts'
import { dayStepOf, mayStartOn, mayStartOnPart, type DayParts, type DayStep } from './day.ts'
import type { Lane } from './lane.ts'

/**
 * What a task waits for, as a word, or null when no slot would help it. Tasks of one demand can start under exactly the same circumstances, and
 * each that starts takes at least one slot: so of each demand no more need to be looked at than there are slots.
 */
export function demandOf(task: Task): string | null {
  const wanted = wantedSteps(task)
  if (wanted.length === 0 || task.running.length > 0 || task.held !== null) return null
  const words = wanted.map(({ step, role, family }) => {
    if (step === 'land') return `${role} land` // one landing of a repository at a time
    const asked = role === 'gate' ? undefined : (family ?? forcedFamily(task))
    return asked === undefined ? role : `${role} ${family === null ? 'family:' : ''}${asked}`
  })
  return `${task.repo} ${words.join(', ')}`
}

/** What keeps tasks from starting, slots aside: the daemon writes it down, so that whoever wonders need not ask it. */
export type Circumstances = {
  closed: string | null
  families: readonly Family[]
  dayNanoUsd: number
  /** Absent in what earlier daemons wrote. */
  breaker?: string | null
  /** Families that are usable and cool down; `until` null: until a person does something. */
  closures?: readonly { family: Family; until: number | null; why: string }[]
  caps?: Caps
  /** Repositories and families that have used up much of what they may cost today; absent: none has. */
  parts?: DayParts
}

/** What a person paused and a ready task therefore waits for, or null: nothing of it is. */
export function whyPaused(task: Task, pauses: readonly Pause[]): string | null {
  const asked = wantedSteps(task)
  if (asked.length === 0 || task.running.length > 0 || task.held !== null) return null
  const over = pauseOver(pauses, task)
  if (over) return tellPause(over)
  const whys = asked.map(({ role, family }) => {
    const wanted = role === 'gate' ? undefined : (family ?? forcedFamily(task))
    return wanted === undefined ? null : pauseOfFamily(pauses, wanted)
  })
  return whys.includes(null) ? null : tellPause(whys[0]!)
}

type Now = Circumstances & {
  spentNanoUsd: number
  pauses: readonly Pause[]
  /** What counts against caps. */
  underWay?: readonly Place[]
  /** How a moment is written. */
  clock: (at: number) => string
}

/** Why a task that is ready does not start, slots aside; null where nothing is in its way. `spentNanoUsd`: spent and held today. */
export function whyWaiting(task: Task, now: Now): string | null {
  const paused = whyPaused(task, now.pauses)
  if (paused !== null) return paused
  const asked = wantedSteps(task)
  if (asked.length === 0 || task.running.length > 0 || task.held !== null) return null
  if (now.closed !== null) return `nothing new starts: ${now.closed}`
  const count = countAgainst(now.caps ?? noCaps, now.underWay ?? [])
  const full = (role: Role, family: Family | null) => count.full({ role, family, repo: task.repo })
  const whys = asked.map(({ step, role, family }) => {
    const anyway = full(role, null)
    if (anyway !== null || role === 'gate') return anyway
    if (now.breaker) return `the breaker has tripped: ${now.breaker}`
    if (now.spentNanoUsd >= now.dayNanoUsd) return "today's budget is spent"
    if (!mayStartOn(dayStepOf(now.spentNanoUsd, now.dayNanoUsd), task.lane))
      return `${Math.floor((now.spentNanoUsd / now.dayNanoUsd) * 100)} % of today's budget is used, and ${task.lane} work stops before`
    const closures = now.closures ?? []
    const parts = now.parts ?? { until: 0, repos: {}, families: {} }
    const tellUsed = (whose: string, step: DayStep) => tellPart(whose, step, task.lane, now.clock(parts.until))
    if (!mayStartOnPart(parts.repos, task.repo, task.lane)) return tellUsed('its repository', parts.repos[task.repo]!)
    const isLeft = (each: Family) => mayStartOnPart(parts.families, each, task.lane)
    const families = now.families.filter(
      (each) =>
        pauseOfFamily(now.pauses, each) === null &&
        !closures.some((closure) => closure.family === each) &&
        isLeft(each),
    )
    const wanted = family ?? forcedFamily(task) ?? null
    if (wanted !== null && families.includes(wanted)) return full(role, wanted)
    const closure = closures.find((each) => wanted === null || each.family === wanted)
    const routed = family === null ? route(task, role, families) : null
    if (routed && routed.family !== null)
      return families.some((each) => full(role, each) === null) ? null : full(role, routed.family)
    if (closure) return `${step} waits for ${closure.family}: ${tellClosure(closure, now.clock)}`
    const used = now.families.find((each) => !isLeft(each) && (wanted === null || each === wanted))
    if (used !== undefined) return `${step} waits for ${used}: ${tellUsed(used, parts.families[used]!)}`
    return routed ? routed.why : `${step} by ${family}, which is not usable`
  })
  return whys.includes(null) ? null : whys[0]!
}

/** `the account's quota for m is used up, asked again at 14:05`. */
export const tellClosure = (
  { why, until }: { why: string; until: number | null },
  clock: (at: number) => string,
): string => (until === null ? why : `${why}, asked again at ${clock(until)}`)

const tellPart = (whose: string, step: DayStep, lane: Lane, until: string): string =>
  step === 'closed'
    ? `today's budget for ${whose} is used up, until ${until}`
    : `today's budget for ${whose} is nearly used up, and ${lane} work stops before it is, until ${until}`
