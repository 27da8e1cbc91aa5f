/**
 * What a tree names and does not hold: submodules, whose files lie in another repository, and files in Git LFS, whose contents lie in a store of
 * their own. Both come from the user's own clone, never from a network; what is not there is said, with what to type.
 */
import { type Check, ok, warn } from './check.ts'
import { plural } from './quantity.ts'

export type Outside = {
  /** Folders of submodules. `there`: its files at the commit the tree names are in the user's clone. */
  modules: readonly { path: string; there: boolean }[]
  /** Files whose contents are in Git LFS. */
  large: { files: number; bytes: number; missing: readonly string[] }
}

export const nothingOutside: Outside = { modules: [], large: { files: 0, bytes: 0, missing: [] } }

/** A check for each kind of thing that is outside, none where there is none. */
export function checkOutside({ modules, large }: Outside): Check[] {
  const gone = modules.filter(({ there }) => !there).map(({ path }) => path)
  const found = plural(modules.length, 'submodule')
  const files = plural(large.files, 'file')
  const checks: Check[] = []
  if (gone.length > 0)
    checks.push(warn('submodules', `not in this clone: ${some(gone)}; their folders stay empty`, mendModules))
  else if (modules.length > 0) checks.push(ok('submodules', `${found}, read-only: no task can change them`))
  if (large.missing.length > 0)
    checks.push(
      warn('Git LFS', `not in this clone: the contents of ${some(large.missing)}; gates see the pointers`, mendLarge),
    )
  else if (large.files > 0)
    checks.push(ok('Git LFS', `${files}: gates and reviewers have the contents, authors pointers`))
  return checks
}

const mendModules = 'git submodule update --init --recursive'
const mendLarge = 'git lfs fetch'

/** What a checkout lacks, a line each, for whoever wonders why something is red. */
export const lackingIn = (outside: Outside): string[] =>
  checkOutside(outside)
    .filter(({ state }) => state !== 'ok')
    .map(({ name, found, mend }) => `${name}: ${found} (${mend})`)

const some = (paths: readonly string[]): string =>
  `${paths.slice(0, 3).join(', ')}${paths.length > 3 ? ` and ${paths.length - 3} more` : ''}`
