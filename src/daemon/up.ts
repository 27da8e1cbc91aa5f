/** `up` in the foreground: the daemon until SIGTERM or SIGINT. The first drains, the second ends what is under way at once. */
import { isRefusal } from '../core/refusal.ts'
import type { LoadedConfig } from '../host/config.ts'
import { type OperatorSettings, vendors } from '../core/setting.ts'
import { takeOut } from '../host/environ.ts'
import { Fault } from '../host/fault.ts'
import { findPaths, type Env } from '../host/path.ts'
import { programVersion } from '../host/version.ts'
import { realWorld } from '../host/world.ts'
import type { Climbed } from '../sandbox/create.ts'
import { startDaemon } from './daemon.ts'
import { notesOnPrices } from './price-note.ts'

export type UpOptions = {
  env: Env
  /** The settings, as they were read for the question whether a repository's commands may be executed; our folders are made by then. */
  loaded: LoadedConfig
  unattended: boolean
  climbed: Promise<Climbed>
  /** Remarks on the settings: what was accepted and is not used. */
  note: (text: string) => void
  onReady: (ready: { pid: number; port: number; rung: string }) => void
}

/** Starts the daemon and stays until it is told to stop. Answers the exit code; a refusal is thrown as a Fault with its hint. */
export async function up({ env, loaded, unattended, climbed, note, onReady }: UpOptions): Promise<number> {
  const paths = findPaths(env)
  const world = realWorld()
  for (const each of [...loaded.notes, ...(await notesOnPrices(world, loaded.settings))]) note(each)
  const own = { ...env }
  const shown = takeOut(namesOf(loaded.settings))
  if (shown.length > 0) note(`${shown.join(', ')}: other programs of yours can read it in this process's environment`)
  const settings = unattended ? { ...loaded.settings, unattended: true } : loaded.settings
  const started = await startDaemon({
    world,
    paths,
    settings,
    file: loaded.file,
    env: own,
    version: programVersion(),
    pid: process.pid,
    climbed,
    note,
  })
  if (isRefusal(started)) throw new Fault(started.refused, started.why, started.hint ? { hint: started.hint } : {})
  await using running = started
  const told = toldToStop()
  onReady({ pid: process.pid, port: running.port, rung: running.rung })
  const lost = await Promise.race([told.once, running.lost])
  if (lost) {
    try {
      await running[Symbol.asyncDispose]()
    } catch {
      // what it has to say on its way out there is nowhere to write
    }
    throw lost
  }
  await running.drain(told.twice)
  return 0
}

/** Variables that may hold a secret of the operator's. */
const namesOf = ({ families, setup }: OperatorSettings): string[] => [
  ...Object.values(vendors).flatMap(({ keyVariables }) => keyVariables),
  ...Object.values(families).flatMap(({ keyFrom }) => ('env' in keyFrom ? [keyFrom.env] : [])),
  ...setup.credentials.flatMap(({ from }) => ('env' in from ? [from.env] : [])),
  'GRAFANA_PASSWORD',
]

/** Told once it drains, told twice it ends what is under way at once, told three times it waits for nothing: the next start finds what it left. */
function toldToStop(): { once: Promise<void>; twice: AbortSignal } {
  const hurry = new AbortController()
  const once = new Promise<void>((resolve) => {
    let times = 0
    for (const name of ['SIGTERM', 'SIGINT'] as const)
      process.on(name, () => {
        times += 1
        if (times > 2) process.exit(75)
        if (times > 1) hurry.abort()
        resolve()
      })
  })
  return { once, twice: hurry.signal }
}
