/**
 * Programs of others to measure beside: installed into a folder of their own outside the tree, exactly these versions, without install scripts, and
 * removed afterwards.
 */
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { environment } from '../src/host/environment.ts'
import { capture } from '../src/host/process.ts'
import { world } from '../test/cli-rig.ts'

/** Where programs are looked for. */
export const searchedPath = environment()['PATH'] ?? '/usr/bin:/bin'

export const firstLine = (text: string): string => text.trim().split('\n')[0] ?? ''

/** `missing`: why there is nothing in the folder, or null. */
export type Installed = AsyncDisposable & { folder: string; missing: string | null }

/** Installs packages and copies `program`, a file of this folder, beside them. */
export async function installPeers(packages: Readonly<Record<string, string>>, program: string): Promise<Installed> {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-peers-'))
  const manifest = { private: true, type: 'module', dependencies: packages }
  await writeFile(join(folder, 'package.json'), JSON.stringify(manifest))
  await copyFile(join(import.meta.dirname, program), join(folder, program))
  const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const { code, stderr } = await capture(world.spawn, { file: 'npm', args, cwd: folder, env: installEnv(folder) })
  return {
    folder,
    missing: code === 0 ? null : `npm cannot install them: ${firstLine(stderr)}`,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
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
  return { ...Object.fromEntries(said), PATH: searchedPath, HOME: home }
}
