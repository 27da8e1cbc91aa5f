/** Rows of work that is under way: once a daemon has stopped none of them may be there. Read by whoever looks after a daemon that was not asked to stop. */
import type { Reader } from './database.ts'

export type LeftRows = { leases: string[]; processes: string[]; keys: string[]; attempts: string[]; holds: string[] }

export async function leftRows(reader: Reader): Promise<LeftRows> {
  const of = async (sql: string): Promise<string[]> =>
    (await reader.all<{ name: string | number }>(sql)).map(({ name }) => String(name))
  return {
    leases: await of('select attempt as name from lease'),
    processes: await of('select attempt as name from process'),
    keys: await of('select attempt as name from virtual_key where revoked_at is null'),
    attempts: await of("select id as name from attempt where state <> 'ended'"),
    holds: await of('select id as name from hold'),
  }
}
