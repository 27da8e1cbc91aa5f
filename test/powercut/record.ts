/**
 * What is recorded, as a process of its own that strace watches: a whole task through the real daemon, from `add` to the landing. Whatever was
 * acknowledged to anybody is written to a file right after, so that the recording has it in order with the writes and syncs of the database.
 * usage: node record.ts HOME
 */
import { mkdirSync, openSync, writeSync } from 'node:fs'
import { addTask } from '../../src/command/add.ts'
import { isRefusal } from '../../src/core/refusal.ts'
import type { Database } from '../../src/store/database.ts'
import { approving, rig, writing } from '../e2e/rig.ts'
import { acksOf } from './trace.ts'

const home = process.argv[2]!
mkdirSync(home, { recursive: true })
const file = openSync(acksOf(home), 'a')
let highest = 0
const acknowledge = () => void writeSync(file, `${highest}\n`)

/** Says after each commit that told its caller so how far the log has come. */
function tellAcks(database: Database): void {
  const write = database.write.bind(database)
  database.write = async (body) => {
    let last = 0
    const answer = await write((tx) =>
      body({
        ...tx,
        appended(row) {
          last = row.seq
          tx.appended(row)
        },
      }),
    )
    if (last > highest) {
      highest = last
      acknowledge()
    }
    return answer
  }
}

const shop = await rig({ rules: [writing('Sell coffee'), approving], home })
tellAcks(shop.database)
const { daemon } = await shop.up()
tellAcks(daemon.database)
const id = await shop.add('Sell coffee')
await shop.state(id, 'done')
await shop.down()
// Enough more for a checkpoint in the middle, with several callers to a commit.
for (let round = 0; round < 60; round++) {
  const added = await Promise.all(
    [1, 2, 3].map((n) =>
      addTask(shop.ports, { repo: shop.repo, title: `Sell tea ${round} ${n}`, text: 'leaf '.repeat(300) }),
    ),
  )
  if (added.some(isRefusal)) throw new Error('not added')
}
shop.database.close()
acknowledge()
process.exit(0)
