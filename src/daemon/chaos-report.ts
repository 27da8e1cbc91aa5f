/** What chaos came to: a table for people, one line of JSON for programs, and whether it was as it must be. */
import { faultsOf, type Chaos } from './chaos.ts'

export type Told = Chaos & {
  /** What could not be done here, and why. */
  lacking: string[]
  /** Fewer kills than these are a failure. */
  floor: number
  /** Where its state was kept, or null. */
  kept: string | null
}

/** True when everything that must be nothing is, and enough was tried. */
export const isGood = (told: Pick<Told, 'kills' | 'floor'> & Chaos): boolean =>
  told.kills >= told.floor && Object.values(faultsOf(told)).every((found) => found.length === 0)

export function reportText(told: Told): string {
  const { blows, stock, kills, floor, servingMs, retried, seconds, troubled, lacking, kept, seed } = told
  const faults = Object.entries(faultsOf(told))
  const dealt = Object.entries(blows).toSorted(([a], [b]) => (a < b ? -1 : 1))
  const row = (name: string, count: number) => `${name.padEnd(48)} ${String(count).padStart(5)}`
  return [
    ...dealt.map(([name, count]) => row(name, count)),
    row('requests the provider failed', troubled),
    '',
    ...faults.map(([name, found]) => row(name, found.length)),
    ...faults.flatMap(([name, found]) => found.slice(0, 20).map((each) => `  ${name}: ${each}`)),
    '',
    `${kills} kills in ${Math.round(seconds.storm)} s, then ${Math.round(seconds.calm)} s until all was done; serving again after ${middle(servingMs)} ms (median), ${longest(servingMs)} ms (longest of ${servingMs.length})`,
    `${stock.acknowledged} tasks acknowledged, ${stock.done} done, ${retried} times tried again by a person; ${stock.events} events`,
    ...lacking.map((each) => `not tried here: ${each}`),
    ...(kills < floor ? [`${kills} kills, below the floor of ${floor}`] : []),
    ...(kept === null ? [] : [`its database, transcripts and repository: ${kept}`]),
    isGood(told) ? 'Nothing was lost, doubled or left.' : `NOT as it must be. The same blows again: --seed ${seed}`,
    '',
  ].join('\n')
}

/** The lists themselves where something is wrong, their lengths otherwise. */
export function reportJson(told: Told): string {
  const { seed, kills, floor, blows, troubled, servingMs, retried, seconds, stock, lacking, kept } = told
  const { acknowledged, done, events } = stock
  return JSON.stringify({
    chaos: isGood(told) ? 'held' : 'broken',
    seed,
    kills,
    floor,
    blows,
    troubled,
    servingMs: { median: middle(servingMs), longest: longest(servingMs), starts: servingMs.length },
    retried,
    seconds,
    tasks: { acknowledged, done, events },
    found: Object.fromEntries(Object.entries(faultsOf(told)).map(([name, found]) => [name, found.length])),
    faults: Object.fromEntries(Object.entries(faultsOf(told)).filter(([, found]) => found.length > 0)),
    lacking,
    kept,
  })
}

const longest = (values: readonly number[]): number => Math.round(Math.max(0, ...values))
const middle = (values: readonly number[]): number =>
  Math.round(values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? 0)
