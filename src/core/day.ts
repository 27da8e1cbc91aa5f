/** Budget days, UTC, and how far one is used up. Pure, by arithmetic: the first use of Intl costs every command 20 ms. */
import type { Lane } from './lane.ts'

/**
 * The budget day of a moment (epoch milliseconds): `2026-11-24`, UTC. By arithmetic, in years that begin in March and eras of 400 of them, because
 * the first use of Intl costs every command 20 ms.
 */
export function dayOf(at: number): string {
  const days = Math.floor(at / 86_400_000) + 719_468 // since the first of March of the year 0
  const era = Math.floor(days / 146_097)
  const ofEra = days - era * 146_097
  const leaps = Math.floor(ofEra / 1460) - Math.floor(ofEra / 36_524) + Math.floor(ofEra / 146_096)
  const year = Math.floor((ofEra - leaps) / 365)
  const ofYear = ofEra - (365 * year + Math.floor(year / 4) - Math.floor(year / 100))
  const fromMarch = Math.floor((5 * ofYear + 2) / 153)
  const day = ofYear - Math.floor((153 * fromMarch + 2) / 5) + 1
  const month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9
  const pad = (n: number, width: number) => String(n).padStart(width, '0')
  return `${pad(era * 400 + year + (month <= 2 ? 1 : 0), 4)}-${pad(month, 2)}-${pad(day, 2)}`
}

/** Days from the first of March of the year 0 to a day as `dayOf` writes it: for how far two lie apart. */
export function numberOf(day: string): number {
  const [year = 0, month = 1, date = 1] = day.split('-').map(Number)
  const fromMarch = month > 2 ? month - 3 : month + 9
  const years = month > 2 ? year : year - 1
  const leaps = Math.floor(years / 4) - Math.floor(years / 100) + Math.floor(years / 400)
  return 365 * years + leaps + Math.floor((153 * fromMarch + 2) / 5) + date - 1
}

const dayMs = 86_400_000

/** Whether a text is a day of the calendar as `dayOf` writes it. */
export const isDay = (text: string): boolean =>
  /^\d{4}-\d{2}-\d{2}$/.test(text) && dayOf((numberOf(text) - numberOf('1970-01-01')) * dayMs) === text

/** When the budget day of a moment is over, epoch milliseconds. */
export const dayEnd = (at: number): number => (Math.floor(at / dayMs) + 1) * dayMs

/** A moment as budgets speak of it: `2026-11-24 16:40 UTC`. */
export function utcOf(at: number): string {
  const minutes = Math.floor((((at % dayMs) + dayMs) % dayMs) / 60_000)
  const pad = (n: number) => String(n).padStart(2, '0')
  return `${dayOf(at)} ${pad(Math.floor(minutes / 60))}:${pad(minutes % 60)} UTC`
}

export const daySteps = ['open', 'background-stops', 'normal-stops', 'closed'] as const
/** How far a day is used up: from 80 % on background work stops and one slot stays, from 90 % normal work stops, from 95 % nothing new starts. */
export type DayStep = (typeof daySteps)[number]

export function dayStepOf(usedNanoUsd: number, limitNanoUsd: number | null): DayStep {
  if (limitNanoUsd === null) return 'open'
  const reached = (share: number): boolean => usedNanoUsd >= share * limitNanoUsd
  return reached(0.95) ? 'closed' : reached(0.9) ? 'normal-stops' : reached(0.8) ? 'background-stops' : 'open'
}

/** May something new of this lane start on this step? */
export const mayStartOn = (step: DayStep, lane: Lane): boolean =>
  step === 'open' || (step !== 'closed' && (lane === 'critical' || (lane === 'normal' && step === 'background-stops')))

/** A repository's and a family's part of a day. Under the day's name, so that all that holds for a day (ladder, parking until the next) holds for them. */
export const repoDay = (day: string, repo: string): string => `day/${day}/repo/${repo}`
export const familyDay = (day: string, family: string): string => `day/${day}/family/${family}`

/** Whose part of a day a scope is, or null: it is something else. */
export function partOfDay(scope: string): { of: 'repo' | 'family'; name: string } | null {
  const found = /^day\/[^/]+\/(repo|family)\/(.+)$/.exec(scope)
  return found ? { of: found[1] as 'repo' | 'family', name: found[2]! } : null
}

/** A scope of money as people read it: `family openai on 2026-11-29`; one of a task or a whole day as it is. */
export function sayScope(scope: string): string {
  const part = partOfDay(scope)
  return part === null
    ? scope
    : `${part.of === 'repo' ? 'repository' : 'family'} ${part.name} on ${scope.split('/')[1]}`
}

/** How far what repositories (by id) and families may cost today is used up, until the day ends; who is not named has all of it, or no limit. */
export type DayParts = {
  until: number
  repos: Readonly<Record<string, DayStep>>
  families: Readonly<Record<string, DayStep>>
}

/** May something new of this lane start on what is left for whom these steps name? */
export const mayStartOnPart = (steps: Readonly<Record<string, DayStep>>, name: string, lane: Lane): boolean =>
  !Object.hasOwn(steps, name) || mayStartOn(steps[name]!, lane)
