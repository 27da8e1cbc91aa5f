/**
 * Sealed archives: what a parked attempt leaves on disk, one folder each, 0700, its files 0600. A list names every file with its hash, and the hash of
 * the list is in the event: what is not as it was sealed is not used. Removed at the task's end, or when it has been kept long enough.
 *
 *     archives/ATTEMPT/list.json   work.bundle   home/…
 *
 * Only regular files are taken, never through a link: an agent could write what is copied.
 */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { lstat, mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Archive } from '../core/event.ts'
import type { KeptWork, LeftWork } from '../stage/stage.ts'

type Listed = { path: string; bytes: number; sha256: string }

/** Sessions are text; more is not one. */
const mostBytes = 64 * 1024 * 1024
const mostFiles = 2000
const list = 'list.json'
const bundleName = 'work.bundle'

/** Seals what is left under `folder`/ATTEMPT. Null where there is nothing to keep, or more than may be kept. */
export async function sealArchive(
  folder: string,
  { attempt, family }: { attempt: string; family: string },
  left: LeftWork,
): Promise<Archive | null> {
  const draft = join(folder, `${attempt}.draft`)
  await rm(draft, { recursive: true, force: true })
  await mkdir(draft, { recursive: true, mode: 0o700 })
  try {
    const files: Listed[] = []
    if (left.bundle !== null && !(await take(left.bundle, draft, bundleName, files))) return null
    const isWhole = await takeSession(left, draft, files)
    if (files.length === 0) return null
    const text = JSON.stringify(files)
    await writeFile(join(draft, list), text, { mode: 0o600 })
    await rm(join(folder, attempt), { recursive: true, force: true })
    await rename(draft, join(folder, attempt))
    return {
      attempt,
      family,
      base: left.bundle === null ? null : left.base,
      session: isWhole ? left.session : null,
      files: files.length,
      bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
      sha256: sha256(text),
    }
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
}

/** False where no session is left, or not all of it could be taken. */
async function takeSession({ home, folders, session }: LeftWork, draft: string, files: Listed[]): Promise<boolean> {
  if (session === null) return false
  const before = files.length
  for (const each of folders)
    for (const path of await regularFiles(home, each)) {
      if (files.length >= mostFiles) return false
      if (!(await take(join(home, path), draft, join('home', path), files))) return false
    }
  return files.length > before
}

/** Paths of regular files below `home`/`folder`, links neither taken nor followed. */
async function regularFiles(home: string, folder: string): Promise<string[]> {
  const found: string[] = []
  const waiting = (await isReached(home, folder)) ? [folder] : []
  while (waiting.length > 0 && found.length <= mostFiles) {
    const path = waiting.pop()!
    const entries = await isFolder(join(home, path)).then((is) =>
      is ? readdir(join(home, path), { withFileTypes: true }) : [],
    )
    for (const entry of entries)
      if (entry.isDirectory()) waiting.push(join(path, entry.name))
      else if (entry.isFile()) found.push(join(path, entry.name))
  }
  return found.toSorted()
}

/** Is every folder on the way a folder? One that is a link may lead to what the user of this machine keeps under that name. */
async function isReached(home: string, folder: string): Promise<boolean> {
  for (let at = folder; at !== '.'; at = dirname(at)) if (!(await isFolder(join(home, at)))) return false
  return true
}

const isFolder = (path: string): Promise<boolean> =>
  lstat(path).then(
    (found) => found.isDirectory(),
    () => false, // the client has kept nothing there
  )

/** Copies one regular file; false where it is none, or too much by now. */
async function take(from: string, draft: string, path: string, files: Listed[]): Promise<boolean> {
  const taken = files.reduce((sum, { bytes }) => sum + bytes, 0)
  const handle = await open(from, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(() => null)
  if (!handle) return false
  try {
    const { size, nlink } = await handle.stat().then((found) => (found.isFile() ? found : { size: Infinity, nlink: 1 }))
    if (taken + size > mostBytes || nlink > 1) return false
    const bytes = await handle.readFile()
    await mkdir(dirname(join(draft, path)), { recursive: true, mode: 0o700 })
    await writeFile(join(draft, path), bytes, { mode: 0o600, flag: 'wx' })
    files.push({ path, bytes: bytes.length, sha256: sha256(bytes) })
    return true
  } finally {
    await handle.close()
  }
}

/** What was sealed, if every byte of it is as it was; else null. */
export async function openArchive(folder: string, archive: Archive): Promise<KeptWork | null> {
  const { attempt, base, session } = archive
  const place = join(folder, attempt)
  const text = await readFile(join(place, list), 'utf8').catch(() => null)
  if (text === null || sha256(text) !== archive.sha256) return null
  for (const { path, sha256: sealed } of JSON.parse(text) as Listed[]) {
    const bytes = await readFile(join(place, path)).catch(() => null)
    if (bytes === null || sha256(bytes) !== sealed) return null
  }
  const bundle = base === null ? null : join(place, bundleName)
  const home = join(place, 'home')
  return { bundle, base: base ?? '', home, session, attempt, drained: archive.drained === true }
}

/** Removes archives that no task names any more, and those older than `keptMs`. Answers how many are left. */
export async function sweepArchives(
  folder: string,
  isNamed: (attempts: readonly string[]) => Promise<ReadonlySet<string>>,
  { at, keptMs }: { at: number; keptMs: number },
): Promise<number> {
  const names = await readdir(folder).catch(() => [])
  if (names.length === 0) return 0
  const named = await isNamed(names)
  let left = 0
  for (const name of names) {
    const since = await lstat(join(folder, name)).then(
      ({ mtimeMs }) => mtimeMs,
      () => at,
    )
    if (named.has(name.replace('.draft', '')) && at - since <= keptMs) left += 1
    else await rm(join(folder, name), { recursive: true, force: true })
  }
  return left
}

const sha256 = (bytes: string | Buffer): string => createHash('sha256').update(bytes).digest('hex')
