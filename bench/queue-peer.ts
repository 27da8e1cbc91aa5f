/**
 * The queues a person would take instead. They are installed into a folder of their own outside the tree, exactly these versions, without install
 * scripts, and removed afterwards; what cannot be had here is said to be SKIPPED, with why, and no figure stands for it.
 */
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { environment } from '../src/host/environment.ts'
import { capture } from '../src/host/process.ts'
import { world } from '../test/cli-rig.ts'
import { median } from './measure.ts'
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

const path = environment()['PATH'] ?? '/usr/bin:/bin'
const firstLine = (text: string): string => text.trim().split('\n')[0] ?? ''

/** Installs them. */
export async function openPeers(note: (text: string) => void): Promise<Peers> {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-peers-'))
  const manifest = { private: true, type: 'module', dependencies: packages }
  await writeFile(join(folder, 'package.json'), JSON.stringify(manifest))
  await copyFile(join(import.meta.dirname, 'queue-peer.mjs'), join(folder, 'queue-peer.mjs'))
  const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const { code, stderr } = await capture(world.spawn, { file: 'npm', args, cwd: folder, env: installEnv(folder) })
  if (code !== 0) note(`peers SKIPPED: npm cannot install them: ${firstLine(stderr)}`)
  let left = code === 0 ? peers : []
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
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}

/** The one that is fastest in the middle of its rounds, or null. */
export const fastest = (measured: readonly Peer[]): Peer | null =>
  measured.toSorted((a, b) => median(b.drained) - median(a.drained))[0] ?? null

/** What npm needs to reach a registry from here, and nothing else of this account. */
function installEnv(home: string): Record<string, string> {
  const wanted = [
    'npm_config_registry',
    'NODE_OPTIONS',
    'NODE_EXTRA_CA_CERTS',
    'HTTPS_PROXY',
    'https_proxy',
    'NO_PROXY',
    'no_proxy',
  ]
  const said = wanted.flatMap((name) => {
    const value = environment()[name]
    return value === undefined ? [] : [[name, value] as const]
  })
  return { ...Object.fromEntries(said), PATH: path, HOME: home }
}

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
      env: { PATH: path, HOME: folder },
    })
    return ended.code === 0
      ? (JSON.parse(ended.stdout) as { added: number; drained: number })
      : firstLine(ended.stderr) || `it ended with ${ended.code}`
  } finally {
    await server?.[Symbol.asyncDispose]()
  }
}
