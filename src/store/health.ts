/** What was last found about this machine: the checks of `doctor` and `/health`, and the trial turns of untested agents. Rows, not events. */
import type { Check } from '../core/check.ts'
import type { Reader, Tx } from './database.ts'

/** Writes what was found over what was found before. `whole`: checks that are not among these are forgotten. */
export async function saveHealth(tx: Tx, checks: readonly Check[], at: number, whole: boolean): Promise<void> {
  if (whole) await tx.run('delete from health_status')
  for (const { name, state, found, mend } of checks)
    await tx.run(
      `insert into health_status (name, state, found, mend, checked_at) values (:name, :state, :found, :mend, :at)
       on conflict (name) do update set state = :state, found = :found, mend = :mend, checked_at = :at`,
      { name, state, found, mend, at },
    )
}

export type HealthRow = Check & { checkedAt: number }

/** Everything last found, by name. */
export const readHealth = (reader: Reader): Promise<HealthRow[]> =>
  reader.all('select name, state, found, mend, checked_at as checkedAt from health_status order by name')

/** How the trial of this version went: null where there was none, `failed` null where it passed. */
export async function trialOf(
  reader: Reader,
  agent: string,
  version: string,
): Promise<{ failed: string | null } | null> {
  const row = await reader.get<{ failed: string | null }>(
    'select failed from agent_trial where agent = :agent and version = :version',
    { agent, version },
  )
  return row ? { failed: row.failed } : null
}

/** Remembers a trial. */
export async function saveTrial(
  tx: Tx,
  trial: { agent: string; version: string; failed: string | null; at: number },
): Promise<void> {
  await tx.run(
    `insert into agent_trial (agent, version, failed, at) values (:agent, :version, :failed, :at)
     on conflict (agent, version) do update set failed = :failed, at = :at`,
    trial,
  )
}
