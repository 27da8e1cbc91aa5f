/** What all rungs do alike with a started child: its streams end soon after it does, whoever still holds the other end. */
import { PassThrough, type Readable } from 'node:stream'
import type { Child } from '../host/process.ts'
import type { World } from '../host/world.ts'
import type { Contained, Outermost } from './sandbox.ts'

/** A daemon that inherited stdout would keep it open for minutes: after the exit, a pipe that brings nothing for this long is closed. */
const drainMs = 250
/** More than the kernel holds in a pipe or socket: what comes beyond this after the exit is a survivor's. */
const drainBytes = 1024 * 1024
/** A reader that takes nothing for this long after the exit has left. */
const readerMs = 10_000

export type Born = (outermost: Outermost) => Promise<void>

/** Has a birth written down; where that fails, what was born ends. */
export async function tellOrEnd(child: Child, outermost: Outermost, born: Born | undefined): Promise<void> {
  try {
    await born?.(outermost)
  } catch (error) {
    child.signal('SIGKILL')
    await child.exit
    throw error
  }
}

/** Completes a Contained: bounded drain after the exit, nothing lost that was printed before it. */
export function finish(
  world: World,
  child: Child,
  rung: Pick<Contained, 'startTime' | 'cpuMs' | 'stop' | 'kill'>,
): Contained {
  const stdout = ending(world, child.stdout, child.exit)
  const stderr = ending(world, child.stderr, child.exit)
  return { pid: child.pid, stdout, stderr, exit: child.exit, ...rung }
}

/** The same bytes, with an end of its own: destroying the source would be an error for whoever reads. */
export function ending(world: World, source: Readable, exit: Promise<unknown>): PassThrough {
  const passed = new PassThrough()
  let bytes = 0
  source.on('data', (chunk: Buffer) => void (bytes += chunk.length))
  source.on('error', () => passed.end()) // a broken pipe is an ended one
  passed.on('close', () => source.destroy()) // nobody reads any more
  source.pipe(passed)
  const drain = async () => {
    const before = bytes
    let quietMs = 0
    for (let seen = bytes; !source.readableEnded && !source.destroyed; seen = bytes) {
      await world.timer.sleep(drainMs)
      quietMs = bytes === seen ? quietMs + drainMs : 0
      const idle = quietMs > 0 && passed.readableLength === 0 && !source.isPaused()
      if (idle || bytes - before > drainBytes || quietMs >= readerMs) break
    }
    if (source.readableEnded) return
    source.unpipe(passed)
    source.destroy()
    passed.end()
  }
  void exit.then(drain)
  return passed
}

/** All that a pipe says to its end. */
export async function textOf(stream: Readable): Promise<string> {
  const chunks: Buffer[] = []
  return new Promise((resolve) => {
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.once('close', () => resolve(Buffer.concat(chunks).toString('utf8')))
    stream.once('end', () => stream.destroy())
  })
}
