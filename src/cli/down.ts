/** down: asks the daemon to end and comes back when it has. Whoever cannot wait says --now, or presses Ctrl-C: once to tell it again, twice to kill it. */
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { defaultSettings } from '../core/setting.ts'
import { isAlive, killProcess, terminateProcess, type ProcessIdentity } from '../host/proc.ts'
import { isListened } from '../host/nudge.ts'
import type { Database } from '../store/database.ts'
import { daemonRow } from '../store/lease.ts'
import { answer, withDatabase, type Act, type Context } from './context.ts'
import { exitCode } from './exit-code.ts'
import { complain } from './failure.ts'

/** Ending what is under way takes a kill order per attempt, a few seconds each at worst. */
const endMs = 60_000
const lookMs = 50
/** After so long a person wants to know that something is still happening. */
const quietMs = 1500

export const down: Act = (context, said) =>
  withDatabase(context, async (database) => {
    const ended = await endDaemon(context, database, said.flag('now') === true)
    if (ended === null) return answer(context, { down: true, wasUp: false }, 'The daemon was not up.')
    if (isRefusal(ended))
      return ended.refused === 'daemon-slow' ? complain(ended, context.json, exitCode.tryAgain) : ended
    return answer(
      context,
      { down: true, wasUp: true, pid: ended.pid },
      ended.killed
        ? 'The daemon was killed. What it left is looked after at its next start: tri-agent up'
        : 'The daemon has ended. Queued tasks stay: tri-agent up',
    )
  })

const notHere = refuse(
  'daemon-elsewhere',
  'the daemon is not among the processes here: it is in another container',
  'tri-agent down, in there',
)

/** Tells the daemon of this database to end and waits for it; null where none was up. Refuses `daemon-slow`, `daemon-elsewhere`. */
export async function endDaemon(
  context: Context,
  database: Database,
  now: boolean,
): Promise<{ pid: number; killed: boolean } | Refusal | null> {
  const row = await database.read(daemonRow)
  const identity = row && { bootId: row.boot_id, pid: row.pid, startTime: row.start_time }
  if (!identity || !terminateProcess(identity)) return (await isListened(context.paths.socket)) ? notHere : null
  if (now) terminateProcess(identity, 'SIGINT') // another signal, because two of one kind may arrive as one
  const hurry = listenForHurry(context, identity)
  const ended = await waitForEnd(context, identity, endMs + (now ? 0 : await longestGraceMs(context)))
  hurry.end()
  if (ended) return { pid: identity.pid, killed: hurry.killed() }
  return refuse(
    'daemon-slow',
    `the daemon (pid ${identity.pid}) has not ended yet; it was told to`,
    'look again: tri-agent status',
  )
}

/** False when it still lives after all patience. */
async function waitForEnd(
  { world: { clock, timer }, note }: Context,
  identity: ProcessIdentity,
  patienceMs: number,
): Promise<boolean> {
  const began = clock.mono()
  let said = began
  while (isAlive(identity)) {
    const now = clock.mono()
    if (now - began > patienceMs) return false
    if (now - said > quietMs) {
      note(`Ending what is under way… ${Math.round((now - began) / 1000)} s\n`)
      said = now
    }
    await timer.sleep(lookMs)
  }
  return true
}

/** What is under way is given so long to end by itself. */
async function longestGraceMs({ paths, env }: Context): Promise<number> {
  const { loadConfig } = await import('../host/config.ts')
  const loaded = await loadConfig({ file: paths.configFile, env })
  const { drain } = isRefusal(loaded) ? defaultSettings(1) : loaded.settings
  return Math.max(drain.criticalMs, drain.normalMs, drain.backgroundMs)
}

/** The first Ctrl-C tells the daemon again, which then ends what is under way; the second kills it. Neither loses what was acknowledged. */
function listenForHurry({ note }: Context, identity: ProcessIdentity): { end(): void; killed(): boolean } {
  let times = 0
  let killed = false
  const hear = () => {
    times += 1
    if (times === 1 && terminateProcess(identity)) note('Told it to end at once. Ctrl-C again kills it.\n')
    else if (isAlive(identity)) killed = killProcess(identity.pid)
  }
  process.on('SIGINT', hear)
  return { end: () => void process.off('SIGINT', hear), killed: () => killed }
}
