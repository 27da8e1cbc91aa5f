/**
 * Merging two commits without a checkout. Renames are followed, merge drivers and attributes are not asked: the result depends on
 * nothing but the two commits.
 */
import { type Refusal, refuse } from '../core/refusal.ts'
import { showPath } from './change.ts'
import type { Command } from './command.ts'
import type { RepoStores, Sha } from './git.ts'
import { quarantinePlace } from './store.ts'

const mostNamed = 20

/** The tree of merging `theirs` into `ours`. Refuses `conflict`, naming the files (git-merge-tree: exit 1 is a conflict). */
export async function mergeTrees(
  command: Command,
  stores: RepoStores,
  ours: Sha,
  theirs: Sha,
): Promise<{ tree: Sha } | Refusal> {
  const place = quarantinePlace(stores)
  const related = await command.answer({ ...place, args: ['merge-base', ours, theirs], accept: [0, 1] })
  if (related.code === 1) return refuse('conflict', 'the two have no history in common')
  const args = ['merge-tree', '--write-tree', '--name-only', '--no-messages', '-z', ours, theirs]
  const { code, stdout } = await command.answer({ ...place, args, accept: [0, 1] })
  const [tree, ...conflicts] = stdout.toString('latin1').split('\0')
  if (code === 0) return { tree: tree!.trim() }
  const files = [...new Set(conflicts.filter((path) => path !== '').map(showPath))]
  const more = files.length > mostNamed ? ` and ${files.length - mostNamed} more` : ''
  return refuse('conflict', `${files.slice(0, mostNamed).join(', ')}${more}`)
}
