/** What must be true at the end of every scenario, whatever happened in it: the log explains it, the history is what was tested, nothing is left. */
import assert from 'node:assert/strict'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { verifyHistory } from '../../src/daemon/verify.ts'
import { verifyProjections } from '../../src/store/rebuild.ts'
import { survivorsIn, type Rig } from './rig.ts'

/** Ends the daemon and holds what it left to its promises. */
export async function endsWell(rig: Rig, expected?: string): Promise<void> {
  await rig.down()
  assert.deepEqual((await verifyProjections(rig.database)).differences, [], 'the log rebuilds every row')
  let said = ''
  const options = { env: rig.env, repo: null, json: false, out: (text: string) => void (said += text) }
  assert.equal(await verifyHistory(options), 0, said)
  const left = await rig.database.read(async (reader) => ({
    leases: await reader.all('select attempt from lease'),
    processes: await reader.all('select attempt from process'),
    holds: await reader.all('select id from hold'),
    keys: await reader.all('select attempt from virtual_key where revoked_at is null'),
    running: await reader.all("select id from attempt where state <> 'ended'"),
  }))
  assert.deepEqual(left, { leases: [], processes: [], holds: [], keys: [], running: [] }, 'no row is left')
  assert.deepEqual(survivorsIn(rig), [], 'no process is left')
  assert.deepEqual(readdirSync(rig.paths.areas), [], 'no area is left')
  assert.deepEqual(readdirSync(rig.paths.sockets), [], 'no socket is left')
  const failed = (await rig.events()).filter((event) => event.type === 'loop.failed' && event.loop !== expected)
  assert.deepEqual(failed, [], 'no loop failed')
  const open = [rig.paths.database, join(rig.paths.stateFolder, 'transcripts')].filter(
    (each) => (statSync(each).mode & 0o077) !== 0,
  )
  assert.deepEqual(open, [], 'nobody else can read it')
}
