/**
 * Prepared statements of one connection. Each is compiled once, and bound by place: looking names up at every call is a third of what a small
 * statement costs. What callers write are names, `:task`; the same name may stand in several places.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { insertTask, updateTask } from './document.ts'

export type SqlValue = SQLInputValue
export type Params = Record<string, SqlValue>

/** A row as SQLite gives it: values in the order of the columns. */
export type Values = readonly SqlValue[]
export type Table = { columns: readonly string[]; rows: readonly Values[] }

type Prepared = {
  statement: StatementSync
  places: readonly string[]
  names: number
  columns: readonly string[]
  sql: string
  /** It is a `select`, and changes nothing. */
  reads: boolean
  /** It changes tasks in another way than their projection does, which says what it makes of them. */
  forgets: boolean
}

const compiled = new WeakMap<DatabaseSync, Map<string, Prepared>>()

/** A statement with its values. */
export type Bound = { prepared: Prepared; values: SqlValue[] }

/** Throws where a name has no value or a value no name. */
export function bind(db: DatabaseSync, sql: string, params: Params): Bound {
  const found = prepared(db, sql)
  return { prepared: found, values: valuesOf(found, sql, params) }
}

/** Executes a statement that answers no rows. */
export function executeOnly({ prepared: { statement }, values }: Bound): { changes: number; rowId: number } {
  const { changes, lastInsertRowid } = statement.run(...values)
  return { changes: Number(changes), rowId: Number(lastInsertRowid) }
}

export function firstRow<T>({ prepared: found, values }: Bound): T | undefined {
  const row = found.statement.get(...values) as Values | undefined
  return row && (named(found, row) as T)
}

export function allRows<T>({ prepared: found, values }: Bound): T[] {
  const rows = found.statement.all(...values) as unknown as Values[]
  return rows.map((row) => named(found, row) as T)
}

/** For whoever goes through so many rows that making an object of each is too much. */
export function wholeTable({ prepared: found, values }: Bound): Table {
  const rows = found.statement.all(...values) as unknown as Values[]
  return { columns: rows.length > 0 ? columnsOf(found, rows[0]!) : [], rows }
}

/** Made here: for one of a few columns, that takes a third of the time SQLite's binding takes for it. */
function named(found: Prepared, values: Values): Record<string, SqlValue> {
  const columns = columnsOf(found, values)
  const row: Record<string, SqlValue> = {}
  for (let n = 0; n < values.length; n++) row[columns[n]!] = values[n]!
  return row
}

function columnsOf(found: Prepared, values: Values): readonly string[] {
  // the schema may have been changed since: `select *` has other columns then
  if (found.columns.length !== values.length) found.columns = found.statement.columns().map(({ name }) => name)
  return found.columns
}

function prepared(db: DatabaseSync, sql: string): Prepared {
  let known = compiled.get(db)
  if (!known) compiled.set(db, (known = new Map()))
  let found = known.get(sql)
  if (!found) known.set(sql, (found = compile(db, sql)))
  return found
}

/** The values in the order of their places. */
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

const writesTask = /\b(?:into|update|from|replace)\s+"?task\b/i

function compile(db: DatabaseSync, sql: string): Prepared {
  const places: string[] = []
  const placed = sql.replaceAll(part, (text, name: string | undefined) => {
    if (name === undefined) return text
    places.push(name)
    return '?'
  })
  const statement = db.prepare(placed)
  statement.setReturnArrays(true)
  const names = new Set(places).size
  const reads = /^\s*select\b/i.test(sql)
  const forgets = !reads && writesTask.test(sql) && sql !== insertTask && sql !== updateTask
  return { statement, places, names, columns: [], sql, reads, forgets }
}
