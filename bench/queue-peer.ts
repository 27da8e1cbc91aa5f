/**
 * The queues a person would take instead. They are installed into a folder of their own outside the tree, exactly these versions, without install
 * scripts, and removed afterwards; what cannot be had here is said to be SKIPPED, with why, and no figure stands for it.
 */
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { environment } from '../src/host/environment.ts'
import { capture, type Child } from '../src/host/process.ts'
import { world } from '../test/cli-rig.ts'
import { median } from './measure.ts'

export type Peer = { name: string; enqueuePerSecond: number; drainPerSecond: number }

const packages = { plainjob: '0.0.14', 'better-sqlite3': '13.2.0', bullmq: '6.7.0' }
const jobs = 12_000
const rounds = 3

const path = environment()['PATH'] ?? '/usr/bin:/bin'
const firstLine = (text: string): string => text.trim().split('\n')[0] ?? ''

/** Every peer that can be had here, each measured several times in turn. */
export async function measurePeers(note: (text: string) => void): Promise<Peer[]> {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-peers-'))
  try {
    await writeFile(
      join(folder, 'package.json'),
      JSON.stringify({ private: true, type: 'module', dependencies: packages }),
    )
    const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
    const { code, stderr } = await capture(world.spawn, { file: 'npm', args, cwd: folder, env: installEnv(folder) })
    if (code !== 0) {
      note(`peers SKIPPED: npm cannot install them: ${firstLine(stderr)}`)
      return []
    }
    await copyFile(join(import.meta.dirname, 'queue-peer.mjs'), join(folder, 'queue-peer.mjs'))
    const plainjob = await measure(folder, 'plainjob (SQLite, not durable)', ['plainjob'], note)
    const redis: Peer[] = []
    for (const fsync of ['always', 'everysec']) redis.push(...(await withRedis(folder, fsync, note)))
    note('graphile-worker and pg-boss SKIPPED: this bench starts no PostgreSQL')
    return [...plainjob, ...redis]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

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

async function measure(
  folder: string,
  name: string,
  args: readonly string[],
  note: (text: string) => void,
): Promise<Peer[]> {
  const added: number[] = []
  const drained: number[] = []
  for (let round = 1; round <= rounds; round++) {
    note(`${name}, round ${round} of ${rounds}`)
    await rm(join(folder, 'plainjob.db'), { force: true })
    const [peer = '', socket = ''] = args
    const ended = await capture(world.spawn, {
      file: process.execPath,
      args: ['queue-peer.mjs', peer, String(jobs), socket],
      cwd: folder,
      env: { PATH: path, HOME: folder },
    })
    if (ended.code !== 0) {
      note(`${name} SKIPPED: ${firstLine(ended.stderr)}`)
      return []
    }
    const figures = JSON.parse(ended.stdout) as { added: number; drained: number }
    added.push(figures.added)
    drained.push(figures.drained)
  }
  return [{ name, enqueuePerSecond: median(added), drainPerSecond: median(drained) }]
}

/** A Redis of our own on a socket, with nothing in it, ended by its pid. */
async function withRedis(folder: string, fsync: string, note: (text: string) => void): Promise<Peer[]> {
  const name = `BullMQ (Redis, appendfsync ${fsync})`
  const socket = join(folder, 'redis.sock')
  const said = ['--port', '0', '--unixsocket', socket, '--dir', folder, '--appendonly', 'yes', '--save', '']
  let redis: Child
  try {
    redis = await world.spawn({
      file: 'redis-server',
      args: [...said, '--appendfsync', fsync],
      cwd: folder,
      env: { PATH: path, HOME: folder },
    })
  } catch {
    note(`${name} SKIPPED: there is no redis-server here (Debian: redis-server)`)
    return []
  }
  try {
    return await measure(folder, name, ['bullmq', socket], note) // its client waits until the socket is there
  } finally {
    redis.signal('SIGKILL')
    await redis.exit
    await rm(join(folder, 'appendonlydir'), { recursive: true, force: true })
    await rm(socket, { force: true })
  }
}
