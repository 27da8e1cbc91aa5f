/**
 * The power fails: every write and sync of a whole task is recorded, the disk is rebuilt as it may be at any moment of it, and the shipped program
 * opens what is there. With `synchronous = normal` instead of `full` the same test loses what was acknowledged, which is why it is `full`.
 */
import assert from 'node:assert/strict'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { seededRandom } from '../../sim/world.ts'
import { capture } from '../../src/host/process.ts'
import { openDatabase } from '../../src/store/database.ts'
import { verifyLog } from '../../src/store/verify-log.ts'
import { applyOp, cutPower, type Disk } from './disk.ts'
import { makeScratch, noStrace, path, world } from './strace.ts'
import { databaseIn, readTrace, straceArgs, type Op, type Part } from './trace.ts'

/** Each pass rebuilds so many disks, spread over the whole recording; passes are made until the time is up, and too few are a failure. */
const perPass = 250
const allotmentMs = 20_000
const leastPasses = 3

type Row = { seq: number; stream: string; type: string; body: string }
type Recording = {
  ops: Op[]
  log: Row[]
  /** Synced before it is linked to its name, and before the database is made: on every disk. */
  key: Buffer
}

let scratch: Awaited<ReturnType<typeof makeScratch>>
let folder = ''
before(async () => {
  scratch = await makeScratch('tri-power-')
  folder = scratch.folder
})
after(() => scratch[Symbol.asyncDispose]())

/** Has a whole task recorded. `preload`: a module loaded before the program. */
async function record(name: string, preload: string[] = []): Promise<Recording> {
  const home = join(folder, name)
  const out = join(folder, `${name}.trace`)
  const script = join(import.meta.dirname, 'record.ts')
  const done = await capture(world.spawn, {
    file: 'strace',
    args: [...straceArgs(home, out), process.execPath, ...preload, script, home],
    cwd: folder,
    env: { PATH: path, HOME: home, TMPDIR: folder },
  })
  assert.equal(done.code, 0, done.stderr)
  const database = openDatabase(databaseIn(home), { readOnly: true })
  const log = await database.read((reader) => reader.all<Row>('select seq, stream, type, body from event order by seq'))
  database.close()
  const key = await readFile(`${databaseIn(home)}.key`)
  return { ops: readTrace(await scratch.read(out), home), log: log.map((row) => ({ ...row })), key }
}

/** What is wrong with a disk once the shipped program has opened it, or null. */
async function problemOf(files: Map<Part, Buffer>, acknowledged: number, log: readonly Row[]): Promise<string | null> {
  const file = join(folder, 'state', 'tasks.db')
  await rm(dirname(file), { recursive: true, force: true })
  await mkdir(dirname(file), { mode: 0o700 })
  for (const [part, bytes] of files) await writeFile(`${file}${part}`, bytes, { mode: 0o600 })
  try {
    const database = openDatabase(file)
    try {
      const { rows, pages } = await database.read(async (reader) => ({
        rows: await reader.all<Row>('select seq, stream, type, body from event order by seq'),
        pages: await reader.all<{ integrity_check: string }>('pragma integrity_check'),
      }))
      if (pages[0]?.integrity_check !== 'ok') return `damaged: ${JSON.stringify(pages)}`
      if (rows.length < acknowledged) return `lost: ${acknowledged} events were acknowledged, ${rows.length} are there`
      if (JSON.stringify(rows) !== JSON.stringify(log.slice(0, rows.length))) return 'changed: the log is another one'
      const { damage } = await verifyLog(database)
      return damage.length === 0 ? null : `not as sealed: ${JSON.stringify(damage)}`
    } finally {
      database.close()
    }
  } catch (error) {
    return acknowledged === 0 ? null : `not opened: ${String(error)}`
  }
}

/** Rebuilds `perPass` disks, spread over the whole recording, and says what is wrong with which. */
async function cutEverywhere({ ops, log, key }: Recording, chance: () => number): Promise<string[]> {
  const problems: string[] = []
  const disk: Disk = new Map()
  const shift = chance() // so that no two passes look at the same moments
  let acknowledged = 0
  let tried = 0
  for (const [index, op] of ops.entries()) {
    applyOp(disk, op)
    if (op.op === 'acknowledged') acknowledged = op.seq
    for (const due = Math.floor(((index + 1) * perPass) / ops.length + shift); tried < due; tried++) {
      const problem = await problemOf(cutPower(disk, chance).set('.key', key), acknowledged, log)
      if (problem !== null) problems.push(`after call ${index + 1} of ${ops.length}: ${problem}`)
    }
  }
  return problems
}

test(
  'whenever the power fails, nothing that was acknowledged is lost and nothing is damaged',
  { skip: noStrace },
  async () => {
    const recording = await record('full')
    const kinds = Object.fromEntries(
      Object.entries(Object.groupBy(recording.ops, ({ op }) => op)).map(([op, all]) => [op, all!.length]),
    )
    const chance = seededRandom(2026)
    const began = world.clock.mono()
    const problems: string[] = []
    let passes = 0
    for (; passes < leastPasses || world.clock.mono() - began < allotmentMs; passes++)
      problems.push(...(await cutEverywhere(recording, chance)))
    process.stdout.write(
      `power cut: ${passes * perPass} disks from ${recording.log.length} events, ${JSON.stringify(kinds)}\n`,
    )
    assert.deepEqual(problems, [])
    assert.ok(kinds['acknowledged']! > 60 && kinds['sync']! > 60, 'a whole task was recorded')
    assert.ok(
      recording.ops.filter(({ op, ...rest }) => op === 'write' && 'part' in rest && rest.part === '').length > 20,
      'and checkpoints within it',
    )
  },
)

test(
  'the same with `synchronous = normal` loses what was acknowledged: the test can tell',
  { skip: noStrace },
  async () => {
    const recording = await record('normal', ['--import', new URL('normal.ts', import.meta.url).href])
    const problems = await cutEverywhere(recording, seededRandom(2026))
    assert.ok(
      problems.some((each) => each.includes('lost: ')),
      'no acknowledged event was lost',
    )
  },
)
