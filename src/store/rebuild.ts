/** Throwing the projections away and folding the log again: the proof that the log explains everything. */
import type { Database, Reader, Tx } from './database.ts'
import { openDatabase } from './database.ts'
import { readLog } from './log.ts'
import { project, projections, standing } from './projection.ts'

export type Difference = { table: string; row: string; stored: string | null; folded: string | null }
export type Rebuilt = { events: number; rows: number; differences: Difference[] }

/** Folds the whole log into a scratch database and compares every projected row byte for byte. Changes nothing. */
export async function verifyProjections(database: Database): Promise<Rebuilt> {
  const scratch = openDatabase(':memory:')
  try {
    return await database.read(async (reader) => {
      const events = await scratch.write((tx) => fold(reader, tx))
      const stored = await dump(reader)
      const folded = await scratch.read(dump)
      return { events, rows: folded.size, differences: compare(stored, folded) }
    })
  } finally {
    scratch.close()
  }
}

/** Drops the projections and makes them anew, in one transaction. */
export async function rebuildProjections(database: Database): Promise<Rebuilt> {
  return database.write(async (tx) => {
    const stored = await dump(tx)
    for (const { table } of projections) await tx.run(`delete from ${table}`)
    const events = await fold(tx, tx)
    const folded = await dump(tx)
    return { events, rows: folded.size, differences: compare(stored, folded) }
  })
}

const pageSize = 5000

async function fold(log: Reader, tx: Tx): Promise<number> {
  let after = 0
  let events = 0
  for (;;) {
    const page = await readLog(log, { after, limit: pageSize })
    if (page.length === 0) return events
    // stream by stream: what a row becomes depends on its own stream, and a task in the queue is placed anew when what it waits for is done
    for (const [stream, logged] of Map.groupBy(page, ({ stream }) => stream))
      await project(tx, stream, logged, await standing(tx, stream))
    after = page.at(-1)!.seq
    events += page.length
  }
}

async function dump(reader: Reader): Promise<Map<string, string>> {
  const rows = new Map<string, string>()
  for (const { table, order } of projections)
    for (const row of await reader.all<Record<string, unknown>>(`select * from ${table} order by ${order}`)) {
      const key = order
        .split(', ')
        .map((column) => String(row[column]))
        .join('/')
      rows.set(`${table} ${key}`, JSON.stringify(row))
    }
  return rows
}

function compare(stored: Map<string, string>, folded: Map<string, string>): Difference[] {
  return [...new Set([...stored.keys(), ...folded.keys()])]
    .filter((key) => stored.get(key) !== folded.get(key))
    .map((key) => {
      const [table = '', row = ''] = key.split(' ')
      return { table, row, stored: stored.get(key) ?? null, folded: folded.get(key) ?? null }
    })
}
