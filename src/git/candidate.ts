/** The refs that keep candidates in quarantine: `refs/tri-agent/TASK/TOKEN`. Dropping one forgets a name; no object is deleted here. */
import type { Command } from './command.ts'
import type { RepoStores } from './git.ts'
import { isStore, quarantinePlace } from './store.ts'

const prefix = 'refs/tri-agent/'
const shape = /^task_[^/]+\/\d+$/

/** `TASK/TOKEN` of every candidate that is kept; none where there is no quarantine. */
export async function listCandidates(command: Command, stores: RepoStores): Promise<string[]> {
  if (!(await isStore(stores.quarantine))) return []
  const printed = await command.text({
    ...quarantinePlace(stores),
    args: ['for-each-ref', '--format=%(refname)', prefix],
  })
  return printed
    .split('\n')
    .map((ref) => ref.slice(prefix.length))
    .filter((name) => shape.test(name))
}

/** Forgets these; a name that is not there any more is no fault. */
export async function dropCandidates(command: Command, stores: RepoStores, names: readonly string[]): Promise<void> {
  const stdin = names.map((name) => `delete ${prefix}${name}\n`).join('')
  await command.answer({ ...quarantinePlace(stores), args: ['update-ref', '--stdin'], stdin })
}
