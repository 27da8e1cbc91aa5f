/**
 * The clean stop: nothing new starts, what is under way may come to its end within the grace of its lane, and what has not is ended. Of an implementer the
 * work is kept, and the next daemon goes on with it; anything else is ready again. It never ends the daemon itself.
 *
 *     told to end ─▶ grace of the lane ─▶ ended ─▶ its work sealed ─▶ parked ···▶ resumed by the next start
 *     told again ─▶ nobody waits, and nothing more is sealed
 */
import type { OperatorSettings } from '../core/setting.ts'
import { laneOfAttempt } from '../store/task.ts'
import type { Daemon } from './daemon.ts'

/** How often is looked whether all has ended. */
const lookMs = 50

/** What a task is parked at whose daemon was told to end. */
export const drainScope = 'daemon'

/** The attempts that are ended to be parked, and when nobody waits for that any more. */
export type Parking = { drained: Set<string>; hurry: AbortController }

type Ports = Pick<Daemon, 'world' | 'engine' | 'database' | 'absence' | 'parking'> & {
  grace: OperatorSettings['drain']
}

/** Resolves when nothing is carried any more, or `hurry` fires: then without waiting. */
export async function drain(
  { world, engine, database, absence, parking, grace }: Ports,
  hurry: AbortSignal,
): Promise<void> {
  hurry.addEventListener('abort', () => parking.hurry.abort())
  if (hurry.aborted) parking.hurry.abort()
  const present = () => world.clock.mono() - absence.lostMs()
  const began = present()
  const graceOf = new Map<string, number>()
  while (!hurry.aborted) {
    const carrying = engine.carrying()
    if (carrying.length === 0) return
    for (const attempt of carrying) {
      if (!graceOf.has(attempt)) graceOf.set(attempt, await laneGrace(attempt))
      if (present() - began < graceOf.get(attempt)! || hurry.aborted) continue
      parking.drained.add(attempt)
      engine.revoke(attempt, 'killed')
    }
    await world.timer.sleep(lookMs, hurry)
  }

  async function laneGrace(attempt: string): Promise<number> {
    const lane = await database.read((reader) => laneOfAttempt(reader, attempt))
    return lane === null ? 0 : grace[`${lane}Ms`]
  }
}
