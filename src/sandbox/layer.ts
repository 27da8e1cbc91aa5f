/**
 * Set-up layers on disk: what a set-up command added to a tree, sealed once and given to many: laid below their trees where the machine can (overlay.ts), else
 * as copies. A copy shares blocks where the file system can (reflink), and is the attempt's own: nothing written there reaches the sealed layer.
 *
 *     INTO/files/PATH…      the added paths          INTO/manifest.json      written last: without it there is no layer
 *
 * To be copied they are read-only. To be laid below a tree they keep their modes, because those are what is seen there; nothing writes them all the same.
 *
 * Trees come from repositories and layers from their commands: no link in either is ever followed, and `.git` is nobody's dependency.
 */
import { constants } from 'node:fs'
import {
  chmod,
  copyFile,
  cp,
  lstat,
  lutimes,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Fault } from '../host/fault.ts'
import { removeTree } from './area.ts'

export type Manifest = {
  /** The top-most added paths, as git writes paths. */
  paths: string[]
  files: number
  bytes: number
  /** What the command itself had left unwritable for its owner; everything else is made writable again in a copy. */
  readOnly: string[]
}

/** Its file in a layer's folder. */
export const layerManifest = 'manifest.json'

/** Whose modes sealed files have. */
export type Seal = 'read-only' | 'as made'

/** Moves what is in `tree` and not tracked into `into`, whole folders where nothing in them is tracked, and writes the manifest last. Faults: `tree-gone`. */
export async function sealLayer(
  tree: string,
  tracked: ReadonlySet<string>,
  into: string,
  how: Seal = 'read-only',
): Promise<Manifest> {
  // gone, too, where its attempt was given back while its worker did not get to run
  const found = await lstat(tree).catch(() => null)
  if (!found?.isDirectory()) throw new Fault('tree-gone', `${tree} is not the folder it was made as`)
  const folders = new Set<string>()
  for (const path of tracked)
    for (let parent = dirname(path); parent !== '.' && !folders.has(parent); parent = dirname(parent))
      folders.add(parent)
  await removeTree(join(into, 'files')) // an earlier one that was cut short
  const manifest: Manifest = { paths: [], files: 0, bytes: 0, readOnly: [] }
  for (const path of await untracked(tree, '', tracked, folders)) {
    const sealed = join(into, 'files', path)
    await mkdir(dirname(sealed), { recursive: true })
    await move(join(tree, path), sealed)
    if (await seal(join(into, 'files'), path, manifest, how)) manifest.paths.push(path)
  }
  const file = join(into, layerManifest)
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
    if (path.toLowerCase() === '.git') continue
    if (entry.isDirectory() && folders.has(path)) found.push(...(await untracked(tree, path, tracked, folders)))
    else if (!tracked.has(path)) found.push(path)
  }
  return found.toSorted()
}

async function move(from: string, to: string): Promise<void> {
  const { mode } = await lstat(from)
  if ((mode & constants.S_IFMT) === constants.S_IFDIR) await chmod(from, mode | 0o700) // else it could not be moved
  try {
    await rename(from, to)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error
    await cp(from, to, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true })
    await removeTree(from)
  }
  if ((mode & constants.S_IFMT) === constants.S_IFDIR) await chmod(to, mode)
}

/** False when it was a socket or a pipe, which is no file: it is removed. */
async function seal(files: string, path: string, manifest: Manifest, how: Seal): Promise<boolean> {
  const full = join(files, path)
  const stat = await lstat(full)
  if (stat.isSymbolicLink()) return true
  if (!stat.isDirectory() && !stat.isFile()) {
    await rm(full)
    return false
  }
  if ((stat.mode & 0o200) === 0) manifest.readOnly.push(path)
  const mode = stat.mode & (how === 'read-only' ? 0o555 : 0o777)
  if (stat.isFile()) {
    manifest.files += 1
    manifest.bytes += stat.size
    await chmod(full, mode | 0o400)
    return true
  }
  await chmod(full, 0o700)
  for (const name of await readdir(full)) await seal(files, `${path}/${name}`, manifest, how)
  await utimes(full, stat.atime, stat.mtime)
  await chmod(full, mode | 0o500)
  return true
}

/** Copies a sealed layer into a tree, writable; answers the top-most paths it added. What the tree has already stays, whatever it is. */
export async function applyLayer(layer: string, tree: string): Promise<string[]> {
  const { paths, readOnly } = await manifestOf(layer)
  const closed = new Set(readOnly)
  const added: string[] = []
  for (const path of paths) {
    if (!(await makeParents(tree, dirname(path)))) continue
    await copy(join(layer, 'files'), tree, path, closed)
    added.push(path)
  }
  return added
}

const manifestOf = async (layer: string): Promise<Manifest> =>
  JSON.parse(await readFile(join(layer, layerManifest), 'utf8')) as Manifest

/** The top-most paths that a layer adds to a tree it is laid below: all but those that would lie behind something else of the tree. */
export async function pathsBelow(layer: string, tree: string): Promise<string[]> {
  const { paths } = await manifestOf(layer)
  const added: string[] = []
  for (const path of paths) if (await isOpen(tree, dirname(path))) added.push(path)
  return added
}

async function isOpen(tree: string, folder: string): Promise<boolean> {
  if (folder === '.') return true
  if (!(await isOpen(tree, dirname(folder)))) return false
  const there = await lstat(join(tree, folder)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    return null
  })
  return there === null || there.isDirectory()
}

/** Makes the folders a path lies in. False where the tree has something else there: through a link we would write outside of it. */
async function makeParents(tree: string, folder: string): Promise<boolean> {
  if (folder === '.') return true
  if (!(await makeParents(tree, dirname(folder)))) return false
  await mkdir(join(tree, folder)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error // what is there is looked at below
  })
  return (await lstat(join(tree, folder))).isDirectory()
}

async function copy(files: string, tree: string, path: string, closed: ReadonlySet<string>): Promise<void> {
  const from = join(files, path)
  const to = join(tree, path)
  const stat = await lstat(from)
  const there = await lstat(to).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    return null
  })
  if (there !== null && !(there.isDirectory() && stat.isDirectory())) return
  if (stat.isSymbolicLink()) {
    await symlink(await readlink(from), to)
    return lutimes(to, stat.atime, stat.mtime)
  }
  const mode = (stat.mode & 0o777) | (closed.has(path) ? 0 : 0o200)
  if (stat.isFile()) {
    await copyFile(from, to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL)
    await utimes(to, stat.atime, stat.mtime) // build tools compare times
    return chmod(to, mode)
  }
  if (there === null) await mkdir(to, { mode: 0o700 })
  await Promise.all((await readdir(from)).map((name) => copy(files, tree, `${path}/${name}`, closed)))
  if (there !== null) return
  await utimes(to, stat.atime, stat.mtime)
  await chmod(to, mode)
}
