/** The host folders of one attempt, and how they go: also when a contained program has taken its own permissions away. Links are never followed. */
import { chmod, lstat, mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Area } from './sandbox.ts'

/** Makes the folders of an area under `root`, all 0700. `work` is left for whoever fills it. */
export async function makeArea(root: string): Promise<Area> {
  const area = {
    root,
    work: join(root, 'work'),
    home: join(root, 'home'),
    out: join(root, 'out'),
    tmp: join(root, 'tmp'),
  }
  for (const folder of [root, area.home, area.out, area.tmp]) await mkdir(folder, { recursive: true, mode: 0o700 })
  return area
}

/** Removes an area, whatever is in it. */
export const removeArea = ({ root }: Pick<Area, 'root'>): Promise<void> => removeTree(root)

/** Removes a tree, making folders writable first where a program has closed them. */
export async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'EACCES' && code !== 'EPERM' && code !== 'ENOTEMPTY') throw error
    await openFolders(path)
    await rm(path, { recursive: true, force: true, maxRetries: 3 })
  }
}

async function openFolders(path: string): Promise<void> {
  if (!(await lstat(path)).isDirectory()) return
  await chmod(path, 0o700)
  for (const entry of await readdir(path, { withFileTypes: true }))
    if (entry.isDirectory()) await openFolders(join(path, entry.name))
}
