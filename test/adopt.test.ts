/** Going on with another key for the log's seals. What is refused without one: store/seal.test.ts. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { added } from '../src/core/fixture.ts'
import { isRefusal } from '../src/core/refusal.ts'
import { drawSecret } from '../src/host/secret.ts'
import { append } from '../src/store/append.ts'
import { openDatabase, type Database } from '../src/store/database.ts'
import { keyIdOf, nameOfLog } from '../src/store/seal.ts'
import { firstDamage, verifyLog, type LogReport } from '../src/store/verify-log.ts'
import { adoptLog } from '../src/command/adopt.ts'
import type { CommandPorts } from '../src/command/ports.ts'

const write = (database: Database, ...tasks: string[]) =>
  Promise.all(
    tasks.map((task) =>
      database.write((tx) => append(tx, { at: 0, actor: 'person:ada', stream: `task/${task}`, events: [added(task)] })),
    ),
  )

/** A log of four commits, events 1–2, 3–5, 6 and 7–10, that nobody has open. */
async function lab() {
  const folder = mkdtempSync(join(tmpdir(), 'tri-agent-adopt-'))
  const path = join(folder, 'tasks.db')
  const database = openDatabase(path)
  let n = 0
  for (const tasks of [2, 3, 1, 4]) await write(database, ...Array.from({ length: tasks }, () => `task_${++n}`))
  database.close()
  return {
    path,
    key: `${path}.key`,
    /** What somebody with the file alone can do: no trigger stands in the way. */
    tamper(sql: string) {
      const file = new DatabaseSync(path)
      const triggers = file.prepare("select name from sqlite_schema where type = 'trigger'").all()
      for (const { name } of triggers) file.exec(`drop trigger ${String(name)}`)
      file.exec(sql)
      file.close()
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  }
}

const kinds = ({ damage }: LogReport) => damage.map(({ kind, first, last }) => `${kind} ${first}-${last}`)

const adopt = async (path: string, actor = 'person:ada') => {
  using drawn = drawSecret(`${path}.key`)
  const database = openDatabase(path)
  const world = { clock: { now: () => 7 } } as CommandPorts['world']
  const event = await adoptLog({ database, world, actor }).finally(() => database.close())
  if (!isRefusal(event)) drawn.keep()
  return event
}

test('a person goes on without the key: the log says who, up to where nothing can be proven, and any later change of it shows', async () => {
  using made = await lab()
  const before = keyIdOf(Buffer.from(readFileSync(made.key, 'utf8').trim(), 'hex'))
  rmSync(made.key)
  const event = await adopt(made.path)
  assert.ok(!isRefusal(event))
  assert.deepEqual([event.last, event.before], [10, [before]])
  const opened = openDatabase(made.path)
  await write(opened, 'task_x')
  const report = await verifyLog(opened)
  const unproven = { last: 10, sha256: event.sha256, keys: [before], by: 'person:ada', at: 7 }
  assert.deepEqual([report.ok, report.events, report.unproven], [true, 12, unproven])
  assert.equal(await opened.read((reader) => firstDamage(reader, opened.sealKey!, null)), null)
  const refused = await adopt(made.path)
  assert.equal(isRefusal(refused) && refused.refused, 'nothing-to-adopt')
  const found = async () => kinds(await verifyLog(opened))
  made.tamper(`update event set actor = 'person:eve' where seq = 4`)
  assert.deepEqual(await found(), ['changed 1-10'])
  made.tamper(
    `update event set actor = 'person:ada' where seq = 4; update event set actor = 'person:eve' where seq = 12`,
  )
  assert.deepEqual(await found(), ['changed 12-12'])
  opened.close()
})

test('a key that is lost a second time is gone on without once more, and the first one put back proves its own', async () => {
  using made = await lab()
  const { key } = made
  const first = readFileSync(key, 'utf8')
  rmSync(key)
  assert.ok(!isRefusal(await adopt(made.path)))
  rmSync(key)
  const second = await adopt(made.path, 'person:bob')
  assert.ok(!isRefusal(second))
  const report = async () => {
    const opened = openDatabase(made.path)
    return verifyLog(opened).finally(() => opened.close())
  }
  const asked = await report()
  assert.deepEqual(
    [asked.ok, asked.unproven?.last, asked.unproven?.keys.length, asked.unproven?.by],
    [true, 11, 2, 'person:bob'],
  )
  writeFileSync(key, first)
  assert.deepEqual(kinds(await report()), ['other-key 11-11', 'other-key 12-12'])
  const back = await adopt(made.path)
  assert.ok(!isRefusal(back))
  assert.deepEqual([(await report()).ok, back.before.length, back.last], [true, 2, 12])
})

test('what is wrong whatever the key is not adopted, and the key that was drawn for it does not stay', async () => {
  using made = await lab()
  rmSync(made.key)
  made.tamper('delete from event where seq = 4')
  const refused = await adopt(made.path)
  assert.ok(isRefusal(refused))
  assert.deepEqual([refused.refused, existsSync(made.key)], ['log-damaged', false])
  assert.match(refused.why, /deleted 3-5/)
})

test('nobody adopts without a seal of the new key: a forged word for it excuses nothing', async () => {
  using made = await lab()
  rmSync(made.key)
  writeFileSync(made.key, `${'a'.repeat(64)}\n`, { mode: 0o600 })
  const key = keyIdOf(Buffer.from('a'.repeat(64), 'hex'))
  const looking = openDatabase(made.path)
  const sha256 = await looking.read((reader) => nameOfLog(reader, 10)).finally(() => looking.close())
  const body = JSON.stringify({ key, before: [], last: 10, sha256 })
  made.tamper(`insert into event values (11, 0, 'daemon/main', 1, 'log.adopted', 'person:eve', '${body}')`)
  const opened = openDatabase(made.path)
  const report = await verifyLog(opened).finally(() => opened.close())
  assert.deepEqual(kinds(report), [
    'other-key 1-2',
    'other-key 3-5',
    'other-key 6-6',
    'other-key 7-10',
    'inserted 11-11',
  ])
})
