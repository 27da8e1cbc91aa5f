/**
 * The queues a person would take instead. They are installed into a folder of their own outside the tree, exactly these versions, without install
 * scripts, and removed afterwards; what cannot be had here is said to be SKIPPED, with why, and no figure stands for it.
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { capture } from '../src/host/process.ts'
import { world } from '../test/cli-rig.ts'
import { median } from './measure.ts'
import { firstLine, installPeers, searchedPath } from './peer.ts'
import { startPostgres, startRedis, type Server } from './queue-server.ts'

/** Jobs per second, one figure a round. */
export type Peer = { name: string; added: number[]; drained: number[] }

export type Peers = AsyncDisposable & {
  /** Measures each of them once more. */
  round(jobs: number): Promise<void>
  measured(): Peer[]
}

const packages = {
  plainjob: '0.0.14',
  'better-sqlite3': '13.2.0',
  bullmq: '6.7.0',
  ioredis: '5.9.2',
  'graphile-worker': '0.18.0',
  'pg-boss': '12.38.0',
}

/** `slow`: a quarter of the jobs tells as much. */
const peers: { name: string; program: string; server?: () => Promise<Server | string>; slow?: true }[] = [
  { name: 'plainjob (SQLite, not durable)', program: 'plainjob' },
  { name: 'BullMQ (Redis, appendfsync always)', program: 'bullmq', server: () => startRedis('always') },
  { name: 'BullMQ (Redis, appendfsync everysec)', program: 'bullmq', server: () => startRedis('everysec') },
  { name: 'graphile-worker (PostgreSQL)', program: 'graphile', server: startPostgres, slow: true },
  { name: 'graphile-worker, localQueue of 500', program: 'graphileLocalQueue', server: startPostgres },
  { name: 'pg-boss (PostgreSQL)', program: 'pgboss', server: startPostgres, slow: true },
]

/** Installs them. */
export async function openPeers(note: (text: string) => void): Promise<Peers> {
  const installed = await installPeers(packages, 'queue-peer.mjs')
  const { folder, missing } = installed
  if (missing !== null) note(`peers SKIPPED: ${missing}`)
  let left = missing === null ? peers : []
  const measured = new Map<string, Peer>()
  return {
    async round(jobs) {
      for (const peer of left) {
        note(peer.name)
        const figures = await measure(folder, peer, jobs)
        if (typeof figures === 'string') {
          note(`${peer.name} SKIPPED: ${figures}`)
          left = left.filter((each) => each !== peer)
          continue
        }
        const { added, drained } = measured.get(peer.name) ?? { added: [], drained: [] }
        measured.set(peer.name, {
          name: peer.name,
          added: [...added, figures.added],
          drained: [...drained, figures.drained],
        })
      }
    },
    measured: () => [...measured.values()],
    [Symbol.asyncDispose]: () => installed[Symbol.asyncDispose](),
  }
}

/** The one that is fastest in the middle of its rounds, or null. */
export const fastest = (measured: readonly Peer[]): Peer | null =>
  measured.toSorted((a, b) => median(b.drained) - median(a.drained))[0] ?? null

/** One round on a server of its own. Answers why not, where it cannot be had. */
async function measure(
  folder: string,
  { program, server: start, slow }: (typeof peers)[number],
  jobs: number,
): Promise<{ added: number; drained: number } | string> {
  const server = start ? await start() : null
  if (typeof server === 'string') return server
  try {
    for (const end of ['', '-wal', '-shm']) await rm(join(folder, `plainjob.db${end}`), { force: true })
    const ended = await capture(world.spawn, {
      file: process.execPath,
      args: ['queue-peer.mjs', program, String(slow ? Math.ceil(jobs / 4) : jobs), server?.where ?? ''],
      cwd: folder,
      env: { PATH: searchedPath, HOME: folder },
    })
    return ended.code === 0
      ? (JSON.parse(ended.stdout) as { added: number; drained: number })
      : firstLine(ended.stderr) || `it ended with ${ended.code}`
  } finally {
    await server?.[Symbol.asyncDispose]()
  }
}
