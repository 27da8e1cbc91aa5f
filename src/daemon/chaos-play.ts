/**
 * Chaos from its first folder to its report: in a room of its own where the machine gives one, else beside everybody else, without a full disk and without a
 * network that goes. Whoever starts it is started again inside of the room, with the same words.
 */
import { cp, mkdir, rm } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import type { Env } from '../host/path.ts'
import { makeTemporary } from '../host/temporary.ts'
import type { World } from '../host/world.ts'
import { removeTree } from '../sandbox/area.ts'
import { pathOf } from './ahead.ts'
import { chaos, type Chaos } from './chaos.ts'
import { isGood, reportJson, reportText, type Told } from './chaos-report.ts'
import { enterRoom } from './chaos-room.ts'

export type ChaosAsked = {
  world: World
  env: Env
  /** Options of Node, then the program that is killed. */
  program: readonly string[]
  /** Node's words for this very call, for the room. */
  again: readonly string[]
  seed: number
  kills: number
  forMs: number
  floor: number
  /** A blackout of this length beside the short ones. */
  longMs: number | null
  /** Leave the state, also where nothing is wrong with it. */
  keep: boolean
  say: 'text' | 'json' | 'both'
  out(text: string): void
  note(text: string): void
}

/** Whoever has this in his environment is inside: it names the folder. */
const roomVariable = 'TRI_AGENT_CHAOS_ROOM'

/** Answers the exit code: 0 when nothing was lost, doubled or left. */
export async function playChaos(asked: ChaosAsked): Promise<number> {
  const { world, env, again, out, note } = asked
  const inside = env[roomVariable]
  if (inside !== undefined) return carryOut(asked, inside, [], true)
  const folder = await makeTemporary('tri-chaos')
  try {
    const passed = Object.fromEntries(
      Object.entries(env).filter((each): each is [string, string] => each[1] !== undefined),
    )
    const own = { ...passed, [roomVariable]: folder }
    const entered = await enterRoom({ world, folder, path: pathOf(env), args: again, env: own, out, note })
    if (typeof entered === 'number') return entered
    return await carryOut(asked, folder, [`a full disk, a network that goes: no room for it here (${entered})`], false)
  } finally {
    await removeTree(folder)
  }
}

async function carryOut(asked: ChaosAsked, folder: string, lacking: string[], alone: boolean): Promise<number> {
  const { world, env, program, seed, kills, forMs, floor, longMs, keep, say, out, note } = asked
  const powers = { disk: alone, network: alone, longMs }
  let kept: string | null = null
  const leave = async (done: Chaos): Promise<void> => {
    if (keep || !isGood({ ...done, floor })) kept = await keepState(folder)
  }
  const done = await chaos({
    world,
    folder,
    path: pathOf(env),
    program,
    seed,
    kills,
    forMs,
    floor,
    powers,
    alone,
    note,
    leave,
  })
  const told: Told = { ...done, lacking, floor, kept }
  if (say !== 'json') out(reportText(told))
  if (say !== 'text') out(`${reportJson(told)}\n`)
  return isGood(told) ? 0 : 1
}

/** Beside the folder, which goes with its room. Sockets and what belongs to work under way are no state. */
async function keepState(folder: string): Promise<string> {
  const kept = join(dirname(folder), `${basename(folder)}-kept`)
  await rm(kept, { recursive: true, force: true })
  await mkdir(kept, { mode: 0o700 })
  const isState = (path: string) => !/(^|\/)(areas|sockets|layers|t|\.cache)(\/|$)/.test(relative(folder, path))
  await cp(folder, kept, { recursive: true, filter: isState, verbatimSymlinks: true })
  return kept
}
