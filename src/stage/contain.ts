/** Starting something contained and seeing it through: output, deadline, signal, kill to empty. For everything a stage starts that is not an agent. */
import { StringDecoder } from 'node:string_decoder'
import { Fault } from '../host/fault.ts'
import type { Exit } from '../host/process.ts'
import { createScrubber, prepareSecrets } from '../host/scrub.ts'
import type { Box, Contained, KillReport, Sandbox } from '../sandbox/sandbox.ts'
import type { GateWork, StagePorts } from './stage.ts'

/** As much of the end of a command's output as an implementer is shown. */
const tailBytes = 8 * 1024
/** A line that has no end is passed on in pieces of so many characters. */
const longestLine = 64 * 1024

export type Ran = Exit & { tail: string; timedOut: boolean; stopped: boolean; ms: number; killed: KillReport }

/** Starts a tree that is in the process table before it can do anything: should we die, the next daemon finds it there. */
export async function startWritten(
  sandbox: Sandbox,
  work: Pick<GateWork, 'started' | 'contained'>,
  box: Box,
): Promise<Contained> {
  let isWritten = false
  const contained = await sandbox.start(box, async (outermost) => {
    await work.started(outermost, box.area)
    isWritten = true
  })
  if (!isWritten) throw new Error('a sandbox started a tree that nobody wrote down')
  work.contained?.(contained)
  return contained
}

/**
 * Starts `box`, waits for its end, at most `timeoutMs`, and leaves nothing of it. Faults: `killed` where somebody else ended it, the kernel for want of
 * memory say: that tells nothing about the work.
 */
export async function contain(ports: StagePorts, work: GateWork, box: Box, timeoutMs: number): Promise<Ran> {
  const { world, sandbox } = ports
  const began = world.clock.mono()
  const contained = await startWritten(sandbox, work, box)
  let timedOut = false
  const end = () => void contained.kill()
  const cancel = world.timer.after(timeoutMs, () => {
    timedOut = true
    end()
  })
  work.signal.addEventListener('abort', end)
  if (work.signal.aborted) end()
  const tail = keepTail()
  const secrets = prepareSecrets(work.secrets)
  const read = async (name: 'stdout' | 'stderr') => {
    // before anything is cut: into lines, or to a tail
    const scrubber = createScrubber(secrets)
    const lines = keepLines((line) => work.onOutput(name, line))
    const take = (chunk: Buffer) => {
      if (chunk.length > 0) tail.push(chunk)
      lines.push(chunk)
    }
    try {
      for await (const chunk of contained[name] as AsyncIterable<Buffer>) {
        work.active()
        take(scrubber.push(chunk))
      }
    } finally {
      take(scrubber.end())
      lines.end()
    }
  }
  const reading = Promise.all([read('stdout'), read('stderr')])
  try {
    const exit = await contained.exit
    await reading.catch(() => {}) // a stream destroyed by the kill ends the reading, nothing more
    if (exit.signal === 'SIGKILL' && !timedOut && !work.signal.aborted)
      throw new Fault('killed', `somebody else killed it while it was at work: ${box.argv.at(-1)!.slice(0, 200)}`)
    return {
      ...exit,
      tail: tail.text(),
      timedOut,
      stopped: work.signal.aborted,
      ms: Math.round(world.clock.mono() - began),
      killed: await contained.kill(),
    }
  } finally {
    cancel()
    work.signal.removeEventListener('abort', end)
    await work.ended(await contained.kill())
  }
}

/** Lines of a stream whose chunks may be cut anywhere; empty ones are left out. */
function keepLines(give: (line: string) => void) {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  const giveLine = (line: string) => {
    for (let at = 0; at < line.length; at += longestLine) give(line.slice(at, at + longestLine))
  }
  return {
    push(chunk: Buffer) {
      const lines = (rest + decoder.write(chunk)).split('\n')
      rest = lines.pop()!
      for (const line of lines) giveLine(line)
      for (; rest.length > longestLine; rest = rest.slice(longestLine)) give(rest.slice(0, longestLine))
    },
    end() {
      giveLine(rest + decoder.end())
    },
  }
}

function keepTail() {
  const chunks: Buffer[] = []
  let bytes = 0
  return {
    push(chunk: Buffer) {
      chunks.push(chunk)
      bytes += chunk.length
      while (bytes - chunks[0]!.length > tailBytes) bytes -= chunks.shift()!.length
    },
    text() {
      const all = Buffer.concat(chunks)
      const kept = all.subarray(Math.max(0, all.length - tailBytes))
      return `${all.length > kept.length ? '…\n' : ''}${new StringDecoder('utf8').write(kept)}`
    },
  }
}
