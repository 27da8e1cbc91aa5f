/**
 * bench queue: the store at full drain, durable and event-sourced; beside it the queues a person would take instead, each as it comes, in turn in
 * the same sitting: a round of ours, a round of each of them, and again. What decides on a machine is the load and what its disk takes to sync, so
 * both are said.
 */
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { takeBackup } from '../src/store/backup.ts'
import { verifyProjections } from '../src/store/rebuild.ts'
import { verifyLog } from '../src/store/verify-log.ts'
import { world } from '../test/cli-rig.ts'
import { median, quantile, type Bench, type Row } from './measure.ts'
import { fastest, openPeers, type Peer } from './queue-peer.ts'
import { pickupFromAfar, pickupHere } from './queue-pickup.ts'
import { restartSeconds } from './queue-restart.ts'
import { claimMs, drain, enqueue, withStore, type Made } from './queue-store.ts'

/** How much is measured; the smoke test takes little of everything, and no peers. */
export type Counts = { rounds: number; tasks: number; long: number; claims: number; pickups: number; kills: number }

const full: Counts = { rounds: 3, tasks: 12_000, long: 1_000_000, claims: 500, pickups: 500, kills: 7 }

/** numbers.md and facts on engines: what each figure must reach. */
const leastEnqueuePerSecond = 50_000
const leastWithThreeLoops = 4000
const timesTheFastestPeer = 1.1
const mostTimesAtZero = 1.5
const leastReplayPerSecond = 300_000
const mostBackupSeconds = 3
const mostPickupMs = { here: 1, afar: 2 }
const mostStallMs = 25
const mostRestartSeconds = 1

const measured = [
  'synced',
  'enqueued',
  'sixtyFour',
  'three',
  'stalls',
  'idleStalls',
  'verified',
  'sealed',
  'enqueuedInMemory',
  'drainedInMemory',
] as const
type Measured = Record<(typeof measured)[number], number[]>

export const benchQueue: Bench = (note) => measureQueue(full, openPeers, note)

export async function measureQueue(
  counts: Counts,
  open: typeof openPeers,
  note: (text: string) => void,
): Promise<Row[]> {
  const ours = Object.fromEntries(measured.map((name) => [name, [] as number[]])) as Measured
  let peers: Peer[]
  {
    await using opened = await open(note)
    for (let round = 1; round <= counts.rounds; round++) {
      note(`round ${round} of ${counts.rounds}, load ${loadavg()[0]!.toFixed(1)}: ours`)
      await withStore((made) => measureRound(made, counts, ours))
      await withStore((made) => measureInMemory(made, counts, ours), 'memory')
      await opened.round(counts.tasks)
    }
    peers = opened.measured()
  }
  note(`pickups, load ${loadavg()[0]!.toFixed(1)}`)
  const here = await pickupHere(counts.pickups)
  const afar = await pickupFromAfar(counts.pickups)
  note('kill -9 of a daemon')
  const restarts = await restartSeconds(counts.kills)
  note(`claims at 2,000 and at ${counts.long} queued, load ${loadavg()[0]!.toFixed(1)}`)
  const length = await withStore((made) => measureLength(made, counts))
  return [
    ...throughput(ours, peers),
    ...latency(ours, { here, afar, restarts }, counts, length),
    atLeast('rebuild --verify, events', median(ours.verified), null, leastReplayPerSecond),
    atLeast('log verify, events', median(ours.sealed), null, null),
  ]
}

async function measureRound(made: Made, { tasks }: Counts, ours: Measured): Promise<void> {
  ours.synced.push(syncsPerSecond(made.folder))
  ours.idleStalls.push(...(await stallsWhile(() => world.timer.sleep(Math.min(2000, tasks)))))
  ours.enqueued.push(await enqueue(made, tasks, 64))
  ours.stalls.push(...(await stallsWhile(async () => void ours.sixtyFour.push(await drain(made, tasks, 64)))))
  const fewer = Math.ceil(tasks / 4)
  await enqueue(made, fewer, 64)
  ours.three.push(await drain(made, fewer, 3))
  ours.verified.push(await eventsPerSecond(() => verifyProjections(made.database)))
  ours.sealed.push(await eventsPerSecond(() => verifyLog(made.database)))
}

/** The same work without a disk: the difference is what durability takes here. */
async function measureInMemory(made: Made, { tasks }: Counts, ours: Measured): Promise<void> {
  ours.enqueuedInMemory.push(await enqueue(made, tasks, 64))
  ours.drainedInMemory.push(await drain(made, tasks, 64))
}

async function measureLength(made: Made, { long, claims }: Counts) {
  await enqueue(made, 2000, 64)
  const short = await claimMs(made, claims)
  await enqueue(made, long, 64)
  const far = await claimMs(made, claims)
  const began = world.clock.mono()
  await takeBackup({ world, database: made.database.path, kind: 'backup', into: join(made.folder, 'backup.db') })
  return { short, far, backupSeconds: (world.clock.mono() - began) / 1000 }
}

