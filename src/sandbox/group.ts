/**
 * The group rung, where there is no bubblewrap: a process group, an environment we wrote with a mark in it, and a lifeline. It does NOT hold files,
 * network or a daemon that left its group, wiped its environment and let go of its lifeline; what is left alive is looked for and reported, never hidden.
 * On the rung subreaper a process of ours (watcher.mjs) adopts such daemons and ends them, also when we have been killed; files and network are not held
 * there either, and a program that ends its watcher first is held no better than on the rung group.
 */
import { closeSync, constants, openSync, rmSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Duplex } from 'node:stream'
import { bootId, bornAt, hasProc, isAlive, killProcess, type ProcessIdentity, startTimeOf } from '../host/proc.ts'
import {
  cpuMsOf,
  descendantsOf,
  inGroup,
  killWithEnvironment,
  lifelineIn,
  markVariable,
  treeMark,
  withEnvironment,
  withOpen,
} from '../host/process-tree.ts'
import { type Child, signalGroup } from '../host/process.ts'
import type { World } from '../host/world.ts'
import { type Born, finish, tellOrEnd, textOf } from './finish.ts'
import { launcherArgv, launcherEnv, type LauncherTools } from './launcher.ts'
import type { Box, Contained, KillReport, Sandbox } from './sandbox.ts'

/** The descriptor of a file that nobody reads: whoever has it open is of this tree, whatever else he got rid of. */
const lifelineAt = 3
/** Where the watcher of the rung subreaper is told what to do. */
const ordersAt = 4

/** Beside this file in the source tree, beside the chunk in the bundle. */
const watcher = join(import.meta.dirname, 'watcher.mjs')

/** A sandbox on this rung; with a watcher as the parent of all that is left behind, on the one above it. `path` is the PATH its programs are found on. */
export function groupSandbox(world: World, path: string, tools: LauncherTools, isWatched = false): Sandbox {
  return {
    rung: isWatched ? 'subreaper' : 'group',
    contained: false,
    overlays: false,
    view: ({ work, home, out, tmp }, gateway) => ({
      work,
      home,
      out,
      tmp,
      gatewayUrl: gateway?.url ?? '',
      node: process.execPath,
    }),
    start: (box, born) => start(world, path, tools, isWatched, box, born),
  }
}

async function start(
  world: World,
  path: string,
  tools: LauncherTools,
  isWatched: boolean,
  box: Box,
  born?: Born,
): Promise<Contained> {
  const { area, argv } = box
  // The mark begins with what can be found out from the folder alone: whoever comes after us knows that.
  const chance = world.secret(8)
  const mark = `${treeMark(area.root)}-${chance}`
  const lifeline = `${lifelineIn(area.root)}${chance}`
  const held = openSync(lifeline, constants.O_CREAT | constants.O_EXCL | constants.O_RDONLY, 0o600)
  rmSync(lifeline)
  const env = { ...environmentOf(box, path), [markVariable]: mark }
  const plain = { args: [...launcherArgv(tools, lifelineAt), ...argv], env, extra: [held] as const }
  const watched = {
    args: [...launcherArgv(tools, ordersAt), process.execPath, watcher, `${ordersAt}`, `${lifelineAt}`],
    env: launcherEnv,
    extra: [held, 'pipe'] as const,
  }
  const { args: words, ...how } = isWatched ? watched : plain
  const [file = '', ...args] = words
  const spawned = world.spawn({ file, args, cwd: area.work, stdin: box.stdin, ...how })
  const child = await spawned.finally(() => closeSync(held))
  const startTime = bornAt(child.pid)
  const orders = isWatched ? child.pipes[ordersAt]! : null
  const said = orders && textOf(orders) // before anything is waited for: it may end meanwhile
  await tellOrEnd(child, { pid: child.pid, startTime }, born)
  orders?.write(`${JSON.stringify({ argv, env })}\n`)
  const rest = () =>
    hasProc() ? kill(world, child, startTime, { entry: `${markVariable}=${mark}`, lifeline }) : killBlind(world, child)
  let killing: Promise<KillReport> | null = null
  return finish(world, child, {
    startTime,
    cpuMs: () => cpuMsOf([child.pid, ...descendantsOf(child.pid)]),
    stop: (signal) => void (orders ? orders.write(`${signal}\n`) : child.signal(signal)),
    kill: () => (killing ??= orders && said ? killWatched(world, child, orders, said, rest) : rest()),
  })
}

