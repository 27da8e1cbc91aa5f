/**
 * The proof that the log explains everything: the projections compared with what the log folds into, and made anew from it. However long both are,
 * only a page of them is in memory: tasks are gone through in the order of their ids, each with its own events.
 */
import type { Database, Reader, Tx } from './database.ts'
import { openDatabase } from './database.ts'
import { pageOfOthers, pageOfTasks } from './log-page.ts'
import { project, projections, type Row } from './projection.ts'
import type { Table, Values } from './statement.ts'
import { foldTask, insertTasks, rowsOfTasks, type Folded } from './story.ts'

export type Difference = { table: string; row: string; stored: string | null; folded: string | null }
/** `differing`: how many rows differ, of which `differences` are the first. */
export type Rebuilt = { events: number; rows: number; differing: number; differences: Difference[] }

/** Folds the whole log and compares every projected row byte for byte. Changes nothing. */
export const verifyProjections = (database: Database): Promise<Rebuilt> => database.read(compareAll)

/** Drops the projections and makes them anew, in one transaction. */
export async function rebuildProjections(database: Database): Promise<Rebuilt> {
  return database.write(async (tx) => {
    const found = await compareAll(tx)
    for (const { table } of projections) await tx.run(`delete from ${table}`)
    await fold(tx)
    return found
  })
}

const pageSize = 2000
/** More differences than this are counted, not listed. */
const mostListed = 1000

/** Writes each row once, as the whole story of its task makes it: event by event most of them would be written again and again. */
async function fold(tx: Tx): Promise<void> {
  await foldOthers(tx, tx)
  for (let after = ''; ;) {
    const { stories, last } = await pageOfTasks(tx, after, pageSize)
    await insertTasks(
      tx,
      await rowsOfTasks(
        tx,
        stories.map(({ events }) => foldTask(events)),
      ),
    )
    if (last === null) return
    after = last
  }
}

async function compareAll(reader: Reader): Promise<Rebuilt> {
  const found: Rebuilt = { events: 0, rows: 0, differing: 0, differences: [] }
  await compareTasks(reader, found)
  await compareOthers(reader, found)
  return found
}

/** Where the last page of tasks ended; every id there can be lies before `end`. */
const end = '\u{10ffff}'

async function compareTasks(reader: Reader, found: Rebuilt): Promise<void> {
  for (let after = ''; ;) {
    const { stories, last } = await pageOfTasks(reader, after, pageSize)
    const folded = stories.map(({ events }) => foldTask(events))
    for (const { events } of stories) found.events += events.length
    await compareRange(reader, { after, last: last ?? end }, folded, found)
    if (last === null) return
    after = last
  }
}

const byTask = {
  task: 'select * from task where id > :after and id <= :last order by id',
  attempt: 'select * from attempt where task > :after and task <= :last order by task, token',
  vote: 'select * from vote where task > :after and task <= :last order by task, round, family',
  landing: 'select * from landing where task > :after and task <= :last order by task',
  dependency: 'select * from dependency where task > :after and task <= :last order by task, needs',
  queue: 'select * from queue where task > :after and task <= :last order by task',
}

async function compareRange(
  reader: Reader,
  range: { after: string; last: string },
  folded: readonly Folded[],
  found: Rebuilt,
): Promise<void> {
  const rows = await rowsOfTasks(reader, folded)
  for (const [table, sql] of Object.entries(byTask))
    compare(table, await reader.table(sql, range), rows[table as keyof typeof byTask], found)
}

const others = ['repo', 'pause'] as const

/** What is not of tasks is little: it is folded as ever, beside the database. */
async function compareOthers(reader: Reader, found: Rebuilt): Promise<void> {
  const scratch = openDatabase(':memory:')
  try {
    found.events += await scratch.write((tx) => foldOthers(reader, tx))
    for (const table of others) {
      const folded = await scratch.read((beside) => beside.all<Row>(`select * from ${table}`))
      compare(table, await reader.table(`select * from ${table}`), folded, found)
    }
  } finally {
    scratch.close()
  }
}

const orders = new Map<string, string[]>(projections.map(({ table, order }) => [table, order.split(', ')]))

const keyOf = (table: string, row: Row): string =>
  orders
    .get(table)!
    .map((column) => String(row[column]))
    .join('/')

/** Folds into `tx` what is not of tasks; answers how many events that was. */
async function foldOthers(reader: Reader, tx: Tx): Promise<number> {
  let events = 0
  for (let after = 0; ;) {
    const page = await pageOfOthers(reader, after, pageSize)
    if (page.length === 0) return events
    for (const each of page) await project(tx, each.stream, [each], { version: 0, task: null })
    after = page.at(-1)!.seq
    events += page.length
  }
}

/** Nearly every row is the same as the folded one that stands in its place. Only what is not is looked for by its key. */
function compare(table: string, { columns, rows }: Table, folded: readonly Row[], found: Rebuilt): void {
  found.rows += folded.length
  const stored: Row[] = []
  const missed: Row[] = []
  for (let n = 0; n < rows.length || n < folded.length; n++) {
    const there = rows[n]
    const wanted = folded[n]
    if (there && wanted && isSame(columns, there, wanted)) continue
    if (there) stored.push(named(columns, there))
    if (wanted) missed.push(wanted)
  }
  if (stored.length > 0 || missed.length > 0) compareByKey(table, stored, missed, found)
}

/** A column that no event wrote is null. */
function isSame(columns: readonly string[], there: Values, wanted: Row): boolean {
  for (let n = 0; n < columns.length; n++) if (there[n] !== (wanted[columns[n]!] ?? null)) return false
  return true
}

function compareByKey(table: string, stored: readonly Row[], folded: readonly Row[], found: Rebuilt): void {
  const left = new Map(folded.map((row) => [keyOf(table, row), row]))
  const differs = (row: string, there: Row | null, wanted: Row | null) => {
    found.differing += 1
    if (found.differences.length < mostListed)
      found.differences.push({
        table,
        row,
        stored: there && JSON.stringify(there),
        folded: wanted && JSON.stringify(wanted),
      })
  }
  for (const there of stored) {
    const key = keyOf(table, there)
    const wanted = left.get(key)
    left.delete(key)
    if (!wanted) differs(key, there, null)
    else if (!isSame(Object.keys(there), Object.values(there), wanted)) differs(key, there, like(there, wanted))
  }
  for (const [key, wanted] of left) differs(key, null, wanted)
}

const named = (columns: readonly string[], there: Values): Row =>
  Object.fromEntries(columns.map((column, n) => [column, there[n] as Row[string]]))

const like = (there: Row, wanted: Row): Row =>
  Object.fromEntries(Object.keys(there).map((column) => [column, wanted[column] ?? null]))
