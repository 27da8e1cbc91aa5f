/**
 * Prepared statements of one connection. Each is compiled once, and bound by place: looking names up at every call is a third of what a small
 * statement costs. What callers write are names, `:task`; the same name may stand in several places.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'

export type SqlValue = SQLInputValue
export type Params = Record<string, SqlValue>

/** A row as SQLite gives it: values in the order of the columns. */
type Values = readonly SqlValue[]

type Prepared = { statement: StatementSync; places: readonly string[]; names: number; columns: readonly string[] }

const compiled = new WeakMap<DatabaseSync, Map<string, Prepared>>()

/** Executes a statement that answers no rows. */
export function executeOnly(db: DatabaseSync, sql: string, params: Params): { changes: number; rowId: number } {
  const found = prepared(db, sql)
  const { changes, lastInsertRowid } = found.statement.run(...valuesOf(found, sql, params))
  return { changes: Number(changes), rowId: Number(lastInsertRowid) }
}

export function firstRow<T>(db: DatabaseSync, sql: string, params: Params): T | undefined {
  const found = prepared(db, sql)
  const row = found.statement.get(...valuesOf(found, sql, params)) as Values | undefined
  return row && (named(found, row) as T)
}

export function allRows<T>(db: DatabaseSync, sql: string, params: Params): T[] {
  const found = prepared(db, sql)
  const rows = found.statement.all(...valuesOf(found, sql, params)) as unknown as Values[]
  return rows.map((row) => named(found, row) as T)
}

/** Made here: for one of a few columns, that takes a third of the time SQLite's binding takes for it. */
function named(found: Prepared, values: Values): Record<string, SqlValue> {
  // the schema may have been changed since: `select *` has other columns then
  if (found.columns.length !== values.length) found.columns = found.statement.columns().map(({ name }) => name)
  const { columns } = found
  const row: Record<string, SqlValue> = {}
  for (let n = 0; n < values.length; n++) row[columns[n]!] = values[n]!
  return row
}

function prepared(db: DatabaseSync, sql: string): Prepared {
  let known = compiled.get(db)
  if (!known) compiled.set(db, (known = new Map()))
  let found = known.get(sql)
  if (!found) known.set(sql, (found = compile(db, sql)))
  return found
}

/** The values in the order of their places. Throws where a name has no value or a value no name. */
function valuesOf({ places, names }: Prepared, sql: string, params: Params): SqlValue[] {
  const values: SqlValue[] = []
  for (const name of places) {
    const value = params[name]
    if (value === undefined) throw new Error(`:${name} has no value in: ${sql}`)
    values.push(value)
  }
  if (Object.keys(params).length !== names)
    throw new Error(`of ${Object.keys(params).join(', ')} not all are asked for in: ${sql}`)
  return values
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
  const statement = db.prepare(placed)
  statement.setReturnArrays(true)
  return { statement, places, names: new Set(places).size, columns: [] }
}
