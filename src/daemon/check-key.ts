/** Is the key of the log's seals there, and is it the one that the log was sealed with last? As it lies on disk: a daemon that is up has its own in memory. */
import { lack, ok, type Check } from '../core/check.ts'
import { isFault } from '../host/fault.ts'
import { readSecret } from '../host/secret.ts'
import type { Database } from '../store/database.ts'
import { keyIdOf, lastSeal } from '../store/seal.ts'

/** Nothing for a log without a seal: its key is drawn when there is something to be sealed. */
export async function checkSealKey({ read, path }: Pick<Database, 'read' | 'path'>): Promise<Check[]> {
  const name = 'seal key'
  const file = `${path}.key`
  const seal = await read(lastSeal)
  if (!seal) return []
  const mend = 'put your copy back; where there is none: tri-agent log adopt'
  try {
    const key = readSecret(file)
    if (!key) return [lack(name, `gone: it lay at ${file}, and nothing is appended to the log without it`, mend)]
    const id = keyIdOf(key)
    return id === seal.key_id
      ? [ok(name, 'there: keep a copy of tasks.db.key where your secrets are')]
      : [lack(name, `at ${file} lies ${id}, and the log is sealed with ${seal.key_id}`, mend)]
  } catch (error) {
    if (!isFault(error, 'secret-unsafe')) throw error
    return [lack(name, error.message, error.hint ?? null)]
  }
}
