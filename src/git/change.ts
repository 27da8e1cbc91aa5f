/**
 * What differs between two trees, read from plumbing: entries, line counts, paths.
 *
 * Git's paths are bytes. Inside this folder they are kept one character per byte (latin1); `showPath` makes the text that leaves it.
 * Renames are never guessed and attributes never asked: a change is what was there and what is there now.
 */
import type { Command } from './command.ts'
import type { FileChange, Sha } from './git.ts'
import type { Place } from './store.ts'

/** One entry of `git diff-tree --raw`. Modes and ids are zeros where nothing is. */
export type Entry = {
  oldMode: string
  newMode: string
  oldId: Sha
  newId: Sha
  letter: string
  /** One character per byte. */
  path: string
}

const comparing = [
  '-r',
  '-z',
  '--no-renames',
  '--no-ext-diff',
  '--no-textconv',
  '--ignore-submodules=none',
  '--no-abbrev',
]

/** Every entry that differs between two trees or commits. */
export async function listEntries(command: Command, place: Place, from: Sha, to: Sha): Promise<Entry[]> {
  const { stdout } = await command.answer({ ...place, args: ['diff-tree', ...comparing, '--raw', from, to] })
  const fields = stdout.toString('latin1').split('\0')
  const entries: Entry[] = []
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const [oldMode, newMode, oldId, newId, letter] = fields[at]!.slice(1).split(' ') as [
      string,
      string,
      Sha,
      Sha,
      string,
    ]
    entries.push({ oldMode, newMode, oldId, newId, letter, path: fields[at + 1]! })
  }
  return entries
}

/** Lines added and removed; binary files count none. */
export async function countLines(
  command: Command,
  place: Place,
  from: Sha,
  to: Sha,
): Promise<{ added: number; removed: number }> {
  const { stdout } = await command.answer({ ...place, args: ['diff-tree', ...comparing, '--numstat', from, to] })
  let added = 0
  let removed = 0
  for (const record of stdout.toString('latin1').split('\0')) {
    const [plus, minus] = record.split('\t', 2)
    added += Number.parseInt(plus ?? '', 10) || 0
    removed += Number.parseInt(minus ?? '', 10) || 0
  }
  return { added, removed }
}

const statuses: Readonly<Record<string, FileChange['status']>> = {
  A: 'added',
  M: 'modified',
  D: 'deleted',
  T: 'type-changed',
}

/** The entry as other rooms see it: the mode is the new one, or the old one of what was deleted. */
export const describeEntry = (entry: Entry): FileChange => ({
  path: showPath(entry.path),
  status: statuses[entry.letter] ?? 'modified',
  mode: entry.letter === 'D' ? entry.oldMode : entry.newMode,
})

/** A path of bytes as text: itself when it is UTF-8, else quoted as git quotes it (`"caf\351"`), so that no two paths look the same. */
export function showPath(path: string): string {
  const bytes = Buffer.from(path, 'latin1')
  const text = bytes.toString('utf8')
  if (Buffer.from(text, 'utf8').equals(bytes)) return text
  const quoted = path.replace(/["\\]|[^ -~]/g, (char) =>
    char === '"' || char === '\\' ? `\\${char}` : `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`,
  )
  return `"${quoted}"`
}
