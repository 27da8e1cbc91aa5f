/**
 * The group rung, where there is no bubblewrap: a process group, an environment we wrote with a mark in it, and a lifeline. It does NOT hold files,
 * network or a daemon that left its group, wiped its environment and let go of its lifeline; what is left alive is looked for and reported, never hidden.
 */
import { closeSync, constants, openSync, rmSync } from 'node:fs'
import { delimiter } from 'node:path'
import {
  bootId,
  bornAt,
  descendantsOf,
  hasProc,
  inGroup,
  isAlive,
  killProcess,
  lifelineIn,
  markVariable,
  type ProcessIdentity,
  startTimeOf,
  treeMark,
  withEnvironment,
  withOpen,
} from '../host/proc.ts'
import { type Child, signalGroup } from '../host/process.ts'
import type { World } from '../host/world.ts'
import { type Born, finish, tellOrEnd } from './finish.ts'
import { launcherArgv, launcherEnv, type LauncherTools } from './launcher.ts'
import type { Box, Contained, KillReport, Sandbox } from './sandbox.ts'

/** The descriptor of a file that nobody reads: whoever has it open is of this tree, whatever else he got rid of. */
const lifelineAt = 3

/** A sandbox on this rung. `path` is the PATH its programs are found on. */
export function groupSandbox(world: World, path: string, tools: LauncherTools): Sandbox {
  return {
    rung: 'group',
    contained: false,
    view: ({ work, home, out, tmp }, gateway) => ({ work, home, out, tmp, gatewayUrl: gateway?.url ?? '' }),
    start: (box, born) => start(world, path, tools, box, born),
  }
}

async function start(world: World, path: string, tools: LauncherTools, box: Box, born?: Born): Promise<Contained> {
  const { area } = box
  // The mark begins with what can be found out from the folder alone: whoever comes after us knows that.
  const chance = world.secret(8)
  const mark = `${treeMark(area.root)}-${chance}`
  const lifeline = `${lifelineIn(area.root)}${chance}`
  const held = openSync(lifeline, constants.O_CREAT | constants.O_EXCL | constants.O_RDONLY, 0o600)
  rmSync(lifeline)
  const [file = '', ...args] = [...launcherArgv(tools, lifelineAt), ...box.argv]
  const env = {
    PATH: [...(box.toolchain ?? []), path].join(delimiter),
    HOME: area.home,
    TMPDIR: area.tmp,
    LANG: 'C.UTF-8',
    NO_PROXY: '127.0.0.1,localhost',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    ...box.env,
    SHLVL: launcherEnv.SHLVL, // keeps the launcher's shell from reading start-up files of a HOME that an agent wrote
    [markVariable]: mark,
  }
  const spec = { file, args, cwd: area.work, env, stdin: box.stdin, extra: [held] }
  const child = await world.spawn(spec).finally(() => closeSync(held))
  const startTime = bornAt(child.pid)
  await tellOrEnd(child, { pid: child.pid, startTime }, born)
  let killing: Promise<KillReport> | null = null
  return finish(world, child, {
    startTime,
    stop: (signal) => void child.signal(signal),
    kill: () =>
      (killing ??= hasProc()
        ? kill(world, child, startTime, { entry: `${markVariable}=${mark}`, lifeline })
        : killBlind(world, child)),
  })
}

/** How long we sweep before we report survivors. */
const sweepMs = 2000
/** Between two looks, so that one that respawns is met again. */
const lookMs = 5

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
  let left = look()
  while (left.length > 0 && world.clock.mono() - began < sweepMs) {
    for (const pid of left) killProcess(pid)
    await world.timer.sleep(lookMs)
    left = look()
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
