/** pause and resume: of everything, a lane, a repository or a family. Of one task it is a hold (decision.ts). */
import { tellPause, type Pausable, type Pause } from '../core/pause.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import type { Tx } from '../store/database.ts'
import { append } from '../store/append.ts'
import { readPauses } from '../store/pause.ts'
import { attemptsUnderWay, repoById, type UnderWay } from '../store/task.ts'
import type { CommandPorts } from './ports.ts'

export type PauseScope = { what: Pausable; name: string }

type Wanted = PauseScope & { why: string; now: boolean }

/** Lets nothing new start of it; `now` ends what is under way too. Refuses `no-such-repository`, `already-paused`. */
export const pauseWork = (ports: CommandPorts, wanted: Wanted): Promise<Pause | Refusal> =>
  ports.database.write((tx) => pauseIn(ports, tx, wanted))

/** Pauses a family or everything at once, or again; answers what was under way in that very moment: nothing of it starts after that. */
export const stopWork = (
  ports: CommandPorts,
  { what, name, why }: { what: 'all' | 'family'; name: string; why: string },
): Promise<UnderWay[] | Refusal> =>
  ports.database.write(async (tx) => {
    const paused = await pauseIn(ports, tx, { what, name, why, now: true })
    if (isRefusal(paused) && paused.refused !== 'already-paused') return paused
    return attemptsUnderWay(tx, { family: what === 'family' ? name : null })
  })

async function pauseIn({ world, actor }: CommandPorts, tx: Tx, { what, name, why, now }: Wanted) {
  if (what === 'repo' && !(await repoById(tx, name)))
    return refuse('no-such-repository', `repository ${name} is not registered`, 'tri-agent init')
  const there = await inForce(tx, { what, name })
  if (there && (there.now || !now))
    return refuse('already-paused', tellPause(there, 'the repository'), 'tri-agent resume, or pause --now')
  const at = world.clock.now()
  await append(tx, { at, actor, stream: 'daemon/main', events: [{ type: 'work.paused', what, name, why, now }] })
  return (await inForce(tx, { what, name }))!
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
