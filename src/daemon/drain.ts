/**
 * The clean stop: nothing new starts, what is under way may come to its end within the grace of its lane, and what has not is ended and ready again at
 * the next start. It never ends the daemon itself.
 */
import type { OperatorSettings } from '../core/setting.ts'
import { laneOfAttempt } from '../store/task.ts'
import type { Daemon } from './daemon.ts'

/** How often is looked whether all has ended. */
const lookMs = 50

type Ports = Pick<Daemon, 'world' | 'engine' | 'database' | 'absence'> & { grace: OperatorSettings['drain'] }

/** Resolves when nothing is carried any more, or `hurry` fires: then without waiting. */
export async function drain({ world, engine, database, absence, grace }: Ports, hurry: AbortSignal): Promise<void> {
  const present = () => world.clock.mono() - absence.lostMs()
  const began = present()
  const graceOf = new Map<string, number>()
  while (!hurry.aborted) {
    const carrying = engine.carrying()
    if (carrying.length === 0) return
    for (const attempt of carrying) {
      if (!graceOf.has(attempt)) graceOf.set(attempt, await laneGrace(attempt))
      if (present() - began >= graceOf.get(attempt)!) engine.revoke(attempt, 'killed')
    }
    await world.timer.sleep(lookMs, hurry)
  }

  async function laneGrace(attempt: string): Promise<number> {
    const lane = await database.read((reader) => laneOfAttempt(reader, attempt))
    return lane === null ? 0 : grace[`${lane}Ms`]
  }
}
