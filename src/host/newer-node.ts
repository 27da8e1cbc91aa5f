/**
 * A Node new enough for us, looked for where people keep several, and this program started anew with it.
 *
 * Read by an old Node: it imports only what comes with Node, and uses no syntax newer than Node 14. It installs nothing and loads nothing.
 */
import { spawn, spawnSync } from 'node:child_process'
import { accessSync, constants, readdirSync, realpathSync } from 'node:fs'
import { delimiter, isAbsolute, join } from 'node:path'
import type { Env } from './path.ts'

/** Set for the program that is started anew, so that this happens once. Its value is the version that was too old. */
const marker = 'TRI_AGENT_INSTEAD_OF_NODE'

/** How long a Node may take to tell its version. Milliseconds. */
const versionMs = 5000

/** Starts this program again with a newer Node and answers its exit code; null: none was found, or this is the second start already. */
export async function startWithNewer(oldest: number): Promise<number | null> {
  const env: Env = process.env
  const program = process.argv[1]
  if (env[marker] || program === undefined) return null
  const node = findNode(env, oldest)
  if (node === null) return null
  const child = spawn(node, process.argv.slice(1), {
    stdio: 'inherit',
    env: { ...env, [marker]: process.versions.node },
  })
  process.on('SIGINT', () => {}) // ^C reaches both of us: the program decides what it means
  for (const name of ['SIGTERM', 'SIGHUP'] as const) process.on(name, () => child.kill(name))
  return new Promise((resolve) => {
    child.once('error', () => resolve(null))
    child.once('exit', (code) => resolve(code === null ? 1 : code))
  })
}

/** The path of a Node of at least this major version: first the one PATH leads to, else the newest in a version manager's folder. Null: none. */
export function findNode(env: Env, oldest: number, roots: readonly string[] = machineFolders): string | null {
  const own = realOf(process.execPath)
  for (const node of [...onPath(env), ...kept(env, oldest, roots)]) {
    const real = realOf(node)
    if (real !== null && real !== own && majorOf(node) >= oldest) return node
  }
  return null
}

const onPath = (env: Env): string[] => (env['PATH'] ?? '').split(delimiter).filter(isAbsolute).map(inFolder)

const inFolder = (folder: string): string => join(folder, 'node')

/** Homebrew's, on both kinds of Mac and on Linux, and where a system's packages put one. */
const machineFolders = [
  '/opt/homebrew',
  '/usr/local',
  '/home/linuxbrew/.linuxbrew',
  '/usr',
  '/opt/local', // MacPorts
]

/** Every Node that a version manager keeps, newest first, then those of the machine. */
function kept(env: Env, oldest: number, roots: readonly string[]): string[] {
  const home = env['HOME'] ?? ''
  const at = (variable: string, ...fallbacks: string[]) => {
    const said = env[variable]
    return said && isAbsolute(said) ? [said] : home === '' ? [] : fallbacks.map((each) => join(home, each))
  }
  const keepers: (readonly [folders: string[], versions: string, rest: string])[] = [
    [at('NVM_DIR', '.nvm'), 'versions/node', 'bin/node'],
    [
      at('FNM_DIR', '.local/share/fnm', '.fnm', 'Library/Application Support/fnm'),
      'node-versions',
      'installation/bin/node',
    ],
    [at('VOLTA_HOME', '.volta'), 'tools/image/node', 'bin/node'],
    [at('ASDF_DATA_DIR', '.asdf'), 'installs/nodejs', 'bin/node'],
    [at('MISE_DATA_DIR', '.local/share/mise'), 'installs/node', 'bin/node'],
    [at('N_PREFIX', 'n'), 'n/versions/node', 'bin/node'],
    [at('NODENV_ROOT', '.nodenv'), 'versions', 'bin/node'],
  ]
  const found: { node: string; version: number[] }[] = []
  for (const [folders, versions, rest] of keepers)
    for (const folder of folders)
      for (const name of list(join(folder, versions))) {
        const [, major, minor, patch] = /^v?(\d+)\.(\d+)\.(\d+)$/.exec(name) ?? []
        if (Number(major) >= oldest)
          found.push({
            node: join(folder, versions, name, rest),
            version: [Number(major), Number(minor), Number(patch)],
          })
      }
  found.sort((a, b) => b.version.map((part, index) => part - a.version[index]!).find((each) => each !== 0) ?? 0)
  const brewed = roots.flatMap((root) => [
    join(root, 'bin/node'),
    ...list(join(root, 'opt'))
      .filter((name) => /^node(@\d+)?$/.test(name))
      .map((name) => join(root, 'opt', name, 'bin/node')),
  ])
  return [...found.map(({ node }) => node), ...brewed]
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder).sort()
  } catch {
    return [] // that manager is not here
  }
}

function realOf(file: string): string | null {
  try {
    accessSync(file, constants.X_OK)
    return realpathSync(file)
  } catch {
    return null // nothing that could be started
  }
}

/** 0 for what does not say `v24.1.0`. A shim of a version manager answers for the folder we are in, which is what it would start. */
function majorOf(node: string): number {
  const { stdout } = spawnSync(node, ['-v'], {
    encoding: 'utf8',
    timeout: versionMs,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [, major] = /^v(\d+)\.\d+\.\d+/.exec(stdout ?? '') ?? []
  return Number(major ?? 0)
}