/** What the disk can do: 4 KB written in place and synced, one after the other, as a commit does. */
function syncsPerSecond(folder: string): number {
  const [times, page] = [400, Buffer.alloc(4096, 1)]
  const file = openSync(join(folder, 'bare'), 'w')
  try {
    for (let n = 0; n < 16; n++) writeSync(file, page, 0, page.length, n * page.length)
    fdatasyncSync(file)
    const began = world.clock.mono()
    for (let n = 0; n < times; n++) {
      writeSync(file, page, 0, page.length, (n % 16) * page.length)
      fdatasyncSync(file)
    }
    return (times * 1000) / (world.clock.mono() - began)
  } finally {
    closeSync(file)
  }
}

/** By how much a timer of 1 ms was late, again and again, while that lasts: what everybody else in the daemon would have waited. */
async function stallsWhile(body: () => Promise<void>): Promise<number[]> {
  const late: number[] = []
  let over = false
  const watching = (async () => {
    while (!over) {
      const began = world.clock.mono()
      await world.timer.sleep(1)
      late.push(Math.max(0, world.clock.mono() - began - 1))
    }
  })()
  await body()
  over = true
  await watching
  return late
}

async function eventsPerSecond(body: () => Promise<{ events: number }>): Promise<number> {
  const began = world.clock.mono()
  const { events } = await body()
  return (events * 1000) / (world.clock.mono() - began)
}

const atLeast = (what: string, measured: number, baseline: number | null, target: number | null): Row => ({
  what,
  unit: '/s',
  measured,
  baseline,
  target,
  atLeast: true,
})

function throughput(ours: Measured, peers: readonly Peer[]): Row[] {
  const best = fastest(peers)
  const baseline = best && median(best.drained)
  const ratio = best && median(best.drained.map((peer, round) => ours.sixtyFour[round]! / peer))
  return [
    atLeast('bare fdatasync of 4 KB', median(ours.synced), null, null),
    atLeast('enqueue, durable, 64 callers', median(ours.enqueued), null, leastEnqueuePerSecond),
    atLeast(
      'claim + finish, durable, 64 loops',
      median(ours.sixtyFour),
      baseline,
      baseline && baseline * timesTheFastestPeer,
    ),
    ...(best && ratio
      ? [
          {
            what: `  times ${best.name}, round by round`,
            unit: '×' as const,
            measured: ratio,
            baseline: 1,
            target: timesTheFastestPeer,
            atLeast: true as const,
          },
        ]
      : []),
    atLeast('claim + finish, durable, 3 loops', median(ours.three), null, leastWithThreeLoops),
    // one commit for each three cycles
    atLeast('  if a commit took no more than a bare sync', median(ours.synced) * 3, null, null),
    atLeast('  in memory, not durable: enqueue', median(ours.enqueuedInMemory), null, null),
    atLeast('  in memory, not durable: claim + finish, 64 loops', median(ours.drainedInMemory), null, null),
    ...peers.flatMap(({ name, added, drained }) => [
      atLeast(`  ${name}: enqueue`, median(added), null, null),
      atLeast(`  ${name}: claim + finish`, median(drained), null, null),
    ]),
  ]
}

type Times = {
  here: Awaited<ReturnType<typeof pickupHere>>
  afar: Awaited<ReturnType<typeof pickupFromAfar>>
  restarts: number[]
}

function latency(
  ours: Measured,
  { here, afar, restarts }: Times,
  { long }: Counts,
  { short, far, backupSeconds }: Awaited<ReturnType<typeof measureLength>>,
): Row[] {
  const ms = (what: string, measured: number, baseline: number | null, target: number | null): Row => ({
    what,
    unit: 'ms',
    measured,
    baseline,
    target,
  })
  const seconds = (what: string, measured: number, target: number): Row => ({
    what,
    unit: 's',
    measured,
    baseline: null,
    target,
  })
  const many = long.toLocaleString('en')
  return [
    ms(
      'event loop late at full drain, p99.9',
      quantile(ours.stalls, 0.999),
      quantile(ours.idleStalls, 0.999),
      mostStallMs,
    ),
    ms('pickup in process, p50', here.p50, null, mostPickupMs.here),
    ms('pickup in process, p99', here.p99, null, null),
    ms('pickup from another process, p50', afar.p50, null, mostPickupMs.afar),
    ms('pickup from another process, p99', afar.p99, null, null),
    ms(`claim p50 at ${many} queued`, far, short, short * mostTimesAtZero),
    seconds(`backup of ${many} tasks`, backupSeconds, mostBackupSeconds),
    seconds('kill -9 of the daemon to /readyz, slowest', Math.max(...restarts), mostRestartSeconds),
  ]
}
