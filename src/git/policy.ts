/**
 * PURE. What an attempt may add to a tree. Judges only entries that differ from the base: what the user already has is the user's.
 *
 *     names     new ones: no component that some file system takes for `.git`, no control or bidirectional characters, no `..`
 *     modes     files, executables, symbolic links; a submodule must stay as it was
 *     links     must end inside the tree, followed the way a kernel follows them
 *
 * `.gitignore`, `.gitattributes` and `.github/**` are ordinary files here; protected paths are the review's matter.
 */
import { type Entry, showPath } from './change.ts'

/** Symbolic links of a tree: path to target, one character per byte. */
export type Links = ReadonlyMap<string, string>

const fileModes = ['100644', '100755', '120000']
const gitlink = '160000'
export const linkMode = '120000'

/** The reasons against these entries; none means they may come in. */
export function judgeEntries(entries: readonly Entry[]): string[] {
  return entries.flatMap((entry) => {
    const reason = judgeMode(entry) ?? (entry.letter === 'M' || entry.letter === 'D' ? null : judgeName(entry.path))
    return reason === null ? [] : [`${showPath(entry.path)}: ${reason}`]
  })
}

function judgeMode(entry: Entry): string | null {
  if (entry.oldMode === gitlink || entry.newMode === gitlink) return 'a submodule may not be added, moved or removed'
  if (entry.letter !== 'D' && !fileModes.includes(entry.newMode)) return `mode ${entry.newMode} is not allowed`
  return null
}

function judgeName(path: string): string | null {
  if (path.length > 4000) return 'the path is longer than 4,000 bytes'
  const text = Buffer.from(path, 'latin1').toString('utf8')
  if (/[\p{Cc}\p{Bidi_Control}]/u.test(text)) return 'the name has control characters'
  for (const component of path.split('/')) {
    if (component === '' || component === '.' || component === '..') return 'the path does not name one place'
    if (component.length > 255) return 'a name is longer than 255 bytes'
    if (meansDotGit(component)) return 'a file system may take a name in it for .git'
  }
  return null
}

/** Code points HFS+ ignores when it compares names (git's utf8.c, next_hfs_char). */
const ignoredByHfs = /[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]/g

/**
 * Does some file system take this path component for `.git`? Case is folded; NTFS drops trailing dots, spaces and stream names, knows the
 * short name `git~1` and takes `\` for a separator; HFS+ ignores some code points (git's path.c, is_ntfs_dotgit; utf8.c, is_hfs_dotgit).
 */
export function meansDotGit(component: string): boolean {
  const text = Buffer.from(component, 'latin1').toString('utf8').replaceAll(ignoredByHfs, '').toLowerCase()
  return text.split('\\').some((part) => /^(?:\.git|git~1)[. ]*(?::.*)?$/s.test(part))
}

/** The reasons against the links of `after`: each that differs from `before` must stay inside, and none may have begun to lead out. */
export function judgeLinks(entries: readonly Entry[], before: Links, after: Links): string[] {
  const changed = new Set(entries.map((entry) => entry.path))
  return [...after].flatMap(([path, target]) => {
    const reason = judgeTarget(path, target, after)
    if (reason === null) return []
    if (!changed.has(path) && judgeTarget(path, target, before) !== null) return []
    return [`${showPath(path)}: ${reason}`]
  })
}

function judgeTarget(path: string, target: string, links: Links): string | null {
  if (target === '' || target.includes('\0')) return 'a link must have a target'
  if (target.split('/').some(meansDotGit)) return 'the link leads into .git'
  return leadsOut(path, links) ? 'the link leads out of the tree' : null
}

const mostHops = 40 // what Linux follows before it gives up with ELOOP

/** Follows a path through the tree's links as a kernel would: `..` leaves the folder a link led to, not the one it was written in. */
export function leadsOut(path: string, links: Links): boolean {
  const todo = path.split('/').toReversed()
  const place: string[] = []
  let hops = 0
  for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
    if (name === '' || name === '.') continue
    if (name === '..') {
      if (place.pop() === undefined) return true
      continue
    }
    const target = links.get([...place, name].join('/'))
    if (target === undefined) {
      place.push(name)
      continue
    }
    hops += 1
    if (target.startsWith('/') || hops > mostHops) return true
    todo.push(...target.split('/').toReversed())
  }
  return false
}
