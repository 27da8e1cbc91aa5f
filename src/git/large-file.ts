/**
 * Git LFS: a tree holds pointers, the contents lie in `lfs/objects` of the user's own git directory. They are laid into checkouts that are only read
 * or tested. An author's clone keeps the pointers: what it commits is what git has. Nothing is ever fetched.
 */
import { constants } from 'node:fs'
import { chmod, copyFile, lstat, realpath } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Outside } from '../core/outside.ts'
import { isRefusal } from '../core/refusal.ts'
import { showPath } from './change.ts'
import type { Command } from './command.ts'
import type { RepoStores, Sha } from './git.ts'
import type { Ports } from './outside.ts'
import { openSource } from './source.ts'
import { quarantinePlace, type Place } from './store.ts'

/** `path` has one character per byte. `file`: its content in the user's clone, or null. */
export type Large = { path: string; bytes: number; file: string | null }

/** A pointer is small (git-lfs docs/spec.md: less than 1024 bytes). */
const mostPointerBytes = 1024

const pointer =
  /^version https:\/\/git-lfs\.github\.com\/spec\/v1\n(?:ext-[^\n]*\n)*oid sha256:([0-9a-f]{64})\nsize (\d+)\n/

/** The files of a tree that are pointers, and where their contents are below `gitDir`. */
export async function findLarge(
  ports: Pick<Ports, 'command' | 'marks'>,
  place: Place,
  gitDir: string | null,
  treeish: Sha,
): Promise<Large[]> {
  const { command, marks } = ports
  if (!(await marks(place, treeish)).usesLargeFiles) return []
  const { stdout } = await command.answer({ ...place, args: ['ls-tree', '-r', '-l', '-z', '--full-tree', treeish] })
  const small = stdout
    .toString('latin1')
    .split('\0')
    .flatMap((record) => {
      const [, id, size, path] = /^100\d+ blob (\w+) +(\d+)\t(.*)$/s.exec(record) ?? []
      return id === undefined || Number(size) > mostPointerBytes ? [] : [{ id, path: path! }]
    })
  const texts = await readAll(command, place, [...new Set(small.map(({ id }) => id))])
  const found: Large[] = []
  for (const { id, path } of small) {
    const [, oid, size] = pointer.exec(texts.get(id)!) ?? []
    if (oid === undefined) continue
    const file = gitDir && join(gitDir, 'lfs', 'objects', oid.slice(0, 2), oid.slice(2, 4), oid)
    const bytes = Number(size)
    found.push({ path, bytes, file: file && (await has(file, bytes)) ? file : null })
  }
  return found
}

/** Only a whole regular file: git-lfs puts a content there when it is complete. */
const has = (file: string, bytes: number): Promise<boolean> =>
  lstat(file).then(
    (stat) => stat.isFile() && stat.size === bytes,
    () => false,
  )

async function readAll(command: Command, place: Place, ids: readonly Sha[]): Promise<Map<Sha, string>> {
  const stdin = ids.map((id) => `${id}\n`).join('')
  const { stdout } = await command.answer({ ...place, args: ['cat-file', '--batch'], stdin })
  const texts = new Map<Sha, string>()
  let at = 0
  for (const id of ids) {
    const start = stdout.indexOf('\n', at) + 1
    const length = Number(stdout.toString('latin1', at, start - 1).split(' ')[2])
    texts.set(id, stdout.toString('latin1', start, start + length))
    at = start + length + 1
  }
  return texts
}

/** What is said of them. */
export const describeLarge = (all: readonly Large[]): Outside['large'] => ({
  files: all.length,
  bytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
  missing: all.filter(({ file }) => file === null).map(({ path }) => showPath(path)),
})

/** The contents that the user's clone of these stores has. */
export async function largeIn(
  ports: Pick<Ports, 'command' | 'marks'>,
  stores: RepoStores,
  treeish: Sha,
): Promise<Large[]> {
  const place = quarantinePlace(stores)
  if (!(await ports.marks(place, treeish)).usesLargeFiles) return []
  const source = await openSource(ports.command, stores.source)
  return findLarge(ports, place, isRefusal(source) ? null : source.gitDir, treeish)
}

/** Puts contents in the place of their pointers, in a checkout that nobody but us has touched. */
export async function layLarge(all: readonly Large[], dir: string): Promise<void> {
  const root = await realpath(dir)
  for (const { path, file } of all) {
    if (file === null) continue
    const target = bytesOf(root, path)
    const folder = bytesOf(root, dirname(path))
    // Where names fall together another entry of the tree may stand there, or a link in its way.
    const isOurs = dirname(path) === '.' || folder.equals(await realpath(folder, 'buffer'))
    const { mode, size } = await lstat(target)
    if (!isOurs || (mode & constants.S_IFMT) !== constants.S_IFREG || size > mostPointerBytes) continue
    await copyFile(file, target, constants.COPYFILE_FICLONE)
    await chmod(target, mode & 0o777)
  }
}

/** A path below a folder, whatever its encoding. */
const bytesOf = (root: string, path: string): Buffer =>
  Buffer.concat([Buffer.from(`${root}/`), Buffer.from(path, 'latin1')])
