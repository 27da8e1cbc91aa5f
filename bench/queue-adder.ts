/** The other process of bench queue: for each line it is sent it adds a task, nudges whoever listens, and says when it began. Ends with its input. */
import { createInterface } from 'node:readline'
import { nudge } from '../src/host/nudge.ts'
import { openDatabase } from '../src/store/database.ts'
import { machineMs } from './queue-pickup.ts'
import { add } from './queue-store.ts'

const [path = '', socket = ''] = process.argv.slice(2)
const database = openDatabase(path)
for await (const line of createInterface({ input: process.stdin })) {
  const began = machineMs()
  await database.write((tx) => add(tx, `far${line.padStart(5, '0')}`))
  void nudge(socket)
  console.log(began)
}
database.close()
