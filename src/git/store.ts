/**
 * Our own bare stores of a repository: the mirror (base and target history), the quarantine (what attempts handed in, and landings in the making), and
 * where there are any, the files of submodules.
 *
 *     quarantine ──reads also──▶ mirror
 *
 * The quarantine borrows from the mirror by environment, not by an `alternates` file: an agent gets both object folders mounted at other
 * paths, and a file naming host paths would make each of its git commands complain. Nothing here ever deletes an object.
 */
import { access, mkdir, mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { World } from '../host/world.ts'
import type { Command } from './command.ts'
import type { RepoStores } from './git.ts'

/** Where a command reads and writes objects. */
export type Place = { gitDir: string; borrow?: readonly string[]; env?: Readonly<Record<string, string>> }

/** Overrides every attribute that could change bytes between a blob and a file, whatever the tree's own .gitattributes say. */
export const exactAttributes = '* -text -eol -ident -filter -working-tree-encoding\n'

/** The host folders that hold every object we know of this repository: quarantine first. */
export const objectFolders = (stores: RepoStores): string[] => [
  join(stores.quarantine, 'objects'),
  join(stores.mirror, 'objects'),
]

/** Where commands on candidates act: the quarantine, reading the mirror too. */
export const quarantinePlace = (stores: RepoStores): Place => ({
  gitDir: stores.quarantine,
  borrow: [join(stores.mirror, 'objects')],
})

/** Our store of submodules' files. Nothing borrows from it but checkouts: what lies there can be part of no bundle and no landing. */
export const modulesOf = ({ quarantine }: RepoStores): string => join(dirname(quarantine), 'modules.git')

/** Makes a bare store unless it is there. It appears whole, because others may be making it at the same time: the first one counts. */
export async function ensureStore(command: Command, gitDir: string, format: string): Promise<void> {
  if (await isStore(gitDir)) return
  await mkdir(dirname(gitDir), { recursive: true })
  const made = await mkdtemp(`${gitDir}.new-`)
  try {
    // HEAD names a branch that never exists, so that no version of git takes attributes from HEAD in a bare store.
    const args = [
      'init',
      '--quiet',
      '--bare',
      '--template=',
      `--object-format=${format}`,
      '--initial-branch=none',
      made,
    ]
    await command.answer({ args })
    await mkdir(join(made, 'info'), { recursive: true })
    await writeFile(join(made, 'info', 'attributes'), exactAttributes)
    await rename(made, gitDir).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    })
  } finally {
    await rm(made, { recursive: true, force: true })
  }
}

const crowdedPacks = 40
const staleLockMs = 3_600_000

/**
 * Rolls small packs together when there are many. Keeps every object, reachable or not; who reads meanwhile looks again and finds them.
 * Two at once would pull packs from under each other, so one takes the lock and the other goes on without.
 */
export async function tidyStore(world: World, command: Command, place: Place): Promise<void> {
  const packs = (await readdir(join(place.gitDir, 'objects', 'pack'))).filter((name) => name.endsWith('.pack'))
  if (packs.length <= crowdedPacks) return
  const lock = join(place.gitDir, 'tidy.lock')
  if (!(await takeLock(world, lock))) return
  try {
    await command.answer({ ...place, args: ['repack', '--quiet', '-d', '-l', '--geometric=2'], durable: true })
  } finally {
    await rm(lock, { recursive: true, force: true })
  }
}

/** A folder, because making one is atomic. A lock left by a crash is removed after an hour, and taken the next time. */
async function takeLock(world: World, lock: string): Promise<boolean> {
  try {
    await mkdir(lock)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  const made = (await stat(lock).catch(() => null))?.mtimeMs
  if (made !== undefined && world.clock.now() - made > staleLockMs) await rm(lock, { recursive: true, force: true })
  return false
}

/** Is it there? It appears whole. */
export async function isStore(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  )
}
