/**
 * Servers that peers of bench queue stand on: a Redis or a PostgreSQL of our own, with nothing in it, on a socket in a folder of ours, reachable over
 * no network, and ended by pid. As Debian configures them, but for where they lie.
 */
import { chmod, chown, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { environment } from '../src/host/environment.ts'
import { capture, type Child } from '../src/host/process.ts'
import { world } from '../test/cli-rig.ts'

export type Server = AsyncDisposable & {
  /** What the peer is told: the socket of Redis, the folder with the socket of PostgreSQL. */
  where: string
}

const path = environment()['PATH'] ?? '/usr/bin:/bin'
const readyWithinMs = 20_000
const lookMs = 50

/** Answers why not, where there is none on this machine. */
export async function startRedis(fsync: string): Promise<Server | string> {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-redis-'))
  const where = join(folder, 'redis.sock')
  const args = ['--port', '0', '--unixsocket', where, '--dir', folder, '--appendonly', 'yes', '--save', '']
  return started(folder, where, ['redis-server', ...args, '--appendfsync', fsync], ['redis-cli', '-s', where, 'ping'])
}

/** PostgreSQL refuses to be root: then it is nobody. */
export async function startPostgres(): Promise<Server | string> {
  const programs = await postgresPrograms()
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-postgres-'))
  const [cluster, where] = [join(folder, 'cluster'), join(folder, 'socket')]
  for (const each of [cluster, where]) await mkdir(each, { mode: 0o700 })
  const asNobody: string[] = []
  if (process.getuid?.() === 0) {
    asNobody.push('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups')
    await chmod(folder, 0o711)
    for (const each of [cluster, where]) await chown(each, 65534, 65534)
  }
  const [file, ...args] = [...asNobody, join(programs, 'initdb'), '-D', cluster, '-U', 'bench', '--auth=trust']
  const made = await capture(world.spawn, { file, args, cwd: folder, env: { PATH: path, LC_ALL: 'C' } }).catch(String)
  if (typeof made === 'string' || made.code !== 0) {
    await rm(folder, { recursive: true, force: true })
    return `there is no PostgreSQL here that can be started (Debian: postgresql): ${String(typeof made === 'string' ? made : made.stderr).split('\n')[0]}`
  }
  const settings = ['-c', 'listen_addresses=', '-c', `unix_socket_directories=${where}`]
  return started(
    folder,
    where,
    [...asNobody, join(programs, 'postgres'), '-D', cluster, ...settings],
    [join(programs, 'pg_isready'), '-h', where],
  )
}

/** Debian keeps them out of PATH, in a folder for each version. */
async function postgresPrograms(): Promise<string> {
  const folder = '/usr/lib/postgresql'
  const versions = await readdir(folder).catch(() => [])
  const newest = versions.toSorted((a, b) => Number(b) - Number(a))[0]
  return newest === undefined ? '' : join(folder, newest, 'bin')
}

/** Starts a server and asks it until it answers. */
async function started(
  folder: string,
  where: string,
  [file = '', ...args]: readonly string[],
  [asking = '', ...question]: readonly string[],
): Promise<Server | string> {
  const spec = { cwd: folder, env: { PATH: path, HOME: folder, LC_ALL: 'C' } }
  let server: Child
  try {
    server = await world.spawn({ ...spec, file, args })
  } catch {
    await rm(folder, { recursive: true, force: true })
    return `there is no ${file} here (Debian has it)`
  }
  let gone = false
  const said: string[] = []
  for (const stream of [server.stdout, server.stderr]) stream.setEncoding('utf8').on('data', (text) => said.push(text))
  void server.exit.then(() => (gone = true))
  const stop = async () => {
    server.signal('SIGINT') // PostgreSQL: at once, but tidily
    const late = world.timer.after(10_000, () => server.signal('SIGKILL'))
    await server.exit
    late()
    await rm(folder, { recursive: true, force: true })
  }
  const began = world.clock.mono()
  for (;;) {
    const answer = await capture(world.spawn, { ...spec, file: asking, args: question }).catch(() => null)
    if (answer?.code === 0 && !gone) return { where, [Symbol.asyncDispose]: stop }
    if (gone || world.clock.mono() - began > readyWithinMs) {
      await stop()
      return `${file} did not come up: ${said.join('').trim().split('\n').at(-1) ?? ''}`
    }
    await world.timer.sleep(lookMs)
  }
}
