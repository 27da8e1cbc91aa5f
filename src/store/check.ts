/** Is the database whole? Pages, references, schema and seals, each looked at as it is on disk. Changes nothing. */
import { isFault } from '../host/fault.ts'
import type { Database, Reader } from './database.ts'
import { openDatabase } from './database.ts'
import { schemaOf } from './migrate.ts'
import { firstDamage, tellDamage, verifyLog, type KnownAnchor } from './verify-log.ts'

export type Looked = { what: 'pages' | 'references' | 'schema' | 'log' | 'tables'; problems: string[] }

/** `elsewhere`: anchors the log must be at one with besides those beside it. */
export async function checkDatabase(database: Database, elsewhere: readonly KnownAnchor[] = []): Promise<Looked[]> {
  return [
    { what: 'pages', problems: await problemsOf(() => database.read(checkPages)) },
    { what: 'references', problems: await problemsOf(() => database.read(checkReferences)) },
    {
      what: 'schema',
      problems: await problemsOf(async () => differences(await database.read(schemaIn), await ownSchema())),
    },
    { what: 'log', problems: await problemsOf(() => checkLog(database, elsewhere)) },
  ]
}

/** Up to this size a database is looked at whole before a daemon works on it; of a larger one the end of its log, so that nobody waits. */
const wholeBytes = 4 * 1024 * 1024
const newestSeals = 200

/** What is wrong with it, as far as a start has time to see; null where nothing is. */
export async function damageAtStart({ read, sealKey }: Database): Promise<string | null> {
  if (!sealKey) return null // the first event is refused, and so is the start
  const problems = await problemsOf(() =>
    read(async (reader) => {
      const { bytes } = (await reader.get<{ bytes: number }>(
        'select page_count * page_size as bytes from pragma_page_count, pragma_page_size',
      ))!
      const isWhole = bytes <= wholeBytes
      const [page] = isWhole ? await reader.all<{ quick_check: string }>('pragma quick_check(1)') : []
      if (page && page.quick_check !== 'ok') return [page.quick_check]
      const damage = await firstDamage(reader, sealKey, isWhole ? null : newestSeals)
      return damage ? [tellDamage(damage)] : []
    }),
  )
  return problems[0] ?? null
}

/** What cannot even be read is a problem by itself. */
async function problemsOf(look: () => Promise<string[]>): Promise<string[]> {
  try {
    return await look()
  } catch (error) {
    if (!isDamage(error)) throw error
    return [(error as Error).message]
  }
}

/** What SQLite says of a file whose bytes are wrong; it says so in words of its own wherever it happens to look. */
export const isDamage = (error: unknown): boolean =>
  (isFault(error) && error.code.startsWith('database-')) || (error as { code?: string }).code === 'ERR_SQLITE_ERROR'

const checkLog = async (database: Database, elsewhere: readonly KnownAnchor[]): Promise<string[]> =>
  (await verifyLog(database, elsewhere)).damage.map(tellDamage)

const checkPages = async (reader: Reader): Promise<string[]> =>
  (await reader.all<{ integrity_check: string }>('pragma integrity_check'))
    .map(({ integrity_check }) => integrity_check)
    .filter((said) => said !== 'ok')

const checkReferences = async (reader: Reader): Promise<string[]> =>
  (await reader.all<{ table: string; rowid: number; parent: string }>('pragma foreign_key_check')).map(
    ({ table, rowid, parent }) => `${table} row ${rowid} points to no ${parent}`,
  )

type Part = { type: string; name: string; sql: string }

const schemaIn = (reader: Reader): Promise<Part[]> => reader.all<Part>(schemaOf)

/** The schema as this program's migrations make it. */
async function ownSchema(): Promise<Part[]> {
  const scratch = openDatabase(':memory:')
  try {
    return await scratch.read(schemaIn)
  } finally {
    scratch.close()
  }
}

function differences(found: readonly Part[], own: readonly Part[]): string[] {
  const named = (parts: readonly Part[]) => new Map(parts.map(({ type, name, sql }) => [`${type} ${name}`, sql]))
  const [there, wanted] = [named(found), named(own)]
  return [...new Set([...there.keys(), ...wanted.keys()])]
    .filter((name) => there.get(name) !== wanted.get(name))
    .map((name) =>
      !there.has(name) ? `${name} is missing` : !wanted.has(name) ? `${name} is not ours` : `${name} differs`,
    )
}
