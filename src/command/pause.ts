/** pause and resume: of everything, a lane, a repository or a family. Of one task it is a hold (decision.ts). */
import { tellPause, type Pausable, type Pause } from '../core/pause.ts'
import { refuse, type Refusal } from '../core/refusal.ts'
import type { Tx } from '../store/database.ts'
import { append } from '../store/append.ts'
import { readPauses } from '../store/pause.ts'
import { repoById } from '../store/task.ts'
import type { CommandPorts } from './ports.ts'

export type PauseScope = { what: Pausable; name: string }

/** Lets nothing new start of it; `now` ends what is under way too. Refuses `no-such-repository`, `already-paused`. */
export function pauseWork(
  { database, world, actor }: CommandPorts,
  { what, name, why, now }: PauseScope & { why: string; now: boolean },
): Promise<Pause | Refusal> {
  return database.write(async (tx) => {
    if (what === 'repo' && !(await repoById(tx, name)))
      return refuse('no-such-repository', `repository ${name} is not registered`, 'tri-agent init')
    const there = await inForce(tx, { what, name })
    if (there && (there.now || !now))
      return refuse('already-paused', tellPause(there, 'the repository'), 'tri-agent resume, or pause --now')
    const at = world.clock.now()
    await append(tx, { at, actor, stream: 'daemon/main', events: [{ type: 'work.paused', what, name, why, now }] })
    return (await inForce(tx, { what, name }))!
  })
}

/** Ends a pause; what was paused has not waited meanwhile. Refuses `not-paused`. */
export function resumeWork(
  { database, world, actor }: CommandPorts,
  { what, name }: PauseScope,
): Promise<Pause | Refusal> {
  return database.write(async (tx) => {
    const there = await inForce(tx, { what, name })
    if (!there)
      return refuse(
        'not-paused',
        what === 'all' ? 'not everything is paused' : `${name} is not paused`,
        'tri-agent status',
      )
    const at = world.clock.now()
    await append(tx, { at, actor, stream: 'daemon/main', events: [{ type: 'work.resumed', what, name }] })
    return { ...there, until: at }
  })
}

const inForce = async (tx: Tx, scope: PauseScope): Promise<Pause | null> =>
  (await readPauses(tx)).find(
    ({ what, name, until }) => until === null && what === scope.what && name === scope.name,
  ) ?? null
