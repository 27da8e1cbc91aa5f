/**
 * Set-up layers on disk: what a set-up command added to a tree, sealed once and given to many as copies. A copy shares blocks where the file system
 * can (reflink), and is the attempt's own: nothing written there reaches the sealed layer.
 */
import { constants } from 'node:fs'
import { chmod, cp, lstat, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

export type Manifest = { paths: string[]; files: number; bytes: number }

/** Moves what is in `tree` and not tracked into `into`, whole folders where nothing in them is tracked, and writes the manifest last. */
export async function sealLayer(tree: string, tracked: ReadonlySet<string>, into: string): Promise<Manifest> {
  const folders = new Set<string>()
  for (const path of tracked)
    for (let parent = dirname(path); parent !== '.' && !folders.has(parent); parent = dirname(parent))
      folders.add(parent)
  const paths = await untracked(tree, '', tracked, folders)
  const manifest: Manifest = { paths, files: 0, bytes: 0 }
  for (const path of paths) {
    const sealed = join(into, 'files', path)
    await mkdir(dirname(sealed), { recursive: true })
    await rename(join(tree, path), sealed)
    await seal(sealed, manifest)
  }
  const file = join(into, 'manifest.json')
  await writeFile(`${file}.part`, JSON.stringify(manifest))
  await rename(`${file}.part`, file)
  return manifest
}

async function untracked(
  tree: string,
  folder: string,
  tracked: ReadonlySet<string>,
  folders: ReadonlySet<string>,
): Promise<string[]> {
  const found: string[] = []
  for (const entry of await readdir(join(tree, folder), { withFileTypes: true })) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (entry.isDirectory() && folders.has(path)) found.push(...(await untracked(tree, path, tracked, folders)))
    else if (!tracked.has(path)) found.push(path)
  }
  return found.toSorted()
}

/** Read-only from here on; links are left as they are and never followed. */
async function seal(path: string, manifest: Manifest): Promise<void> {
  const stat = await lstat(path)
  if (stat.isSymbolicLink()) return
  if (stat.isDirectory()) {
    for (const name of await readdir(path)) await seal(join(path, name), manifest)
    return // folders stay ours to remove; nobody else can reach them
  }
  manifest.files += 1
  manifest.bytes += stat.size
  await chmod(path, stat.mode & 0o555)
}

/** Copies a sealed layer into a tree, writable; answers the top-most paths it added. What the tree has already stays. */
export async function applyLayer(layer: string, tree: string): Promise<string[]> {
  const { paths } = JSON.parse(await readFile(join(layer, 'manifest.json'), 'utf8')) as Manifest
  for (const path of paths) {
    const to = join(tree, path)
    await mkdir(dirname(to), { recursive: true })
    await cp(join(layer, 'files', path), to, {
      recursive: true,
      verbatimSymlinks: true,
      force: false,
      mode: constants.COPYFILE_FICLONE,
    })
    await unseal(to)
  }
  return paths
}

async function unseal(path: string): Promise<void> {
  const stat = await lstat(path)
  if (stat.isSymbolicLink()) return
  await chmod(path, stat.mode | 0o200)
  if (stat.isDirectory()) for (const name of await readdir(path)) await unseal(join(path, name))
}
