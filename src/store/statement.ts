/**
 * Prepared statements of one connection. Each is compiled once, and bound by place: looking names up at every call is a third of what a small
 * statement costs. What callers write are names, `:task`; the same name may stand in several places.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'

export type SqlValue = SQLInputValue
export type Params = Record<string, SqlValue>

type Prepared = { statement: StatementSync; places: readonly string[]; names: number }

const compiled = new WeakMap<DatabaseSync, Map<string, Prepared>>()

/** Calls `use` with the compiled statement and its values in order. Throws where a name has no value or a value no name. */
export function execute<T>(
  db: DatabaseSync,
  sql: string,
  params: Params,
  use: (statement: StatementSync, values: SqlValue[]) => T,
): T {
  let known = compiled.get(db)
  if (!known) compiled.set(db, (known = new Map()))
  let found = known.get(sql)
  if (!found) known.set(sql, (found = compile(db, sql)))
  const { statement, places, names } = found
  const values: SqlValue[] = []
  for (const name of places) {
    const value = params[name]
    if (value === undefined) throw new Error(`:${name} has no value in: ${sql}`)
    values.push(value)
  }
  if (Object.keys(params).length !== names)
    throw new Error(`of ${Object.keys(params).join(', ')} not all are asked for in: ${sql}`)
  return use(statement, values)
}

/** A quoted text, a comment to the line's end, or a name; only names are replaced. */
const part = /'[^']*'|--[^\n]*|:(\w+)/g

function compile(db: DatabaseSync, sql: string): Prepared {
  const places: string[] = []
  const placed = sql.replaceAll(part, (text, name: string | undefined) => {
    if (name === undefined) return text
    places.push(name)
    return '?'
  })
  return { statement: db.prepare(placed), places, names: new Set(places).size }
}
