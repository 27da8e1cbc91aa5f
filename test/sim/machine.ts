/**
 * The machine a simulated daemon stands on: its process table, its boots, its disk and memory, the provider its gateway asks. It outlives every daemon:
 * what is here when one dies is what the next one finds.
 */
import { Readable } from 'node:stream'
import type { Exit } from '../../src/host/process.ts'
import type { ProcessIdentity } from '../../src/host/proc.ts'
import type { Area, Box, Contained, Sandbox } from '../../src/sandbox/sandbox.ts'
import type { VirtualWorld } from '../../sim/world.ts'
import type { Bug } from './bug.ts'
import { diceFor, type Dice } from './chance.ts'
import type { Hearing } from './door.ts'
import type { GitModel } from './git.ts'
import type { Life } from './life.ts'

/** What a contained program can do. Once it is dead nothing it waits for ever comes. */
export type Self = {
  box: Box
  attempt: string
  say(line: string): void
  sleep(ms: number): Promise<void>
  /** A request to a model, with the key it was given. */
  ask(asked: Asked): Promise<Answered>
  /** SIGTERM does nothing to it. */
  ignoreTerm(): void
}

export type Asked = { model: string; input: number; output: number }
/** `status` null: no connection. */
export type Answered = { status: number | null; input: number; output: number }
export type Program = (self: Self) => Promise<number>

export type Process = {
  pid: number
  startTime: number
  boot: number
  attempt: string
  isAlive: boolean
  /** Its daemon has written it down; until then it dies with that. */
  isWritten: boolean
  ignoresTerm: boolean
  /** Monotonic ms until which not even SIGKILL ends it: it hangs in the kernel. */
  stuckUntil: number
  die(exit: Exit): void
}

/** What a provider does instead of answering; `quota` is a 429 for hours, `no-network` no connection at all. */
export type TroubleKind = '429' | 'quota' | '500' | '529' | 'hang' | 'no-network'
/** What of a family's provider is wrong, and until when (monotonic ms). */
export type Trouble = { family: string; kind: TroubleKind; until: number }

export type Machine = {
  world: VirtualWorld
  seed: number
  git: GitModel
  boot: number
  nextPid: number
  processes: Map<number, Process>
  /** What is wrong with the daemon on purpose. */
  bug: Bug | null
  /** Faults are over: everybody is honest, everything works. */
  isCalm: boolean
  diskFullUntil: number
  /** When its memory began to be short, and until when it is (monotonic ms). */
  memoryShort: { since: number; until: number }
  troubles: Trouble[]
  /** When there began to be no network, and until when there is none (monotonic ms). */
  dark: { since: number; until: number }
  /** Workers that do not get to run, by attempt, and until when (monotonic ms): nothing reaches them, and what they started goes on. */
  frozen: Map<string, number>
  /** Monotonic ms until which no beat arrives. */
  beatsLostUntil: number
  /** When it fell asleep, and for how long. */
  sleeps: { at: number; ms: number }[]
  /** How often its wall clock was set forward. */
  leaps: number
  /** At the so-manieth point after the next landing the daemon dies; null: it does not. */
  ambush: number | null
  /** The daemon that stands was told to end. */
  isDraining: boolean
  /** When a write last found no room on the disk, and when one last did that came a second after another: a daemon that knows tries so (monotonic ms). */
  refused: { at: number; againAt: number }
  /** What was made and what was held for each request that was let through, by its hold. */
  bills: Map<number, { madeNanoUsd: number; mostNanoUsd: number }>
  /** How often a daemon has written, or begun to. */
  writes: number
  /** The gateway that stands now, or null. */
  gateway: { ask(key: string, asked: Asked, signal: { isDead(): boolean }): Promise<Answered>; drop(): void } | null
  /** Where the daemon that stands now hears commands, or null. */
  door: Hearing | null
  /** How often each thing was done before, by name: the same request may be answered differently the next time. */
  times: Map<string, number>
  /** Trees on which every gate was green at some time, as the gates themselves saw them. */
  green: Set<string>
  /** The family of the model that wrote each commit, as its program knows. */
  authors: Map<string, string>
  /** Which family saw which tree: `FAMILY TREE`. */
  reviewed: Set<string>
  /** Every time a branch was moved by a landing. */
  landings: { commit: string; target: string; message: string }[]
  /** The program a box starts. */
  programs(box: Box): Program
}

/** A machine on which nothing has happened yet, and nothing goes wrong. */
export const newMachine = (world: VirtualWorld, seed: number, git: GitModel): Machine => ({
  world,
  seed,
  git,
  boot: 1,
  nextPid: 1000,
  processes: new Map(),
  bug: null,
  isCalm: false,
  diskFullUntil: 0,
  memoryShort: { since: 0, until: 0 },
  troubles: [],
  dark: { since: 0, until: 0 },
  frozen: new Map(),
  beatsLostUntil: 0,
  sleeps: [],
  leaps: 0,
  ambush: null,
  isDraining: false,
  refused: { at: 0, againAt: 0 },
  bills: new Map(),
  writes: 0,
  gateway: null,
  door: null,
  times: new Map(),
  green: new Set(),
  authors: new Map(),
  reviewed: new Set(),
  landings: [],
  programs: () => async () => 0,
})

/** Counts, and answers dice for this one time. */
export function nextTime({ seed, times }: Machine, name: string): Dice & { time: number } {
  const time = (times.get(name) ?? 0) + 1
  times.set(name, time)
  return { ...diceFor(seed, `${name} ${time}`), time }
}

/** The attempt an area belongs to: `…/areas/ATTEMPT/agent`. */
const attemptOf = ({ root }: Pick<Area, 'root'>): string => /(?:^|\/)areas\/([^/]+)/.exec(root)?.[1] ?? root

