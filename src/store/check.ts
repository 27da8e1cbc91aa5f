/** Is the database whole? Pages, references, schema and seals, each looked at as it is on disk. Changes nothing. */
import type { Database, Reader } from './database.ts'
import { openDatabase } from './database.ts'
import { schemaOf } from './migrate.ts'
import { verifyLog, type KnownAnchor } from './verify-log.ts'

export type Looked = { what: 'pages' | 'references' | 'schema' | 'log' | 'tables'; problems: string[] }

/** `elsewhere`: anchors the log must be at one with besides those beside it. */
export async function checkDatabase(database: Database, elsewhere: readonly KnownAnchor[] = []): Promise<Looked[]> {
  const [pages, references, schema] = await database.read(
    async (reader) => [await checkPages(reader), await checkReferences(reader), await schemaIn(reader)] as const,
  )
  const { damage } = await verifyLog(database, elsewhere)
  return [
    { what: 'pages', problems: pages },
    { what: 'references', problems: references },
    { what: 'schema', problems: differences(schema, await ownSchema()) },
    { what: 'log', problems: damage.map(({ kind, first, last, why }) => `${kind} ${first}-${last}: ${why}`) },
  ]
}

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
