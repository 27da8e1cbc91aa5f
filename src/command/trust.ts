/** trust: a person agrees to the commands of a repository, as they are on its base; what waited for that goes on. */
import { refuse, type Refusal } from '../core/refusal.ts'
import { untrusted } from '../core/trust.ts'
import { append } from '../store/append.ts'
import { heldTasks, repoById, type RepoRow } from '../store/task.ts'
import type { CommandPorts } from './ports.ts'

/** Most tasks released by one word; more than anybody holds. */
const most = 100_000

/** Agrees to the commands with this hash. Refuses `no-such-repository`. */
export async function trustRepository(
  { database, world, actor }: CommandPorts,
  repo: string,
  commandsSha256: string,
): Promise<RepoRow | Refusal> {
  return database.write(async (tx) => {
    const row = await repoById(tx, repo)
    if (!row) return refuse('no-such-repository', `repository ${repo} is not registered`, 'tri-agent init')
    if (row.trusted === commandsSha256) return row
    const at = world.clock.now()
    const event = { type: 'repo.trusted' as const, repo, commandsSha256, by: actor }
    await append(tx, { at, actor, stream: `repo/${repo}`, events: [event] })
    for (const task of await heldTasks(tx, most))
      if (task.repo === repo && task.held === untrusted)
        await append(tx, { at, actor, stream: `task/${task.id}`, events: [{ type: 'task.released' }] })
    return { ...row, trusted: commandsSha256 }
  })
}
