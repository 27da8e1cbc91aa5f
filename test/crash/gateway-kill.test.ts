/** kill -9 of a gateway with live streams, at moments that chance chooses: the ledger is never below what the provider billed, nothing stays held. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { finalBill, startProvider, tell, turns } from '../../bench/overshoot.ts'
import { seededRandom } from '../../sim/world.ts'
import { searchPath } from '../../src/git/fixture.ts'
import { openDatabase } from '../../src/store/database.ts'
import { recoverHolds, revokeAllKeys } from '../../src/store/ledger.ts'
import { accountOf } from '../../src/store/account.ts'
import { readPacing } from '../../src/store/pace.ts'
import { world } from '../cli-rig.ts'

const limitNanoUsd = 600_000_000
const streams = 6

for (const seed of [1, 2, 3])
  test(`a gateway that is killed with live streams is charged for them when the next one starts (seed ${seed})`, async (t) => {
    const dice = seededRandom(seed)
    const folder = await mkdtemp(join(tmpdir(), 'tri-kill-'))
    t.after(() => rm(folder, { recursive: true, force: true }))
    await using provider = await startProvider({ streams, limitNanoUsd, lagMs: 300, tokensPerStream: 3000 })
    const args = [
      join(import.meta.dirname, 'gateway-mortal.ts'),
      folder,
      provider.url,
      String(streams),
      String(limitNanoUsd),
    ]
    const gateway = await world.spawn({ file: process.execPath, args, cwd: folder, env: { PATH: searchPath } })
    gateway.stderr.resume()
    const said = await new Promise<string>((resolve) => gateway.stdout.setEncoding('utf8').once('data', resolve))
    const { url, keys } = JSON.parse(said) as { url: string; keys: string[] }
    const heard = keys.map((key, n) => tell(url, key, turns[n % 2]!))
    const moment = 20_000_000 + dice() * 100_000_000
    while ((await provider.bill()).billed < moment); // each look takes a while
    gateway.signal('SIGKILL')
    await gateway.exit
    await Promise.all(heard)
    const { billed, streams: begun } = await finalBill(provider)
    const database = openDatabase(join(folder, 'tasks.db'))
    const before = await database.read((reader) => accountOf(reader, 'task/task_1'))
    assert.ok(before!.spent + before!.held <= limitNanoUsd, 'within the limit as it died')
    const { holds } = await database.write(async (tx) => {
      await revokeAllKeys(tx, world.clock.now())
      return recoverHolds(tx, world.clock.now())
    })
    const { spent, held } = (await database.read((reader) => accountOf(reader, 'task/task_1')))!
    const { level } = await database.read(readPacing)
    database.close()
    assert.ok(begun > 0 && holds > 0, `${begun} begun, ${holds} in flight`)
    assert.equal(held, 0)
    assert.ok(spent >= billed && spent <= limitNanoUsd, `ledger ${spent}, bill ${billed}`)
    assert.ok(level.nanoUsd <= 3_000_000_000 - spent + 100_000_000, 'the pacer knows of it too')
  })
