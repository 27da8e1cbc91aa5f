/**
 * The launcher: the one place that starts an agent. Writes what its CLI wants in HOME, reads its output line by line with caps, feeds the parser,
 * and sees it off: polite stop, grace, kill; whatever happened, nothing of it is left when `launch` returns.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import type { Outcome } from '../core/outcome.ts'
import type { Exit } from '../host/process.ts'
import type { World } from '../host/world.ts'
import type { AgentEnd, AgentEvent, AgentParser, LaunchPlan } from './agent.ts'

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
  onOutput(stream: 'stdout' | 'stderr', line: string): void
}

export type Launched = AgentEnd & {
  exit: Exit
  killed: { method: string; survivors: number; ms: number }
  lines: number
  bytes: number
}

/** Starts the plan and sees it through. */
export async function launch(options: LaunchOptions): Promise<Launched> {
  const { world, parser, plan, home, limits, signal, onEvent, onOutput } = options
  await writeFiles(home, plan.files)
  const started = await options.start(plan)
  const counted = { lines: 0, bytes: 0 }
  let flooded = false
  const end = () => {
    started.stop('SIGTERM')
    const cancel = world.timer.after(limits.graceMs, () => void started.kill())
    void started.exit.then(cancel)
  }
  signal.addEventListener('abort', end, { once: true })
  if (signal.aborted) end()
  const read = (stream: 'stdout' | 'stderr') =>
    readLines(started[stream], limits.lineBytes, (line, cut, bytes) => {
      counted.lines += 1
      counted.bytes += bytes
      if (cut) onEvent({ type: 'warning', text: `a line longer than ${limits.lineBytes} bytes was cut` })
      onOutput(stream, line)
      for (const event of parser.push(stream, line)) onEvent(event)
      if (counted.bytes <= limits.totalBytes || flooded) return
      flooded = true
      void started.kill()
    })
  try {
    const reading = Promise.all([read('stdout'), read('stderr')])
    const exit = await started.exit
    await reading
    const stopped = signal.aborted
      ? { stopped: (typeof signal.reason === 'string' ? signal.reason : 'killed') as Outcome }
      : {}
    const said = parser.end({ ...exit, ...stopped })
    const flood = { outcome: 'failed' as const, reason: `a flood: it printed more than ${limits.totalBytes} bytes` }
    return { ...said, ...(flooded && !signal.aborted ? flood : {}), exit, killed: await started.kill(), ...counted }
  } finally {
    signal.removeEventListener('abort', end)
    await started.kill()
  }
}

async function writeFiles(home: string, files: LaunchPlan['files']): Promise<void> {
  for (const { path, text } of files) {
    const file = join(home, path)
    await mkdir(dirname(file), { recursive: true, mode: 0o700 })
    await writeFile(file, text, { mode: 0o600, flag: 'wx' }) // HOME is fresh: what is there already was not put there by us
  }
}

/** Lines of a stream, each cut at `lineBytes`; UTF-8 is decoded across chunks. A destroyed stream is an ended one. */
async function readLines(
  stream: Readable,
  lineBytes: number,
  onLine: (line: string, cut: boolean, bytes: number) => void,
): Promise<void> {
  const decoder = new StringDecoder('utf8')
  let line = ''
  let bytes = 0
  const give = () => {
    onLine(
      line.length > lineBytes ? line.slice(0, lineBytes) : line,
      line.length > lineBytes || bytes > lineBytes * 4,
      bytes,
    )
    line = ''
    bytes = 0
  }
  const take = (text: string) => {
    if (line.length <= lineBytes) line += text
    bytes += text.length
  }
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      const parts = decoder.write(chunk).split('\n')
      for (const [index, part] of parts.entries()) {
        take(part)
        if (index < parts.length - 1) give()
      }
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error
  }
  take(decoder.end())
  if (bytes > 0) give()
}
