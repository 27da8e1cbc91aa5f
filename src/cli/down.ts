/** down: asks the daemon to end and comes back when it has. */
import { refuse } from '../core/refusal.ts'
import { isAlive, terminateProcess } from '../host/proc.ts'
import { daemonRow } from '../store/lease.ts'
import { answer, withDatabase, type Act } from './context.ts'
import { exitCode } from './exit-code.ts'
import { complain } from './failure.ts'

/** Ending what is under way takes a kill order per attempt, a few seconds each at worst. */
const patienceMs = 60_000
const lookMs = 50
/** After so long a person wants to know that something is still happening. */
const quietMs = 1500

export const down: Act = (context) =>
  withDatabase(context, async (database) => {
    const row = await database.read(daemonRow)
    const identity = row && { bootId: row.boot_id, pid: row.pid, startTime: row.start_time }
    if (!identity || !terminateProcess(identity))
      return answer(context, { down: true, wasUp: false }, 'The daemon was not up.')
    const { clock, timer } = context.world
    const began = clock.mono()
    let said = began
    while (isAlive(identity)) {
      const now = clock.mono()
      if (now - began > patienceMs)
        return complain(
          refuse(
            'daemon-slow',
            `the daemon (pid ${identity.pid}) has not ended yet; it was told to`,
            'look again: tri-agent status',
          ),
          context.json,
          exitCode.tryAgain,
        )
      if (now - said > quietMs) {
        context.note(`Ending what is under way… ${Math.round((now - began) / 1000)} s\n`)
        said = now
      }
      await timer.sleep(lookMs)
    }
    return answer(
      context,
      { down: true, wasUp: true, pid: identity.pid },
      'The daemon has ended. Queued tasks stay: tri-agent up',
    )
  })
