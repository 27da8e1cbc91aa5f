/** What repositories and families have left of today, as admission sees it; and a family that has nothing left counts as closed until the next day. */
import type { FamilyState } from '../core/admission.ts'
import { dayEnd, dayOf, dayStepOf, familyDay, repoDay, type DayParts, type DayStep } from '../core/day.ts'
import type { OperatorSettings } from '../core/setting.ts'
import { partsOf } from '../store/account.ts'
import type { Reader } from '../store/database.ts'
import { listRepos } from '../store/task.ts'

/** How far each that has a limit has used it up. Settings name repositories, admission knows them by their ids; two of one name have a limit each. */
export async function readDayParts(
  reader: Reader,
  { money }: Pick<OperatorSettings, 'money'>,
  at: number,
): Promise<DayParts> {
  const { repositoriesNanoUsd, familiesNanoUsd } = money
  const until = dayEnd(at)
  const named = Object.keys(repositoriesNanoUsd).length > 0 ? await listRepos(reader) : []
  if (named.length === 0 && Object.keys(familiesNanoUsd).length === 0) return { until, repos: {}, families: {} }
  const day = dayOf(at)
  const accounts = await partsOf(reader, day)
  const stepOf = (name: string, scope: string, usualNanoUsd: number): [string, DayStep][] => {
    const account = accounts.get(scope) ?? { spent: 0, held: 0, raised: 0 }
    const step = dayStepOf(account.spent + account.held, usualNanoUsd + account.raised)
    return step === 'open' ? [] : [[name, step]]
  }
  const repos = named.flatMap(({ id, name }) =>
    Object.hasOwn(repositoriesNanoUsd, name) ? stepOf(id, repoDay(day, id), repositoriesNanoUsd[name]!) : [],
  )
  const families = Object.entries(familiesNanoUsd).flatMap(([family, usual]) =>
    stepOf(family, familyDay(day, family), usual),
  )
  return { until, repos: Object.fromEntries(repos), families: Object.fromEntries(families) }
}

/** Closes families whose day is used up. `since` remembers from when on, for as long as this daemon is up. */
export const closeUsedUp = (
  states: readonly FamilyState[],
  { families, until }: DayParts,
  since: Map<string, number>,
  at: number,
): FamilyState[] =>
  states.map((state) => {
    const { family, closedUntil } = state
    if (families[family] !== 'closed') {
      since.delete(family)
      return state
    }
    if (!since.has(family)) since.set(family, at)
    if (closedUntil !== null && closedUntil >= until) return state
    const closedWhy = `today's budget for ${family} is used up (tri-agent budget raise family ${family} 5)`
    return { ...state, closedUntil: until, closedSince: state.closedSince ?? since.get(family)!, closedWhy }
  })