/** The whole environment: the box's own words win over ours. */
const environmentOf = ({ area, env, toolchain }: Box, path: string): Record<string, string> => ({
  PATH: [...(toolchain ?? []), path].join(delimiter),
  HOME: area.home,
  TMPDIR: area.tmp,
  LANG: 'C.UTF-8',
  NO_PROXY: '127.0.0.1,localhost',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_TERMINAL_PROMPT: '0',
  ...env,
  SHLVL: launcherEnv.SHLVL, // keeps the launcher's shell from reading start-up files of a HOME that an agent wrote
})

/** The watcher ends all; what it could not, or what is left because it was ended itself, is looked for all the same. */
async function killWatched(
  world: World,
  child: Child,
  orders: Duplex,
  said: Promise<string>,
  rest: () => Promise<KillReport>,
): Promise<KillReport> {
  const began = world.clock.mono()
  const late = new AbortController()
  orders.end()
  await Promise.race([child.exit, world.timer.sleep(2 * sweepMs, late.signal)])
  late.abort()
  const { survivors } = await rest()
  const told = Number(/"survivors":(\d+)/.exec(await said)?.[1] ?? 0)
  return { method: 'subreaper', survivors: Math.max(told, survivors), ms: Math.round(world.clock.mono() - began) }
}

/** How long we sweep before we report survivors. */
const sweepMs = 2000
/** Between two looks, so that one that respawns is met again. */
const lookMs = 3
/** A list of processes misses who is born while it is read: so often nobody may be there before nobody is. */
const quietLooks = 2

async function kill(
  world: World,
  child: Child,
  startTime: number | null,
  { entry, lifeline }: { entry: string; lifeline: string },
): Promise<KillReport> {
  const began = world.clock.mono()
  const boot = bootId()
  const seen = new Map<string, ProcessIdentity>()
  // Once the leader is gone its pid may be anybody's: then only marked processes, known ones and those of its old group are ours.
  const leader = { bootId: boot, pid: child.pid, startTime }
  const look = (): number[] => {
    const isOurs = isAlive(leader)
    const stranger = !isOurs && startTimeOf(child.pid) !== null
    const roots = [...seen.values()].filter(isAlive).map(({ pid }) => pid)
    const met = [
      ...(isOurs ? [child.pid] : []),
      ...[...(isOurs ? [child.pid] : []), ...roots].flatMap(descendantsOf),
      ...(stranger || startTime === null ? [] : inGroup(child.pid, startTime)),
      ...withEnvironment(entry),
      ...withOpen(lifeline),
    ]
    for (const pid of met) {
      const identity = { bootId: boot, pid, startTime: startTimeOf(pid) }
      if (identity.startTime !== null) seen.set(`${pid} ${identity.startTime}`, identity)
    }
    return [...seen.values()].filter(isAlive).map(({ pid }) => pid)
  }
  const isLate = () => world.clock.mono() - began >= sweepMs
  /** Ends who bears the mark as he is met; false once nobody was for several times. */
  const chase = async (): Promise<boolean> => {
    let met = false
    for (let quiet = 0; quiet < quietLooks && !isLate(); await world.timer.sleep(lookMs)) {
      const isQuiet = killWithEnvironment(entry) === 0
      quiet = isQuiet ? quiet + 1 : 0
      met ||= !isQuiet
    }
    return met
  }
  let left = look()
  for (let hunting = true; hunting && !isLate(); left = look()) {
    for (const pid of left) killProcess(pid)
    hunting = (await chase()) || left.length > 0
  }
  return { method: 'group', survivors: left.length, ms: Math.round(world.clock.mono() - began) }
}

/** Where processes cannot be listed, only the group itself can be ended and asked after; what left it is not known. */
async function killBlind(world: World, child: Child): Promise<KillReport> {
  const began = world.clock.mono()
  let left = child.signal('SIGKILL')
  while (left && world.clock.mono() - began < sweepMs) {
    await world.timer.sleep(lookMs)
    left = signalGroup(child.pid, 'SIGKILL')
  }
  return { method: 'group, unlisted', survivors: Number(left), ms: Math.round(world.clock.mono() - began) }
}
