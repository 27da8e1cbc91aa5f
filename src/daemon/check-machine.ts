/**
 * What this machine must have. `examineNow` costs nothing and is asked at every `/health`; `examineMachine` starts programs and is `doctor`'s.
 * They look only; nothing is made, mended or tried but a contained process that ends at once.
 */
import { accessSync, constants, lstatSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname } from 'node:path'
import { lack, ok, warn, type Check } from '../core/check.ts'
import { isAtLeast, losses, lowerRungs, type Rung } from '../core/rung.ts'
import { defaultSettings, type OperatorSettings } from '../core/setting.ts'
import { compareVersions } from '../agent/version.ts'
import { isFault } from '../host/fault.ts'
import { bytesOf, fileSystemType, isFuse, networkNameOf } from '../host/file-system.ts'
import { temporaryPlace, whyNotTemporary, type Env, type Paths } from '../host/path.ts'
import { mountOptionsOf } from '../host/process-tree.ts'
import { capture } from '../host/process.ts'
import { makeTemporary } from '../host/temporary.ts'
import type { World } from '../host/world.ts'
import { askedOf, probe, type Probe } from '../sandbox/create.ts'
import { checkAreas, checkRoom, measureRoom } from './room.ts'

export type MachinePorts = {
  world: World
  env: Env
  paths: Paths
  /** Null where they cannot be read: then the defaults are looked at. */
  settings: OperatorSettings | null
  /** The daemon that is up, or null. */
  daemonPid: number | null
  /** When the log was last written to, epoch milliseconds; 0 where nothing was. */
  lastEventAt: number
}

/** Disk, memory, the state's folder and its file system, the clock. */
export const examineNow = (ports: MachinePorts): Check[] => [
  ...checkRoom(measureRoom(ports.paths.stateFolder), ports.paths.stateFolder),
  stateFolder(ports),
  fileSystem(ports),
  clock(ports),
]

/** Everything of the machine, cheap checks included. */
export async function examineMachine(ports: MachinePorts): Promise<Check[]> {
  const areas = checkAreas(await bytesOf(ports.paths.areas))
  const programs = [node(), sqlite(), await git(ports), await sandbox(ports), await port(ports)]
  return [...programs, ...examineNow(ports), ...temporaryFiles(ports), areas]
}

/** Said only where it is not as TMPDIR says. */
function temporaryFiles({ env }: MachinePorts): Check[] {
  const why = whyNotTemporary(env)
  if (why === null) return []
  const found = `TMPDIR is ${env['TMPDIR']}: ${why}; ${temporaryPlace(env)} is used`
  return [warn('temporary files', found, 'export TMPDIR=/a/folder/of/yours')]
}

function stateFolder({ paths }: MachinePorts): Check {
  const name = 'state folder'
  const at = paths.stateFolder
  const found = lstatSync(at, { throwIfNoEntry: false })
  if (found === undefined) {
    const why = whyUnwritable(at)
    if (why !== null) return lack(name, `${at} cannot be made: ${why}`, 'export XDG_STATE_HOME=/a/folder/of/yours')
    return warn(name, `${at} is not there yet`, 'tri-agent init, in your repository')
  }
  if (found.isSymbolicLink() || !found.isDirectory())
    return lack(name, `${at} is not a folder of its own`, 'point XDG_STATE_HOME at the folder itself')
  if (found.uid !== process.getuid?.())
    return lack(name, `${at} belongs to user ${found.uid}`, 'start as that user, or set XDG_STATE_HOME')
  const why = whyUnwritable(at)
  if (why !== null) return lack(name, `${at} cannot be written: ${why}`, 'export XDG_STATE_HOME=/a/folder/of/yours')
  if ((found.mode & 0o077) !== 0) return lack(name, `${at} is open to other users`, `chmod 700 ${at}`)
  return ok(name, `${at}, yours alone`)
}

/** Why nothing can be written there, or in the nearest folder above it that is there; null where it can. */
function whyUnwritable(folder: string): string | null {
  try {
    accessSync(folder, constants.W_OK)
    return null
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return whyUnwritable(dirname(folder))
    return code === 'EROFS' ? `${folder} is read-only` : `${folder}: ${code}`
  }
}

function fileSystem({ paths: { stateFolder } }: MachinePorts): Check {
  const judged = judgeFileSystem(fileSystemType(stateFolder), stateFolder)
  if (judged.state !== 'ok' || !mountOptionsOf(stateFolder).includes('noexec')) return judged
  return warn(
    judged.name,
    `${stateFolder} is mounted noexec: what a repository installs or builds cannot be started there`,
    'export XDG_STATE_HOME=/a/folder/where/programs/may/start',
  )
}

