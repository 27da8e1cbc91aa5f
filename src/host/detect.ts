/**
 * What `init` proposes for a repository, and where on this machine the programs lie that a repository's commands need.
 *
 * The operator's PATH is the authority: a repository can name a program, but only what PATH leads to is mounted, and never a home folder, a
 * folder that holds one, or one with our own state or configuration in it.
 */
import { accessSync, closeSync, constants, existsSync, openSync, readSync, statSync } from 'node:fs'
import { basename, delimiter, dirname, isAbsolute, join, relative, resolve } from 'node:path'
import type { RepositorySettings } from '../core/setting.ts'
import { ecosystems, type Look, type Proposal, unknownTo } from './ecosystem.ts'
import { Fault } from './fault.ts'
import { type Env, findPaths } from './path.ts'
import { behindShim, type ReadPin } from './shim.ts'

export type Detected = Omit<Proposal, 'found'> & { found: string[] }

/** Proposes set-up, gates and tools from a commit's files. A gate's name is taken by the first ecosystem that has it; `missing` is for a person. */
export function detectRepository(look: Look): Detected {
  const proposals = ecosystems.map((ecosystem) => ecosystem(look)).filter((each) => each !== null)
  const gates = new Map<string, string>()
  for (const { name, command } of proposals.flatMap((each) => each.gates))
    if (!gates.has(name)) gates.set(name, command)
  const used = proposals.filter(
    ({ setup, gates: own }) => setup.length > 0 || own.some(({ name, command }) => gates.get(name) === command),
  )
  const missing = [...proposals.flatMap((each) => each.missing), ...unknownTo(look)]
  if (!gates.has('test')) missing.push('no command that tests was found: without one nothing shows that a change works')
  return {
    found: proposals.map(({ found }) => found),
    setup: proposals.flatMap(({ setup }) => setup),
    setupKey: [...new Set(proposals.flatMap(({ setupKey }) => setupKey))],
    gates: [...gates].map(([name, command]) => ({ name, command })),
    toolchain: [...new Set(used.flatMap(({ toolchain }) => toolchain))],
    missing,
  }
}

export type Toolchain = {
  /** Folders for PATH, in order. One that ends in `/` is mounted alone; a `…/bin` without it is mounted with what lies beside it. */
  folders: string[]
  /** What was named and cannot be used, and why. */
  missing: { name: string; why: string }[]
}

/** Where everything on the PATH of a sandbox is anyway. */
const systemFolders = ['/usr', '/bin', '/sbin', '/lib', '/lib64']
const standardPath = ['/usr/local/bin', '/usr/bin', '/bin']

/** Folders for the programs a repository needs. Faults: `tool-missing` when one it names in `toolchain` is not there or may not be mounted. */
export function resolveToolchain(settings: RepositorySettings, env: Env, pin?: ReadPin): string[] {
  const { folders, missing } = examineToolchain(settings, env, pin)
  if (missing.length === 0) return folders
  throw new Fault('tool-missing', missing.map(({ name, why }) => `${name}: ${why}`).join('; '), {
    hint: 'install it, or correct `toolchain:` in tri-agent.yaml',
  })
}

/** The same without the fault: for `init` and `doctor`. Programs named only inside a command are taken where found and not missed where not. */
export function examineToolchain(
  settings: Pick<RepositorySettings, 'toolchain' | 'setup' | 'gates'>,
  env: Env,
  pin: ReadPin = () => null,
): Toolchain {
  const folders = new Set<string>()
  const missing: Toolchain['missing'] = []
  const bounds = boundsOf(env, pin)
  for (const name of settings.toolchain) {
    const why = isAbsolute(name)
      ? addFolder(resolve(name), env, bounds, folders)
      : addProgram(name, env, bounds, folders)
    if (why !== null) missing.push({ name, why })
  }
  const commands = [...settings.setup, ...settings.gates.map(({ command }) => command)]
  for (const program of commands.flatMap(programsIn)) addProgram(program, env, bounds, folders)
  return { folders: [...folders], missing }
}

