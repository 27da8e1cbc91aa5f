/**
 * Where our files lie: the XDG folders of whoever started us, made 0700 and refused when somebody else could write in them.
 *
 * Two state folders never share a socket. It never reads a variable other than HOME, XDG_* and TMPDIR, and never makes anything until asked.
 */
import { createHash } from 'node:crypto'
import { accessSync, constants, statSync } from 'node:fs'
import { chmod, lstat, mkdir } from 'node:fs/promises'
import { homedir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import { Fault } from './fault.ts'

export type Env = Readonly<Record<string, string | undefined>>

export type Paths = {
  /** The operator's settings. */
  configFile: string
  stateFolder: string
  /** Keys of `keys set`, beside the state and never in it: who copies or backs up the state must not carry keys along. */
  keys: string
  database: string
  /** The daemon's own socket, where commands reach it. */
  socket: string
  /** One folder per attempt, removed with it. */
  areas: string
  /** Our stores of each repository. */
  repos: string
  /** Sealed set-up layers. */
  layers: string
  transcripts: string
  /** What parked attempts left, sealed. */
  archives: string
  reports: string
  /** One socket per attempt; short, because a socket's whole path fits into 107 bytes or does not work. */
  sockets: string
  /** The daemon's log. */
  log: string
}

/** Longest path of a socket we make, in bytes: 107 is the kernel's, 103 macOS's, and containers put a prefix before it. */
const longestSocketPath = 90
/** Room for the name of a socket within its folder. */
const socketNameBytes = 24

/** The paths for this environment. Nothing is made. Relative XDG values are ignored, as the XDG specification demands. */
export function findPaths(env: Env = process.env): Paths {
  const home = env['HOME'] || homedir()
  const base = (name: string, fallback: string) => {
    const value = env[name]
    return value && isAbsolute(value) ? resolve(value) : join(home, fallback)
  }
  const stateFolder = join(base('XDG_STATE_HOME', '.local/state'), 'tri-agent')
  const sockets = socketFolder(stateFolder, env)
  return {
    configFile: join(base('XDG_CONFIG_HOME', '.config'), 'tri-agent', 'config.yaml'),
    stateFolder,
    keys: `${stateFolder}-keys`,
    database: join(stateFolder, 'tasks.db'),
    // where it is shared with a companion, a folder of attempts' sockets must not hold the door of the daemon
    socket: join(sockets.startsWith(stateFolder) ? stateFolder : sockets, 'daemon.sock'),
    areas: join(stateFolder, 'areas'),
    repos: join(stateFolder, 'repos'),
    layers: join(stateFolder, 'layers'),
    transcripts: join(stateFolder, 'transcripts'),
    archives: join(stateFolder, 'archives'),
    reports: join(stateFolder, 'reports'),
    sockets,
    log: join(stateFolder, 'daemon.log'),
  }
}

/** Where this environment says that it keeps what is temporary. */
const temporaryFolder = (env: Env): string => (env['TMPDIR'] && isAbsolute(env['TMPDIR']) ? env['TMPDIR'] : '/tmp')

/** What is made there has a name of its own of at most 38 bytes, and sockets in it of at most 20: together with this they fit into 107. */
const longestTemporary = 48

/** Why nothing can be made where TMPDIR says; null where it can, or it says nothing. */
export function whyNotTemporary({ TMPDIR: named }: Env): string | null {
  if (!named) return null
  if (!isAbsolute(named)) return 'not an absolute path'
  try {
    if (!statSync(named).isDirectory()) return 'not a folder'
    accessSync(named, constants.W_OK | constants.X_OK)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'it cannot be looked at'
  }
  // resolved: macOS gives it a slash at its end, and without that it fits
  const fits = Buffer.byteLength(resolve(named)) <= longestTemporary
  return fits ? null : `too long, sockets need one of at most ${longestTemporary} bytes`
}

/** Where what is temporary is made: as TMPDIR says where that can be, else where every Unix has it. */
export const temporaryPlace = (env: Env = process.env): string =>
  whyNotTemporary(env) === null ? temporaryFolder(env) : '/tmp'

/** The folders in which state folders of this account have their sockets, with what those are called: those of others are among them. */
export function socketParents(env: Env): { parent: string; shape: RegExp }[] {
  const runtime = env['XDG_RUNTIME_DIR']
  return [
    ...(runtime && isAbsolute(runtime) ? [{ parent: runtime, shape: /^tri-agent-[0-9a-f]{8}$/ }] : []),
    { parent: temporaryFolder(env), shape: new RegExp(`^tri-agent-${userId()}-[0-9a-f]{8}$`) },
  ]
}

/** In the state folder where that is short enough; else named after it where sockets are put. The runtime folder may vanish at log-out, so it is second. */
function socketFolder(stateFolder: string, env: Env): string {
  const fits = (folder: string) => Buffer.byteLength(folder) + 1 + socketNameBytes <= longestSocketPath
  const beside = join(stateFolder, 'sockets')
  if (fits(beside)) return beside // the usual case, which must not wait for a hash
  const name = createHash('sha256').update(stateFolder).digest('hex').slice(0, 8)
  const runtime = env['XDG_RUNTIME_DIR']
  const candidates = [
    ...(runtime && isAbsolute(runtime) ? [join(runtime, `tri-agent-${name}`)] : []),
    join(temporaryFolder(env), `tri-agent-${userId()}-${name}`),
  ]
  return candidates.find(fits) ?? join('/tmp', `tri-agent-${userId()}-${name}`)
}

const userId = (): number => process.getuid?.() ?? 0

/** Makes every folder of ours 0700. Faults: `folder-unsafe` when one is a link, belongs to another user or could be written by one. */
export async function makeFolders(paths: Paths): Promise<void> {
  const { stateFolder, sockets, areas, repos, layers, transcripts, archives, reports } = paths
  for (const folder of [stateFolder, sockets, areas, repos, layers, transcripts, archives, reports])
    await makeOwnFolder(folder)
}

/** Makes one folder 0700, or makes sure that the one there is ours alone. Faults: `folder-unsafe`, `folder-unmade`. */
export async function makeOwnFolder(folder: string): Promise<void> {
  // a file or a dangling link in its place makes this fail too: said below, with the reason
  const failed = await mkdir(folder, { recursive: true, mode: 0o700 }).then(
    () => null,
    (error: Error) => error,
  )
  const found = await lstat(folder).catch(() => null)
  if (found === null)
    throw new Fault('folder-unmade', `${folder} cannot be made`, {
      cause: failed,
      hint: failed?.message ?? 'try again',
    })
  const unsafe = (what: string, hint: string) => new Fault('folder-unsafe', `${folder} ${what}`, { hint })
  if (found.isSymbolicLink()) throw unsafe('is a symbolic link', 'point XDG_STATE_HOME at the folder itself')
  if (!found.isDirectory()) throw unsafe('is not a folder', 'move that file away')
  if (found.uid !== userId())
    throw unsafe(`belongs to user ${found.uid}, not to you`, 'start as that user, or set XDG_STATE_HOME')
  if ((found.mode & 0o022) !== 0)
    throw unsafe('can be written by other users', `look at what is in it, then: chmod 700 ${folder}`)
  if ((found.mode & 0o077) !== 0) await chmod(folder, 0o700)
}