/** By the number that statfs says. store/database.ts refuses the same ones. */
export function judgeFileSystem(type: number, folder: string): Check {
  const name = 'file system'
  const network = networkNameOf(type)
  if (network !== null)
    return lack(
      name,
      `${folder} is on ${network}: a database there is lost sooner or later`,
      'export XDG_STATE_HOME=/a/folder/on/a/local/disk',
    )
  if (isFuse(type)) return warn(name, `${folder} is on FUSE: sure only where that is a local disk`, null)
  return ok(name, 'local')
}

/** 2026-09-23, the day of the bundled prices: this program cannot be older. */
const madeAfter = 1_790_121_600_000

function clock({ world, lastEventAt }: MachinePorts): Check {
  const now = world.clock.now()
  const mend = 'set the clock: timedatectl set-ntp true'
  if (now < madeAfter) return lack('clock', 'it is before this program was made', mend)
  if (now < lastEventAt - 60_000) return lack('clock', 'it is behind what is in the log already', mend)
  return ok('clock', 'not behind the log')
}

const node = (): Check => ok('node', process.versions.node) // an older one does not get this far: main.ts

/** SQLite before this can corrupt a WAL database; store/database.ts refuses it. */
function sqlite(): Check {
  const version = process.versions['sqlite'] ?? '0.0.0'
  return compareVersions(version, '3.51.3') < 0
    ? lack('sqlite', `${version}, 3.51.3 or newer is needed`, 'install Node 24.15 or newer')
    : ok('sqlite', `${version}, part of Node`)
}

async function git({ world, env }: MachinePorts): Promise<Check> {
  const mend = 'install git 2.38 or newer'
  try {
    const asked = await capture(world.spawn, {
      file: 'git',
      args: ['--version'],
      cwd: '/',
      env: { PATH: env['PATH'] ?? '', LC_ALL: 'C' },
    })
    const version = /(\d+\.\d+(?:\.\d+)?)/.exec(asked.stdout)?.[1] ?? '0.0'
    return compareVersions(`${version}.0`, '2.38.0') < 0
      ? lack('git', `${version} is too old`, mend)
      : ok('git', version)
  } catch {
    return lack('git', 'not found on PATH', mend)
  }
}

async function sandbox(ports: MachinePorts): Promise<Check> {
  try {
    return await tryRungs(ports)
  } catch (error) {
    if (!isFault(error)) throw error
    return lack('sandbox', `no rung can be tried: ${error.message}`, error.hint ?? null)
  }
}

async function tryRungs({ world, env, settings, paths }: MachinePorts): Promise<Check> {
  const known = settings ?? defaultSettings(1)
  const folder = await makeTemporary('tri-doctor') // the state's folder may not be there, and looking never makes it
  const found = await probe(world, { ...askedOf(known, paths, env['PATH'] ?? '/usr/bin:/bin'), folder }).finally(() =>
    rm(folder, { recursive: true, force: true }),
  )
  return judgeRung(found, known.rung)
}

/** Of the rung a machine stands on, where `lowest` is accepted. */
export function judgeRung({ rung, reasons, above, companion }: Omit<Probe, 'available'>, lowest: Rung): Check {
  const why = reasons.join('; ')
  const lost = losses[rung]
  if (!isAtLeast(rung, lowest))
    return lack(
      'sandbox',
      lost === null
        ? `rung ${rung}, and your settings ask for ${lowest}: ${above.join('; ')}`
        : `no namespace: ${[...reasons, ...above.filter((each) => each.startsWith('no companion'))].join('; ')}; left is the rung ${rung}`,
      lost === null
        ? `mend that, or set rung: ${rung}`
        : `mend that (apt-get install bubblewrap), or accept what is lost on a lower rung: ${lowerRungs()}`,
    )
  if (companion !== undefined)
    return warn(
      'sandbox',
      `rung companion, as your settings accept. It holds: ${companion.holds.join('; ')}. It loses: ${companion.loses.join('; ')}. ${why}`,
    )
  if (lost !== null)
    return warn('sandbox', `rung ${rung}, as your settings accept: ${lost}. ${[...reasons, ...above].join('; ')}`)
  const said = [`rung ${rung}`, ...above].join('; ')
  return why === '' ? ok('sandbox', said) : warn('sandbox', `${said}; weakened: ${why}`)
}

async function port({ settings, daemonPid }: MachinePorts): Promise<Check> {
  const { host, port: number } = (settings ?? defaultSettings(1)).http
  if (daemonPid !== null) return ok('port', `the daemon (pid ${daemonPid}) is up and has it`)
  if (number === 0) return ok('port', 'any free one')
  const code = await new Promise<string | null>((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    server.listen(number, host, () => server.close(() => resolve(null)))
  })
  return code === null
    ? ok('port', `${host}:${number} is free`)
    : lack(
        'port',
        `${host}:${number} cannot be had (${code})`,
        'set http: { port: 0 } or another port in your settings',
      )
}
