/**
 * No key of ours comes into a repository: not in a name, not in a content that an attempt wrote. What the base had already is the user's, and stays.
 * Looked at is what would land; a commit in between that had one and lost it lands nowhere.
 */
import { holdsKnown, prepareSecrets, scrubKnown, type Secrets } from '../host/scrub.ts'
import { showPath, type Entry } from './change.ts'
import type { Command } from './command.ts'
import type { Sha } from './git.ts'
import type { Place } from './store.ts'

/** A shorter one may be a word, as the key of a server at home is: work is not refused for a word. */
const leastKeyBytes = 16

/** Read at a time; a larger content is read alone. */
const chunkBytes = 32 * 1024 * 1024

/** The new contents among entries. */
export const newContents = (entries: readonly Entry[]): Sha[] =>
  entries.filter(({ letter, newMode }) => letter !== 'D' && newMode !== '160000').map(({ newId }) => newId)

/** Bytes of each of these objects. */
export async function sizesOf(command: Command, place: Place, ids: readonly Sha[]): Promise<number[]> {
  if (ids.length === 0) return []
  const stdin = ids.map((id) => `${id}\n`).join('')
  const sizes = await command.text({ ...place, args: ['cat-file', '--batch-check=%(objectsize)'], stdin })
  return sizes.split('\n').map(Number)
}

/** The reasons against entries in which one of `secrets` stands; they do not show it. */
export async function judgeSecrets(
  command: Command,
  place: Place,
  entries: readonly Entry[],
  secrets: readonly string[],
): Promise<string[]> {
  const known = prepareSecrets(secrets.filter((each) => Buffer.byteLength(each) >= leastKeyBytes))
  if (known.exact === null) return []
  const named = entries.filter(({ letter, path }) => letter === 'A' && holdsKnown(Buffer.from(path, 'latin1'), known))
  const holding = await findHolding(command, place, newContents(entries), known)
  const suspects = entries.filter(({ letter, newId }) => letter !== 'D' && holding.has(newId))
  const before = suspects.filter(({ letter }) => letter === 'M').map(({ oldId }) => oldId)
  const had = await findHolding(command, place, before, known)
  const moved = new Set(entries.filter(({ letter }) => letter === 'D').map(({ oldId }) => oldId))
  return [
    ...named.map(({ path }) => `${scrubKnown(showPath(path), known)}: a key of tri-agent stands in its name`),
    ...suspects
      .filter(({ oldId, newId }) => !had.has(oldId) && !moved.has(newId))
      .map(
        ({ path }) =>
          `${scrubKnown(showPath(path), known)}: a key of tri-agent stands in it, which no repository may hold`,
      ),
  ]
}

/** Those of the objects in which a secret stands. */
async function findHolding(command: Command, place: Place, ids: readonly Sha[], known: Secrets): Promise<Set<Sha>> {
  const unique = [...new Set(ids)]
  const sizes = await sizesOf(command, place, unique)
  const holding = new Set<Sha>()
  for (let from = 0; from < unique.length;) {
    const to = chunkEnd(sizes, from)
    const stdin = unique
      .slice(from, to)
      .map((id) => `${id}\n`)
      .join('')
    const maxBytes = 512 * 1024 * 1024 // the policy has counted them
    const { stdout } = await command.answer({ ...place, args: ['cat-file', '--batch'], stdin, maxBytes })
    for (let at = 0; from < to; from += 1) {
      const start = stdout.indexOf('\n', at) + 1
      at = start + sizes[from]! + 1
      if (holdsKnown(stdout.subarray(start, at - 1), known)) holding.add(unique[from]!)
    }
  }
  return holding
}

/** As many from `from` on as are read at once, at least one. */
function chunkEnd(sizes: readonly number[], from: number): number {
  let to = from + 1
  let bytes = sizes[from]!
  for (; to < sizes.length && bytes + sizes[to]! <= chunkBytes; to += 1) bytes += sizes[to]!
  return to
}
