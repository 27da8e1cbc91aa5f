/** What both rungs do alike with a started child: its streams end soon after it does, whoever still holds the other end. */
import type { Readable } from 'node:stream'
import type { Child } from '../host/process.ts'
import type { World } from '../host/world.ts'
import type { Contained } from './sandbox.ts'

/** A daemon that inherited stdout would keep it open for minutes: after the exit, a pipe that brings nothing for this long is closed. */
const drainMs = 250

/** Completes a Contained: bounded drain after the exit, nothing lost that was printed before it. */
export function finish(world: World, child: Child, rung: Pick<Contained, 'startTime' | 'stop' | 'kill'>): Contained {
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('error', () => {}) // a destroyed pipe is an ended one
    void child.exit.then(() => drain(world, stream as Readable & { bytesRead?: number }))
  }
  return { pid: child.pid, stdout: child.stdout, stderr: child.stderr, exit: child.exit, ...rung }
}

async function drain(world: World, stream: Readable & { bytesRead?: number }): Promise<void> {
  for (let seen = -1; !stream.readableEnded && !stream.destroyed; await world.timer.sleep(drainMs)) {
    if (seen === stream.bytesRead && stream.readableLength === 0) return void stream.destroy()
    seen = stream.bytesRead ?? 0
  }
}
