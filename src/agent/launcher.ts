/**
 * The launcher: the one place that starts an agent. Writes what its CLI wants in HOME, reads its output line by line with caps, feeds the parser,
 * and sees it off: polite stop, grace, kill; whatever happened, nothing of it is left when `launch` returns.
 */
import { lstat, mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import { outcomes, type Outcome } from '../core/outcome.ts'
import { Fault } from '../host/fault.ts'
import type { Exit } from '../host/process.ts'
import type { World } from '../host/world.ts'
import type { AgentEnd, AgentEvent, AgentParser, LaunchPlan } from './agent.ts'
import { readLines } from './lines.ts'
import { watchPlight } from './plight.ts'

/** What `start` gives: a contained process, as sandbox/sandbox.ts describes it. Its streams end soon after it does. */
export type StartedProcess = {
  pid: number
  stdout: Readable
  stderr: Readable
  exit: Promise<Exit>
  stop(signal: 'SIGTERM' | 'SIGINT'): void
  kill(): Promise<{ method: string; survivors: number; ms: number }>
}

export type LaunchOptions = {
  world: World
  parser: AgentParser
  plan: LaunchPlan
  start(plan: LaunchPlan): Promise<StartedProcess>
  /** Host folder that is the agent's HOME. */
  home: string
  limits: { lineBytes: number; totalBytes: number; graceMs: number }
  /** Its reason is the Outcome word. */
  signal: AbortSignal
  onEvent(event: AgentEvent): void
  onOutput(stream: 'stdout' | 'stderr', line: string, isCut: boolean): void
}

export type Launched = AgentEnd & {
  exit: Exit
  killed: { method: string; survivors: number; ms: number }
  lines: number
  bytes: number
}

/** Starts the plan and sees it through. Throws what `start` throws; an agent's own failures are its outcome. */
export async function launch(options: LaunchOptions): Promise<Launched> {
  const { world, parser, plan, home, limits, signal } = options
  if (signal.aborted) return neverStarted(parser, signal)
  await writeFiles(home, plan.files)
  const started = await options.start(plan)
  let forget = () => {}
  const leave = () => {
    started.stop('SIGTERM')
    const cancel = world.timer.after(limits.graceMs, () => void started.kill())
    void started.exit.then(cancel)
  }
  try {
    signal.addEventListener('abort', leave, { once: true })
    forget = () => signal.removeEventListener('abort', leave)
    if (signal.aborted) leave() // while it was being started
    const plight = watchPlight()
    const onEvent = (event: AgentEvent) => {
      plight.onEvent(event)
      options.onEvent(event)
    }
    const heard = listen({ ...options, onEvent }, started)
    const end = started.exit.then(async (exit) => {
      const stopped = signal.aborted // what comes after its own end did not end it
      return { exit, stopped, killed: await started.kill() }
    })
    const [{ exit, stopped, killed }] = await Promise.all([end, heard.done])
    const said = parser.end(stopped ? { ...exit, stopped: stopWord(signal) } : exit)
    const flood = { outcome: 'failed' as const, reason: `a flood: it printed more than ${limits.totalBytes} bytes` }
    const stuck = stopped ? plight.say(stopWord(signal)) : null
    const reason = stuck === null ? said.reason : `${said.reason}: ${stuck}`
    return { ...said, reason, ...(heard.flooded() && !stopped ? flood : {}), exit, killed, ...heard.counted }
  } finally {
    forget()
    await started.kill() // also when a listener threw: nothing survives
  }
}

/** Hears both streams to their ends; a flood is ended at once and its rest is not passed on. */
function listen({ parser, limits, onEvent, onOutput }: LaunchOptions, started: StartedProcess) {
  const counted = { lines: 0, bytes: 0 }
  let flooded = false
  const hear = (stream: 'stdout' | 'stderr') =>
    readLines(started[stream], limits.lineBytes, {
      onBytes(bytes) {
        counted.bytes += bytes
        if (flooded || counted.bytes <= limits.totalBytes) return
        flooded = true
        void started.kill()
      },
      onLine(line, cut) {
        if (flooded) return
        counted.lines += 1
        onOutput(stream, line, cut)
        if (cut) onEvent({ type: 'warning', text: `a line longer than ${limits.lineBytes} bytes was cut` })
        for (const event of parser.push(stream, line)) onEvent(event)
      },
    })
  return { done: Promise.all([hear('stdout'), hear('stderr')]), flooded: () => flooded, counted }
}

const stopWord = ({ reason }: AbortSignal): Outcome => outcomes.find((each) => each === reason) ?? 'killed'

function neverStarted(parser: AgentParser, signal: AbortSignal): Launched {
  const exit = { code: null, signal: null }
  const killed = { method: 'never started', survivors: 0, ms: 0 }
  return { ...parser.end({ ...exit, stopped: stopWord(signal) }), exit, killed, lines: 0, bytes: 0 }
}

async function writeFiles(home: string, files: LaunchPlan['files']): Promise<void> {
  for (const { path, text } of files) {
    await makeFolders(home, dirname(path))
    await writeFile(join(home, path), text, { mode: 0o600, flag: 'wx' }) // HOME is fresh: what is there already was not put there by us
  }
}

/** One folder after the other, because a recursive mkdir follows links, and a link could lead out of HOME. */
async function makeFolders(home: string, path: string): Promise<void> {
  let folder = home
  for (const name of path.split('/').filter((each) => each !== '.')) {
    folder = join(folder, name)
    await mkdir(folder, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error // what is there is looked at below
    })
    if (!(await lstat(folder)).isDirectory()) throw new Fault('home-unsafe', `${folder} is no folder of ours`)
  }
}