export const never = <T>(): Promise<T> => new Promise<T>(() => {})

/** The containment of one daemon's life on this machine. */
export function modelSandbox(machine: Machine, life: Life): Sandbox {
  return {
    rung: 'namespace',
    contained: true,
    overlays: false,
    view: () => ({
      work: '/work',
      home: '/home/agent',
      out: '/out',
      tmp: '/tmp',
      gatewayUrl: 'http://127.0.0.1:8701',
      node: 'node',
    }),
    start: async (box, born) => {
      await life.pass('sandbox start begins')
      await life.delay(20, 400)
      const [process, streams, release] = startProcess(machine, box, life)
      await life.pass('sandbox process born')
      try {
        await born?.({ pid: process.pid, startTime: process.startTime })
      } catch (error) {
        process.die({ code: null, signal: 'SIGKILL' })
        throw error
      }
      process.isWritten = true
      release()
      await life.pass('sandbox start ended')
      return contained(machine, life, process, streams)
    },
  }
}

type Streams = { stdout: Readable; stderr: Readable; exit: Promise<Exit> }

/** A process that does nothing until it is released. */
function startProcess(machine: Machine, box: Box, life: Life): [Process, Streams, () => void] {
  const { world } = machine
  const stdout = new Readable({ read() {} })
  const stderr = new Readable({ read() {} })
  const { promise: exit, resolve } = Promise.withResolvers<Exit>()
  const cancels = new Set<() => void>()
  const process: Process = {
    pid: machine.nextPid++,
    startTime: Math.floor(world.clock.mono()),
    boot: machine.boot,
    attempt: attemptOf(box.area),
    isAlive: true,
    isWritten: false,
    ignoresTerm: false,
    stuckUntil: 0,
    die(end) {
      if (!process.isAlive) return
      process.isAlive = false
      machine.processes.delete(process.pid)
      for (const cancel of cancels) cancel()
      if (life.isDead()) return // nobody is there to hear of it
      stdout.push(null)
      stderr.push(null)
      resolve(end)
    },
  }
  machine.processes.set(process.pid, process)
  const self: Self = {
    box,
    attempt: process.attempt,
    say: (line) => void (process.isAlive && !life.isDead() && stdout.push(`${line}\n`)),
    sleep: (ms) =>
      new Promise((awake) => {
        const cancel = world.timer.after(ms, () => {
          cancels.delete(cancel)
          awake()
        })
        cancels.add(cancel)
      }),
    async ask(asked) {
      const key = box.env['TRI_AGENT_KEY'] ?? ''
      const answer = machine.gateway
        ? await machine.gateway.ask(key, asked, { isDead: () => !process.isAlive })
        : { status: null, input: 0, output: 0 }
      return process.isAlive ? answer : never()
    },
    ignoreTerm: () => void (process.ignoresTerm = true),
  }
  const release = () => {
    if (!process.isAlive) return
    machine
      .programs(box)(self)
      .then(
        (code) => process.die({ code, signal: null }),
        (error: unknown) => {
          life.broke(error)
          process.die({ code: 70, signal: null })
        },
      )
  }
  return [process, { stdout, stderr, exit }, release]
}

function contained(machine: Machine, life: Life, process: Process, streams: Streams): Contained {
  const { world } = machine
  return {
    pid: process.pid,
    startTime: process.startTime,
    cpuMs: () => null,
    ...streams,
    exit: streams.exit.then(async (exit) => {
      await thawed(machine, life, process.attempt)
      return exit
    }),
    stop() {
      if (!process.ignoresTerm) world.timer.after(50, () => process.die({ code: 143, signal: null }))
    },
    async kill() {
      await life.pass('kill begins')
      const began = world.clock.mono()
      while (process.isAlive) {
        await life.delay(5, 60)
        if (endProcess(machine, process.pid)) break
        await life.delay(900, 1100)
      }
      await life.pass('kill ended')
      return { method: 'namespace', survivors: 0, ms: Math.round(world.clock.mono() - began) }
    },
  }
}

/** SIGKILL. False when it is there and does not die. */
export function endProcess(machine: Machine, pid: number): boolean {
  const process = machine.processes.get(pid)
  if (!process) return true
  if (machine.world.clock.mono() < process.stuckUntil) return false
  process.die({ code: null, signal: 'SIGKILL' })
  return true
}

export const isFrozen = ({ frozen, world }: Machine, attempt: string): boolean =>
  (frozen.get(attempt) ?? 0) > world.clock.mono()

/** Resolves once the worker of an attempt gets to run. */
export async function thawed(machine: Machine, life: Life, attempt: string): Promise<void> {
  while (isFrozen(machine, attempt)) {
    const left = machine.frozen.get(attempt)! - machine.world.clock.mono()
    await life.delay(left, left)
  }
}

/** Is there no network? */
export const isDark = ({ dark, world }: Machine): boolean => dark.until > world.clock.mono()

/** What is wrong with a family's provider now. */
export const troubleOf = (machine: Machine, family: string): TroubleKind | null =>
  isDark(machine) ? 'no-network' : troubleAt(machine, family)

const troubleAt = ({ troubles, world }: Machine, family: string): TroubleKind | null =>
  troubles.find((each) => each.family === family && each.until > world.clock.mono())?.kind ?? null

export const bootName = (boot: number): string => `boot-${boot}`

/** Is it in the process table? */
export function isAliveOn(machine: Machine, daemons: ReadonlySet<number>, identity: ProcessIdentity): boolean {
  if (identity.bootId !== bootName(machine.boot)) return false
  if (daemons.has(identity.pid)) return true
  return machine.processes.get(identity.pid)?.startTime === identity.startTime
}
