/** A branch, tag or commit that a person names, brought into quarantine to be judged. It is the user's own, so the tree policy is not asked. */
import { isRefusal, type Refusal, refuse } from '../core/refusal.ts'
import type { Command } from './command.ts'
import type { Candidate, RepoStores, Sha } from './git.ts'
import { describeCandidate } from './intake.ts'
import { copyHistory } from './mirror.ts'
import { openSource } from './source.ts'
import { quarantinePlace } from './store.ts'

/** What `ref` changes since it left `base`. Refuses `no-such-ref`, `no-change`, and what `openSource` refuses. */
export async function bringReference(
  command: Command,
  stores: RepoStores,
  ref: string,
  base: Sha,
): Promise<Candidate | Refusal> {
  const source = await openSource(command, stores.source)
  if (isRefusal(source)) return source
  const args = ['rev-parse', '--verify', '--quiet', '--end-of-options', `${ref}^{commit}`]
  const found = await command.answer({ gitDir: source.gitDir, args, accept: [0, 1, 128] })
  if (found.code !== 0) return refuse('no-such-ref', `there is no commit called ${ref}`, 'git branch --all')
  const tip = found.stdout.toString('utf8').trim()
  const place = quarantinePlace(stores)
  await copyHistory(command, source.gitDir, place, [tip], [base])
  await command.answer({ ...place, args: ['update-ref', `refs/tri-agent/asked/${tip}`, tip] })
  const fork = await command.answer({ ...place, args: ['merge-base', base, tip], accept: [0, 1] })
  if (fork.code === 1) return refuse('no-such-ref', `${ref} has no history in common with the base`)
  const described = await describeCandidate(command, place, fork.stdout.toString('utf8').trim(), tip)
  return isRefusal(described) ? described : described.candidate
}
