/** What is looked at instead of everything: it is another once anything was written, and only then. */
import assert from 'node:assert/strict'
import { mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { memory } from './connect.ts'
import { openDatabase, type Tx } from './database.ts'

const put = (tree: string) => (tx: Tx) => tx.run(`insert into gate_result values (:tree, 'k', '{}', 0)`, { tree })

test('a stamp is another one after a write of ours or of anybody, by hand too, and stays as it is while only read', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'stamp-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'tasks.db')
  const [ours, theirs] = [openDatabase(path), openDatabase(path)]
  const byHand = new DatabaseSync(path)
  const isOther: boolean[] = []
  for (const act of [
    () => ours.write((tx) => tx.all('select * from gate_result')),
    () => ours.read((reader) => reader.all('select * from gate_result')),
    () => theirs.write((tx) => tx.run("delete from gate_result where tree = 'none'")),
    () => ours.write(put('a')),
    () => theirs.write(put('b')),
    async () => byHand.exec("update gate_result set at = 1 where tree = 'a'"),
    async () => {},
  ]) {
    const before = ours.stamp()
    await act()
    isOther.push(ours.stamp() !== before)
  }
  assert.deepEqual(isOther, [false, false, false, true, true, true, false])
  await rename(path, `${path}.away`)
  assert.equal(ours.stamp(), null, 'a file that is gone has none')
  for (const each of [ours, theirs, byHand]) each.close()
  assert.equal(ours.stamp(), null, 'nor has one that is closed')
})

test('one in memory has a stamp too', async () => {
  const database = openDatabase(memory)
  const before = database.stamp()
  await database.write(put('a'))
  assert.ok(before !== null && database.stamp() !== before)
  database.close()
})
