/** How soon a task is in the hands of a worker once somebody begins to add it: in this process, and from another one over the daemon's socket. */
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { PassThrough } from 'node:stream'
import { registerRepository } from '../src/command/register.ts'
import { answerRequest, versionOf } from '../src/command/request.ts'
import { isRefusal } from '../src/core/refusal.ts'
import { environment } from '../src/host/environment.ts'
import { listenForNudges } from '../src/host/nudge.ts'
import { world } from '../test/cli-rig.ts'
import { quantile } from './measure.ts'
import { add, withStore, work } from './queue-store.ts'

/** A clock that two processes of one machine share, in milliseconds. */
export const machineMs = (): number => performance.timeOrigin + performance.now()

export type Pickup = { p50: number; p99: number }
const pickup = (spent: readonly number[]): Pickup => ({ p50: quantile(spent, 0.5), p99: quantile(spent, 0.99) })

export const pickupHere = (times: number): Promise<Pickup> =>
  withStore(async (made) => {
    const spent: number[] = []
    let picked = () => {}
    await using worker = work(made, 1, { picked: () => picked() })
    for (let n = 0; n < times; n++) {
      const carried = new Promise<void>((resolve) => (picked = resolve))
      const began = world.clock.mono()
      await made.database.write(async (tx) => {
        await add(tx, made.nextId())
        worker.wake() // as a command that the daemon carries out wakes its dispatcher: before the commit, to share it
      })
      await carried
      spent.push(world.clock.mono() - began)
    }
    return pickup(spent)
  })

/** The other process is told to add a task, says when it began, and is told to add the next one when that one was picked up. */
export const pickupFromAfar = (times: number): Promise<Pickup> =>
  withStore(async (made) => {
    const spent: number[] = []
    const socket = join(made.folder, 'nudge')
    let picked = (_at: number) => {}
    await using worker = work(made, 1, { picked: () => picked(machineMs()) })
    const { database } = made
    const repo = await registerRepository(
      { database, world, actor: 'person:bench' },
      { path: '/shop', name: 'shop', base: 'main' },
    )
    if (isRefusal(repo)) throw new Error(repo.why)
    const asked = { database, world, version: versionOf('bench', database), wake: worker.wake }
    const answer = (line: string) => answerRequest(asked, line).finally(worker.wake)
    await using _ = await listenForNudges(socket, worker.wake, answer)
    const orders = new PassThrough()
    const adder = await world.spawn({
      file: process.execPath,
      args: [join(import.meta.dirname, 'queue-adder.ts'), socket, asked.version, repo.id],
      cwd: made.folder,
      env: { PATH: environment()['PATH'] ?? '' },
      stdin: orders,
    })
    const lines = createInterface({ input: adder.stdout })
    const told: string[] = []
    adder.stderr.setEncoding('utf8').on('data', (text: string) => told.push(text))
    try {
      for (let n = 0; n < times; n++) {
        const carried = new Promise<number>((resolve) => (picked = resolve))
        const began = once(lines, 'line') as Promise<[string]>
        orders.write(`${n}\n`)
        const failed = adder.exit.then(() => Promise.reject(new Error(`the other process ended: ${told.join('')}`)))
        const [at, [since]] = await Promise.race([Promise.all([carried, began]), failed])
        spent.push(at - Number(since))
      }
    } finally {
      orders.end()
      await adder.exit
    }
    return pickup(spent)
  })
