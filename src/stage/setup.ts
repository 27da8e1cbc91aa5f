/**
 * Set-up layers: a sandbox starts empty, so dependencies need a place. The repository's `setup:` commands are executed once per set of
 * `setupKey:` files, contained and without network, and what they made is sealed and given copy-on-write to everything that follows.
 */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Sha } from '../git/git.ts'
import { makeArea, removeArea } from '../sandbox/area.ts'
import { applyLayer, sealLayer } from '../sandbox/layer.ts'
import { contain } from './contain.ts'
import type { Layers, StagePorts, Work } from './stage.ts'

/** How long all set-up commands of a layer may take together. */
const setupMs = 15 * 60_000

/** Names the layer a tree needs: same commands, same key files, same tools, same rung: same layer. */
export async function layerKey(ports: StagePorts, work: Work, treeish: Sha): Promise<string> {
  const { setup, setupKey } = work.repository
  const hash = createHash('sha256').update(JSON.stringify([setup, work.toolchain, ports.sandbox.rung]))
  for (const path of setupKey)
    hash.update(`\0${path}\0`).update((await ports.git.readFile(work.repo.stores, treeish, path)) ?? '')
  return hash.digest('hex').slice(0, 32)
}

/** Puts a tree's dependencies into `into`; answers null, or why they could not be set up. Top-level paths it added are in `added`. */
export async function setUp(
  ports: StagePorts,
  work: Work,
  treeish: Sha,
  into: string,
): Promise<{ added: string[] } | { failed: string }> {
  if (work.repository.setup.length === 0) return { added: [] }
  const layer = await ports.layers.get(await layerKey(ports, work, treeish), (folder) =>
    makeLayer(ports, work, treeish, folder),
  )
  if ('failed' in layer) return layer
  return { added: await applyLayer(layer.folder, into) }
}

async function makeLayer(ports: StagePorts, work: Work, treeish: Sha, into: string): Promise<string | null> {
  const area = await makeArea(join(work.folder, 'setup'))
  try {
    await ports.git.checkout(work.repo.stores, treeish, area.work)
    for (const command of work.repository.setup) {
      work.onOutput('note', `set-up: ${command}`)
      const view = ports.sandbox.view(area, null)
      const ran = await contain(
        ports,
        work,
        {
          area,
          argv: ['/bin/sh', '-c', command],
          env: { HOME: view.home, TMPDIR: view.tmp, CI: 'true' },
          stdin: null,
          mounts: [],
          gateway: null,
          toolchain: work.toolchain,
        },
        setupMs,
      )
      if (ran.stopped) return 'stopped'
      if (ran.code !== 0)
        return `set-up command "${command}" ${ran.timedOut ? 'timed out' : `failed (exit ${ran.code ?? ran.signal})`}:\n${ran.tail}`
    }
    const tracked = new Set(await ports.git.listFiles(work.repo.stores, treeish))
    await sealLayer(area.work, tracked, into)
    return null
  } finally {
    await removeArea(area)
  }
}

/** Layers kept in a folder of the state. */
export function layersIn(folder: string): Layers {
  const making = new Map<string, Promise<string | null>>()
  return {
    async get(key, make) {
      const path = join(folder, key)
      if (existsSync(join(path, 'manifest.json'))) return { folder: path }
      let made = making.get(key)
      if (!made) {
        made = mkdir(path, { recursive: true, mode: 0o700 }).then(() => make(path))
        making.set(key, made)
        void made.finally(() => making.delete(key)).catch(() => {}) // whoever awaits `made` hears of the failure
      }
      const failed = await made
      return failed === null ? { folder: path } : { failed }
    },
  }
}
