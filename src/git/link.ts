/** The symbolic links of a tree, read from the object store: nothing is followed, no file is opened. */
import type { Command } from './command.ts'
import type { Sha } from './git.ts'
import type { Links } from './policy.ts'
import type { Place } from './store.ts'

const maxTargetBytes = 4096

/** All symbolic links of a tree. A target longer than any kernel takes is read as empty, which the policy refuses. */
export async function readLinks(command: Command, place: Place, treeish: Sha): Promise<Links> {
  const listing = await command.answer({ ...place, args: ['ls-tree', '-r', '-l', '-z', '--full-tree', treeish] })
  const links = listing.stdout
    .toString('latin1')
    .split('\0')
    .flatMap((record) => {
      const [, id, size, path] = /^120000 blob ([0-9a-f]+) +(\d+)\t(.*)$/s.exec(record) ?? []
      return id === undefined ? [] : [{ id, size: Number(size), path: path! }]
    })
  const short = links.filter((link) => link.size <= maxTargetBytes)
  if (short.length === 0) return new Map(links.map((link) => [link.path, '']))
  const stdin = short.map((link) => `${link.id}\n`).join('')
  const { stdout } = await command.answer({ ...place, args: ['cat-file', '--batch'], stdin })
  const targets = new Map<string, string>(links.map((link) => [link.path, '']))
  let at = 0
  for (const link of short) {
    const start = stdout.indexOf('\n', at) + 1
    targets.set(link.path, stdout.subarray(start, start + link.size).toString('latin1'))
    at = start + link.size + 1
  }
  return targets
}
