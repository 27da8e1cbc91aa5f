/**
 * Programs from npm, by the lockfile of the folder `from`, into a cache outside of the tree: once (the real clients are about 1.2 GB, 30 s). No install script is executed, so
 * what npm calls a program may be a placeholder; agent/locate.ts finds the real one. An interrupted install is never taken for one.
 *
 *     TRI_AGENT_TEST_CLIENTS, else the user's cache folder ─▶ <hash of the lockfile>/node_modules
 */
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Env } from '../../src/host/path.ts'
import { capture } from '../../src/host/process.ts'
import type { World } from '../../src/host/world.ts'

const root = join(import.meta.dirname, '../..')
const files = ['package.json', 'package-lock.json', '.npmrc']

/** `unreachable`: there is no registry here; any other failure of npm is an error of ours. */
export type Installed = { folder: string; seconds: number | null } | { unreachable: string }

/** Installs what is not there yet. `seconds`: how long that took, null when it was there. Rejects when npm fails for another reason than the network. */
export async function install(world: World, env: Env, from: string): Promise<Installed> {
  const hash = createHash('sha256').update(readFileSync(join(from, 'package-lock.json')))
  const folder = join(cacheFolder(env), hash.digest('hex').slice(0, 16))
  if (existsSync(join(folder, 'node_modules'))) return { folder, seconds: null }
  mkdirSync(cacheFolder(env), { recursive: true })
  const began = world.clock.mono()
  const made = mkdtempSync(`${folder}.new-`)
  try {
    for (const name of files) cpSync(join(from, name), join(made, name))
    const failed = await npm(world, env, made)
    const why = failed?.split('\n').filter((line) => unreachable.test(line)) ?? []
    if (why.length > 0) return { unreachable: [...new Set(why)].slice(0, 2).join('; ') }
    if (failed !== null) throw new Error(`npm could not install what ${from} names:\n${failed}`)
    if (!existsSync(folder)) renameSync(made, folder) // else somebody else was faster
    return { folder, seconds: (world.clock.mono() - began) / 1000 }
  } finally {
    rmSync(made, { recursive: true, force: true })
  }
}

function cacheFolder(env: Env): string {
  const own = env['TRI_AGENT_TEST_CLIENTS']
  if (own) return own
  const home = env['HOME']
  if (!env['XDG_CACHE_HOME'] && !home) throw new Error('there is no HOME: set TRI_AGENT_TEST_CLIENTS to a folder')
  return join(env['XDG_CACHE_HOME'] || join(home ?? '', '.cache'), 'tri-agent/test-clients')
}

/** What npm says when it does not reach a registry, or not the way it is told to. */
const unreachable =
  /\b(?:ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT|E50\d|E40[1378]|E429|[A-Z_]*CERT[A-Z_]*|UNABLE_TO_VERIFY_LEAF_SIGNATURE)\b/

/** What it needs to reach its registry, and nothing else of this machine. */
const passed = /^(?:NODE_EXTRA_CA_CERTS|npm_config_registry|https?_proxy|no_proxy)$/i

/** Null, or what npm complained of. npm is that of the machine, under its own Node: it finds the machine's settings beside it. */
async function npm(world: World, env: Env, cwd: string): Promise<string | null> {
  const folders = (env['PATH'] ?? '').split(delimiter).filter((folder) => !`${folder}/`.startsWith(`${root}/`))
  const reach = Object.fromEntries(Object.entries(env).filter(([name, value]) => passed.test(name) && value))
  const { code, signal, stdout, stderr } = await capture(world.spawn, {
    file: '/bin/sh',
    args: ['-c', 'exec npm ci --ignore-scripts --include=optional --engine-strict=false --loglevel=error'],
    cwd,
    env: { ...(reach as Record<string, string>), PATH: folders.join(delimiter), HOME: env['HOME'] ?? cwd },
  })
  return code === 0 ? null : `${stderr}${stdout}`.trim().slice(0, 2000) || `npm ended with ${code ?? signal}`
}
