/**
 * Whether the companion can be stood on, found by trying it: a real program started there, which looks for what must not be there and calls the gateway the
 * way agents do. What it can see of ours, a store it can write, or a place it does not share, is a reason not to.
 */
import { existsSync } from 'node:fs'
import { chmod, mkdir, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { OperatorSettings } from '../core/setting.ts'
import { isFault } from '../host/fault.ts'
import type { Paths } from '../host/path.ts'
import { startTimeOf } from '../host/proc.ts'
import { pidNamespaceOf } from '../host/process-tree.ts'
import { makeTemporary } from '../host/temporary.ts'
import { programVersion } from '../host/version.ts'
import type { World } from '../host/world.ts'
import { makeArea, removeTree } from './area.ts'
import { reachCompanion } from './companion.ts'
import type { Welcome } from './companion-wire.ts'
import { textOf } from './finish.ts'
import type { Sandbox } from './sandbox.ts'

/** Where a companion listens, and what of this state folder it shares with us. */
export type CompanionPlace = {
  socket: string
  /** Whose trees they are. */
  house: string
  /** Shared, at the same path, for both to write. */
  areas: string
  /** Shared, for us to write: sockets of attempts, stores, layers. */
  readOnly: readonly string[]
  sockets: string
  /** What must not be there. */
  hidden: readonly string[]
}

/** What stands, and what it holds and loses, as sentences without an end. */
export type Companionship = { sandbox: Sandbox; holds: string[]; loses: string[] }

/** Of these settings and paths; undefined where the settings name no companion. */
export const companionPlace = (
  settings: Pick<OperatorSettings, 'companion'>,
  paths: Paths,
): CompanionPlace | undefined =>
  settings.companion.socket === ''
    ? undefined
    : {
        socket: settings.companion.socket,
        house: paths.stateFolder,
        areas: paths.areas,
        readOnly: [paths.sockets, paths.repos, paths.layers],
        sockets: paths.sockets,
        hidden: [paths.database, paths.keys, paths.configFile, paths.socket, paths.transcripts, paths.archives],
      }

/** Stands on the companion, or says why that cannot be. */
export async function standOnCompanion(
  world: World,
  place: CompanionPlace,
): Promise<Companionship | { missing: string }> {
  const absent = [place.areas, place.sockets].filter((folder) => !existsSync(folder))
  if (absent.length > 0) return { missing: `${absent.join(' and ')} are not there yet: tri-agent init` }
  const reached = await reachCompanion(world, place.socket, place.house)
  if (typeof reached === 'string') return { missing: reached }
  const { welcome, sandbox, close } = reached
  const wrong = await objection(world, place, welcome, sandbox).catch((error: unknown) => {
    if (isFault(error)) return `a program cannot be started in it: ${error.message}`
    throw error
  })
  if (wrong === null) return { sandbox: { ...sandbox, place: place.areas }, ...judge(welcome) }
  close()
  return { missing: wrong }
}

function judge({ isFirst, interfaces }: Welcome): Pick<Companionship, 'holds' | 'loses'> {
  const network = interfaces.length === 0
  return {
    holds: [
      'your keys, settings and database are not in it',
      isFirst
        ? 'nothing of an attempt survives its end, nor ours: it is PID 1 of its container'
        : 'what an attempt leaves behind is adopted and ended',
      ...(network ? ['no network but the gateway'] : []),
    ],
    loses: [
      'attempts are not held from one another',
      ...(isFirst ? [] : ['a program that ends its watcher gets away: make it PID 1 of its container']),
      ...(network ? [] : [`its container has a network (${interfaces.join(', ')}): start it with --network none`]),
    ],
  }
}

/** Longer than a loaded machine takes, in milliseconds. */
const lookMs = 30_000

/** Looks from inside, and prints what it has found. */
const looker = `
const fs = require('node:fs')
const [port, pid, born, hidden, shared] = process.argv.slice(1)
const found = { said: '', seen: JSON.parse(hidden).filter((each) => fs.existsSync(each)), absent: [], open: [] }
for (const each of JSON.parse(shared)) {
  if (!fs.existsSync(each)) found.absent.push(each)
  try { fs.accessSync(each, fs.constants.W_OK); found.open.push(each) } catch {}
}
for (const name of fs.readdirSync('/proc').filter((each) => /^\\d+$/.test(each)))
  try {
    const stat = fs.readFileSync('/proc/' + name + '/stat', 'latin1')
    const inner = /^NSpid:.*\\s(\\d+)$/m.exec(fs.readFileSync('/proc/' + name + '/status', 'latin1'))?.[1]
    if (inner === pid && stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] === born) found.seen.push('our own process')
  } catch {}
fs.writeFileSync('seen', 'by us')
const call = require('node:net').connect(Number(port), '127.0.0.1')
call.on('data', (bytes) => (found.said += bytes))
call.on('error', () => {})
call.on('close', () => console.log(JSON.stringify(found)))
setTimeout(() => process.exit(1), ${lookMs}).unref()
`

type Seen = { said: string; seen: string[]; absent: string[]; open: string[] }

/** What speaks against standing on it, or null. */
async function objection(
  world: World,
  { areas, sockets, readOnly, hidden }: CompanionPlace,
  { namespace, version }: Welcome,
  sandbox: Sandbox,
): Promise<string | null> {
  if (namespace === pidNamespaceOf(process.pid))
    return 'it is in the same container as tri-agent, so it sees all that tri-agent sees: give it one of its own'
  if (version !== programVersion())
    return `it is version ${version}, and this is ${programVersion()}: start both from one image`
  const root = await makeTemporary('tri-probe', areas)
  const socket = join(sockets, `probe-${world.secret(4)}.sock`)
  const server = createServer((connection) => connection.end('ok'))
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(socket, resolve)
    })
    await chmod(socket, 0o600)
    const area = await makeArea(root)
    await mkdir(area.work)
    const way = { socket, url: '' }
    const [port = ''] = /\d+$/.exec(sandbox.view(area, way).gatewayUrl) ?? []
    const words = [port, process.pid, startTimeOf(process.pid), JSON.stringify(hidden), JSON.stringify(readOnly)]
    const argv = [process.execPath, '-e', looker, ...words.map(String)]
    const contained = await sandbox.start({ area, argv, env: {}, stdin: null, mounts: [], gateway: way })
    const [said, complained] = await Promise.all([textOf(contained.stdout), textOf(contained.stderr), contained.exit])
    const { survivors } = await contained.kill()
    if (survivors > 0) return `${survivors} processes in it outlived their end`
    if (!said.startsWith('{')) return `a program in it could not look around: ${complained.trim() || 'no word of it'}`
    return weigh(JSON.parse(said) as Seen, existsSync(join(area.work, 'seen')), { areas, sockets })
  } finally {
    server.close()
    await rm(socket, { force: true })
    await removeTree(root)
  }
}

function weigh(
  { said, seen, absent, open }: Seen,
  isShared: boolean,
  { areas, sockets }: Pick<CompanionPlace, 'areas' | 'sockets'>,
) {
  if (seen.length > 0) return `it can see ${seen.join(', ')}: share no more with it than docs/companion.md says`
  if (!isShared) return `${areas} is not the same folder there: share it, at the same path`
  if (absent.length > 0) return `${absent.join(' and ')} are not there: share them, at the same path`
  if (open.length > 0) return `it can write ${open.join(' and ')}: share them read-only`
  return said === 'ok' ? null : `the gateway cannot be reached from it: share ${sockets}, at the same path`
}
