/** The host folders of one attempt, and how they go: also when a contained program has taken its own permissions away. Links are never followed. */
import { chmod, lstat, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Area } from './sandbox.ts'

/** The folders of the area under `root`. */
export const areaAt = (root: string): Area => ({
  root,
  work: join(root, 'work'),
  home: join(root, 'home'),
  out: join(root, 'out'),
  tmp: join(root, 'tmp'),
})

/** Makes the folders of an area under `root`, all 0700. `work` is left for whoever fills it. */
export async function makeArea(root: string): Promise<Area> {
  const area = areaAt(root)
  for (const folder of [root, area.home, area.out, area.tmp]) await mkdir(folder, { recursive: true, mode: 0o700 })
  return area
}

/** Removes an area, whatever is in it. */
export const removeArea = ({ root }: Pick<Area, 'root'>): Promise<void> => removeTree(root)

/** What a program can do to its folders to make `rm` fail. */
const mendable = ['EACCES', 'EPERM', 'ENOTEMPTY', 'ENAMETOOLONG']
/** A path longer than this is brought nearer before it grows past what the kernel takes (4096 bytes). */
const longPath = 2000
/** More passes than this only while they bring something up: a folder that cannot be opened stays so. */
const passes = 3

/** Removes a tree: folders a program has closed are opened, and what lies too deep for a path is brought up first. */
export async function removeTree(path: string): Promise<void> {
  const lift = { into: path, taken: 0 }
  for (let pass = 1, before = -1; ; pass += 1)
    try {
      return await rm(path, { recursive: true, force: true })
    } catch (error) {
      const stuck = pass > passes && lift.taken === before
      if (stuck || !mendable.includes((error as NodeJS.ErrnoException).code ?? '')) throw error
      before = lift.taken
      await openFolders(path, lift)
    }
}

/** What the first pass is still removing while we look may be gone at any moment: that is what is wanted. */
const openFolders = (path: string, lift: Lift): Promise<void> =>
  open(path, lift).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
  })

type Lift = { into: string; taken: number }

async function open(path: string, lift: Lift): Promise<void> {
  if (!(await lstat(path)).isDirectory()) return
  await chmod(path, 0o700)
  if (Buffer.byteLength(path) > longPath && dirname(path) !== lift.into) {
    await rename(path, join(lift.into, `.deep-${(lift.taken += 1)}`))
    return // the next pass meets it again
  }
  for (const entry of await readdir(path, { withFileTypes: true }))
    if (entry.isDirectory()) await openFolders(join(path, entry.name), lift)
}
