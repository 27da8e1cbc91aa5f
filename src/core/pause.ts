/**
 * Pauses: a person wants nothing new to start of everything, of a lane, of a repository, or by a family. What is under way goes on to its end, unless
 * the pause says `now`. Of one task that is a hold, which is a part of the task itself.
 *
 *     (none) ──work.paused──▶ in force ──work.resumed──▶ over, remembered: who waited through it has not waited
 *
 * Pure, and the table `pause` is its fold. It never knows why a family or the machine cannot work; that is admission's.
 */
import type { Family } from './family.ts'
import type { Task } from './task.ts'

export type Pausable = 'all' | 'lane' | 'repo' | 'family'

export type Pause = {
  what: Pausable
  /** Which lane, repository (its id) or family; `all` for everything. */
  name: string
  why: string
  /** Who paused it: `person:ada`. */
  by: string
  /** Since when, epoch milliseconds. */
  at: number
  /** What is under way is ended too. */
  now: boolean
  /** When it was resumed, epoch milliseconds; null while it is in force. */
  until: number | null
}

type Paused = readonly Pause[]
type Place = Pick<Task, 'repo' | 'lane'>

const covers = ({ what, name }: Pause, { repo, lane }: Place): boolean =>
  what === 'all' || (what === 'lane' && name === lane) || (what === 'repo' && name === repo)

/** What keeps a task from starting anything at all, or null; a paused family keeps only itself from working. */
export const pauseOver = (pauses: Paused, place: Place): Pause | null =>
  pauses.find((pause) => pause.until === null && covers(pause, place)) ?? null

/** The pause of a family that is in force, or null. */
export const pauseOfFamily = (pauses: Paused, family: Family): Pause | null =>
  pauses.find(({ what, name, until }) => until === null && what === 'family' && name === family) ?? null

/** From when on waiting counts there, epoch milliseconds: what a person held back has not waited meanwhile. */
export const waitsSince = (pauses: Paused, place: Place): number =>
  pauses.reduce((since, pause) => (covers(pause, place) ? Math.max(since, pause.until ?? 0) : since), 0)

/** `everything is paused by ada: the release`. `repository`: what to call a repository. */
export function tellPause({ what, name, by, why }: Pause, repository = 'its repository'): string {
  const subject = { all: 'everything', lane: `lane ${name}`, repo: repository, family: `family ${name}` }[what]
  return `${subject} is paused by ${by.replace(/^person:/, '')}${why === '' ? '' : `: ${why}`}`
}
