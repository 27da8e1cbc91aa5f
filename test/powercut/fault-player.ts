/**
 * A small life of a database: opened, written to by several callers at once, anchored, closed. Says of each write whether it was done or its caller was
 * told that it was not; a test has the machine fail beneath it.
 * usage: node fault-player.ts DATABASE
 */
import { added } from '../../src/core/fixture.ts'
import { openDatabase, type Database } from '../../src/store/database.ts'
import { append } from '../../src/store/append.ts'

const path = process.argv[2]!
const say = (text: string) => void process.stdout.write(`${text}\n`)

async function add(database: Database, id: string): Promise<void> {
  const events = [added(id, { text: 'leaf '.repeat(20) })]
  await database
    .write((tx) => append(tx, { at: 1, actor: 'person:ada', stream: `task/${id}`, events }))
    .then(
      () => say(`done ${id}`),
      (error: unknown) => say(`told ${id} ${String(error)}`),
    )
}

try {
  const database = openDatabase(path)
  for (let round = 0; round < 3; round++)
    await Promise.all(['a', 'b', 'c'].map((caller) => add(database, `task_${round}${caller}`)))
  await database.anchor().then(
    () => say('anchored'),
    (error: unknown) => say(`told anchor ${String(error)}`),
  )
  database.close()
} catch (error) {
  say(`told open ${String(error)}`)
}
say('end')
