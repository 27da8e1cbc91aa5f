/** What a tree names that is not in it, read from the tree alone: links to commits of other repositories, and whether Git LFS is used. */
import type { World } from '../host/world.ts'
import type { Command } from './command.ts'
import type { Sha } from './git.ts'
import type { Place } from './store.ts'

/** What the files of this folder that reach outside are handed. */
export type Ports = { world: World; command: Command; marks: ReadMarks }

/** `path` has one character per byte. */
export type Link = { path: string; commit: Sha }

export type Marks = {
  /** Commits of other repositories. */
  links: readonly Link[]
  /** The file that says what they are called, or null. */
  gitmodules: Sha | null
  usesLargeFiles: boolean
}

const none: Marks = { links: [], gitmodules: null, usesLargeFiles: false }

/** Remembers what it read: a tree never changes. */
export type ReadMarks = (place: Place, treeish: Sha) => Promise<Marks>

const mostKept = 500

export function marksReader(command: Command): ReadMarks {
  const known = new Map<Sha, Marks>()
  return async (place, treeish) => {
    const found = known.get(treeish)
    if (found) return found
    const marks = await readMarks(command, place, treeish)
    if (known.size >= mostKept) known.clear()
    known.set(treeish, marks)
    return marks
  }
}

async function readMarks(command: Command, place: Place, treeish: Sha): Promise<Marks> {
  const { stdout } = await command.answer({ ...place, args: ['ls-tree', '-r', '-z', '--full-tree', treeish] })
  const listing = stdout.toString('latin1')
  const links = [...listing.matchAll(/(?:^|\0)160000 commit (\w+)\t([^\0]+)/g)].map(([, commit, path]) => ({
    commit: commit!,
    path: path!,
  }))
  const gitmodules = /(?:^|\0)100\d+ blob (\w+)\t\.gitmodules\0/.exec(listing)?.[1] ?? null
  const attributes = [...listing.matchAll(/(?:^|\0)100\d+ blob (\w+)\t(?:[^\0]*\/)?\.gitattributes(?=\0)/g)]
  const usesLargeFiles = await mentionsLargeFiles(
    command,
    place,
    attributes.map(([, id]) => id!),
  )
  return links.length === 0 && gitmodules === null && !usesLargeFiles ? none : { links, gitmodules, usesLargeFiles }
}

async function mentionsLargeFiles(command: Command, place: Place, ids: readonly Sha[]): Promise<boolean> {
  if (ids.length === 0) return false
  const stdin = ids.map((id) => `${id}\n`).join('')
  const { stdout } = await command.answer({ ...place, args: ['cat-file', '--batch'], stdin })
  return /\bfilter=lfs\b/.test(stdout.toString('latin1'))
}
