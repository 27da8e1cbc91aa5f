/** up --detach: starts this same program in the background and comes back once the daemon answers; if it does not, with what it said. */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { refuse, type Refusal } from '../core/refusal.ts'
import { nudge } from '../host/nudge.ts'
import { makeFolders } from '../host/path.ts'
import { startDetached } from '../host/process.ts'
import { openDatabase } from '../store/database.ts'
import { answer, type Context, type Said } from './context.ts'
import { exitCode } from './exit-code.ts'
import { complain } from './failure.ts'
import { findDaemon, type Presence } from './presence.ts'

/** A start takes a fraction of a second; a sandbox that is looked for, or trees left by a crash, some more. */
const patienceMs = 30_000
const lookMs = 25
const quietMs = 1500
/** So much of what a daemon said before it died is shown. */
const tailLines = 20

/** Node lets its young space grow while it starts and keeps it: an idle daemon holds 88 MB with this and 93 without. */
export const youngSpace = '--max-semi-space-size=2' // MB

export async function detach(context: Context, said: Said): Promise<number | Refusal> {
  const { env, paths, world } = context
  await makeFolders(paths)
  const other = await presence(context)
  if (other)
    return refuse('already-up', `a daemon is up already (pid ${other.pid})`, 'tri-agent status, or tri-agent down')
  const logStart = existsSync(paths.log) ? statSync(paths.log).size : 0
  const file = said.text('env-file')
  const fromFile = file === undefined ? [] : ['--env-file', resolve(context.cwd, file)] // its keys are nobody's environment
  const daemon = await startDetached({
    file: process.execPath,
    args: [
      ...process.execArgv,
      youngSpace,
      process.argv[1]!,
      'up',
      ...(said.flag('unattended') ? ['--unattended'] : []),
      ...fromFile,
    ],
    cwd: paths.stateFolder, // keeps no folder of the user's busy
    env: Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined)),
    log: paths.log,
  })
  let code: number | null | undefined
  void daemon.exit.then((exit) => (code = exit.code ?? exitCode.bug))
  const began = world.clock.mono()
  for (let quiet = began; ;) {
    const up = await presence(context)
    if (up?.pid === daemon.pid && (await nudge(paths.socket)))
      return answer(
        context,
        { up: true, pid: up.pid, rung: up.rung, log: paths.log },
        `Up: pid ${up.pid}, sandbox rung ${up.rung}. It writes to ${paths.log}.\nNext: tri-agent add "what you want", tri-agent watch; tri-agent down ends it.`,
      )
    if (code !== undefined) return died(context, logStart, code ?? exitCode.bug)
    const now = world.clock.mono()
    if (now - began > patienceMs)
      return complain(
        refuse(
          'daemon-slow',
          `the daemon (pid ${daemon.pid}) does not answer yet`,
          `see ${paths.log}, then: tri-agent status`,
        ),
        context.json,
        exitCode.tryAgain,
      )
    if (now - quiet > quietMs) {
      context.note(`Starting… ${Math.round((now - began) / 1000)} s\n`)
      quiet = now
    }
    await world.timer.sleep(lookMs)
  }
}

/** The living daemon. A database that is not there yet has none; one that was just made may not be readable for a moment. */
async function presence({ paths }: Context): Promise<Presence | null> {
  if (!existsSync(paths.database)) return null
  const database = openDatabase(paths.database)
  try {
    return await database.read(findDaemon)
  } finally {
    database.close()
  }
}

/** What the daemon itself said is the best explanation, so it is shown as it stands. */
function died({ paths, json }: Context, from: number, code: number): number {
  const lines = readFileSync(paths.log).subarray(from).toString('utf8').trim().split('\n')
  const tail = lines
    .slice(-tailLines)
    .map((line) => `  ${line}`)
    .join('\n')
  return complain(
    refuse('daemon-died', `the daemon ended while it started:\n${tail}`, `the whole log: ${paths.log}`),
    json,
    code || exitCode.refused,
  )
}