/** The programs a shell command starts, as far as can be seen without a shell: the first word of each part. */
export function programsIn(command: string): string[] {
  return command
    .split(/&&|\|\||[;|\n]/)
    .map((part) => part.trim().replace(/^(?:[A-Za-z_]\w*=(?:"[^"]*"|'[^']*'|\S*)\s+)*/, ''))
    .map((part) => /^[\w.+-]+(?=\s|$)/.exec(part)?.[0])
    .filter((word) => word !== undefined)
}

type Bounds = { home: string | null; own: string[]; pin: ReadPin }

function boundsOf(env: Env, pin: ReadPin): Bounds {
  const { stateFolder, keys, configFile } = findPaths(env)
  return { home: env['HOME'] ? resolve(env['HOME']) : null, own: [stateFolder, keys, dirname(configFile)], pin }
}

const isWithin = (path: string, folder: string): boolean =>
  !relative(folder, path).startsWith('..') && !isAbsolute(relative(folder, path))

/** Folders under HOME that hold programs beside secrets or everybody's files. */
const mixedFolders = ['.local', '.cargo', '.config', '.cache', '.npm']

/** May be shown to an agent: holds no home folder, nothing of ours, and is not one of those that mix programs with secrets. */
function isSafe(folder: string, { home, own }: Bounds): boolean {
  if (folder === '/' || own.some((each) => isWithin(each, folder))) return false
  if (home === null) return true
  return !isWithin(home, folder) && !mixedFolders.some((name) => folder === join(home, name))
}

/**
 * A hidden folder of HOME is a client's own: `~/.docker`, `~/.fly` and their like keep credentials and sockets beside their `bin`. It is shown whole only
 * where programs have their libraries in it, as in a virtual environment.
 */
const isInstallation = (folder: string, { home }: Bounds): boolean =>
  dirname(folder) !== home ||
  !basename(folder).startsWith('.') ||
  ['lib', 'lib64', 'libexec'].some((name) => existsSync(join(folder, name)))

/** Adds one folder of programs; answers why not. */
function add(folder: string, bounds: Bounds, folders: Set<string>): string | null {
  if (standardPath.includes(folder)) return null
  if (!isSafe(folder, bounds)) return `${folder} holds more than programs and is not shown to agents`
  const withPrefix =
    folder.endsWith('/bin') &&
    !systemFolders.some((system) => isWithin(folder, system)) &&
    isSafe(dirname(folder), bounds) &&
    isInstallation(dirname(folder), bounds)
  folders.add(withPrefix || !folder.endsWith('/bin') ? folder : `${folder}/`)
  return null
}

function addProgram(name: string, env: Env, bounds: Bounds, folders: Set<string>, depth = 0): string | null {
  if (!/^[\w.+-]+$/.test(name)) return 'is not the name of a program'
  const found = findProgram(name, env)
  if (found === null) return 'is not on PATH'
  const behind = behindShim(found, env, bounds.pin)
  if (behind === null) return `is a shim (${found}) for which no version is chosen`
  const { real, isShim } = behind
  const isSystem = systemFolders.some((system) => isWithin(real, system))
  const onPath = isShim ? null : add(homebrewOf(found) ?? dirname(found), bounds, folders)
  const why = onPath ?? (isSystem ? null : add(dirname(real), bounds, folders))
  if (why !== null) return why
  if (isWithin(real, '/nix/store')) folders.add('/nix/store')
  const interpreter = interpreterOf(real)
  return interpreter === null || depth > 2 ? null : addProgram(interpreter, env, bounds, folders, depth + 1)
}

/** What Homebrew installs finds its libraries by the path of the whole prefix, so that is what is shown. */
const homebrewOf = (found: string): string | null => {
  const prefix = ['/opt/homebrew', '/home/linuxbrew/.linuxbrew'].find((each) => isWithin(found, each))
  return prefix === undefined ? null : `${prefix}/bin`
}

/** An absolute folder is taken only when PATH leads into it, so that a repository cannot ask for any folder of the machine. */
function addFolder(folder: string, env: Env, bounds: Bounds, folders: Set<string>): string | null {
  if (systemFolders.some((system) => isWithin(folder, system))) {
    folders.add(folder.endsWith('/bin') ? `${folder}/` : folder)
    return null
  }
  const entry = pathOf(env).find((each) => each === folder || each === join(folder, 'bin'))
  return entry === undefined
    ? 'is not on PATH, which alone decides what a repository may use'
    : add(entry, bounds, folders)
}

const pathOf = (env: Env): string[] =>
  (env['PATH'] ?? '')
    .split(delimiter)
    .filter(isAbsolute)
    .map((each) => resolve(each))

/** The file a command name means on this PATH, or null. */
export function findProgram(name: string, env: Env): string | null {
  for (const folder of pathOf(env)) {
    const file = join(folder, name)
    try {
      accessSync(file, constants.X_OK)
      if (statSync(file).isFile()) return file
    } catch {
      continue // not here: the next folder may have it
    }
  }
  return null
}

/** `node` for a script that begins `#!/usr/bin/env node`; null for anything else. */
function interpreterOf(file: string): string | null {
  const descriptor = openSync(file, 'r')
  try {
    const start = Buffer.alloc(128)
    const line = start.toString('latin1', 0, readSync(descriptor, start, 0, start.length, 0))
    return /^#! ?\/usr\/bin\/env (?:-S )?([\w.+-]+)/.exec(line)?.[1] ?? null
  } finally {
    closeSync(descriptor)
  }
}
