/** kill -9 at each named point, one daemon after the other on one database: nothing acknowledged is lost, nothing lands twice, nothing is left behind. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import { backupFolder } from '../../src/store/backup.ts'
import { endsWell } from '../e2e/ending.ts'
import { addPoints, backupPoint, daemonPoints } from './point.ts'
import { landsAll, report, spawnProgram, storm, titleOf } from './rig.ts'

test('kill -9 at every named point of the daemon: what was acknowledged is done once and lands once', async () => {
  await using ours = await storm(2 * daemonPoints.length)
  for (const { name, stop } of daemonPoints) {
    await ours.keepBusy(2)
    await ours.killAt(name, stop)
  }
  await ours.serve()
  await landsAll(ours)
  await ours.stop()
  report('named points', ours)
  await endsWell(ours.shop)
})

test('kill -9 of add: before its commit there is no task, after it there is one, and it is done although nobody was told', async () => {
  await using ours = await storm(2)
  const { shop } = ours
  const ids: (string | null)[] = []
  for (const [n, { name, stop }] of addPoints.entries()) {
    const typed = await spawnProgram(shop, ['add', titleOf(n)], stop)
    assert.deepEqual([(await typed.ended).signal, typed.said()], [9, ''], name)
    ours.kills.push(name)
    await ours.takeStock()
    const found = (await shop.events()).find((each) => each.type === 'task.added' && each.title === titleOf(n))
    ids.push(found?.type === 'task.added' ? found.task : null)
  }
  assert.deepEqual([ids[0], typeof ids[1]], [null, 'string'])
  ours.acknowledged.add(ids[1]!)
  await ours.serve()
  await landsAll(ours)
  await ours.stop()
  report('add', ours)
  await endsWell(shop)
})

test("kill -9 in the middle of a backup: nothing of it has a backup's name, and the next daemon clears it away and takes one that is whole", async () => {
  await using ours = await storm(1, { backup: { every: '1ms' } })
  const { shop } = ours
  const folder = backupFolder(shop.paths.database)
  await ours.keepBusy(1)
  await ours.killAt(backupPoint.name, backupPoint.stop)
  const left = readdirSync(folder)
  assert.deepEqual([left.length > 0, left.filter((name) => !name.startsWith('.draft-'))], [true, []])
  await ours.serve()
  await landsAll(ours)
  await shop.until('a backup', async () =>
    readdirSync(folder).some((name) => name.startsWith('tasks-')) ? true : null,
  )
  await ours.stop()
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('.draft-')),
    [],
  )
  const verified = await shop.type('backup', '--verify', 'latest')
  assert.equal(verified.code, 0, verified.stderr)
  await endsWell(shop)
})
