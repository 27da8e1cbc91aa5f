/** restore, with a real repository and a real daemon: what landed since the backup lands no second time, what was spent stays spent, the log explains it. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { dayOf } from '../../src/core/day.ts'
import type { Child } from '../../src/host/process.ts'
import { daemonRow, readCircumstances } from '../../src/store/lease.ts'
import { accountOf, totalsBy } from '../../src/store/account.ts'
import { readLog } from '../../src/store/log.ts'
import { verifyProjections } from '../../src/store/rebuild.ts'
import { endsWell } from './ending.ts'
import { approving, program, rig, world, writing, type Rig } from './rig.ts'

const names = ['Sell tea', 'Sell coffee', 'Sell cocoa', 'Sell water']
const rules = [...names.map((name) => writing(name)), approving]

const landings = async (shop: Rig) =>
  (await shop.git('log', '--reverse', '--format=%s', 'main..tri-agent/landing')).split('\n').filter(Boolean)

const today = (shop: Rig) =>
  shop.database.read(async (reader) => {
    const day = dayOf(world.clock.now())
    return { account: await accountOf(reader, `day/${day}`), charged: (await totalsBy(reader, 'day'))[0]!.nanoUsd }
  })

const epochOf = async (shop: Rig) => (await shop.database.read(daemonRow))!.epoch

const restoredIn = (shop: Rig) =>
  shop.database.read(async (reader) => {
    const [last] = (await readLog(reader, { types: ['store.restored'], limit: 10 })).slice(-1)
    return last?.event.type === 'store.restored' ? last.event : null
  })

async function green(shop: Rig): Promise<void> {
  const verified = await shop.type('log', 'verify')
  assert.equal(verified.code, 0, verified.stdout + verified.stderr)
  assert.deepEqual((await verifyProjections(shop.database)).differences, [])
  assert.equal((await shop.type('verify-history')).code, 0)
  assert.equal((await shop.type('db', 'check')).code, 0)
}

/** Nobody can read the database any more. */
async function damage({ paths }: Rig): Promise<void> {
  const other = new DatabaseSync(paths.database)
  other.exec('pragma wal_checkpoint(truncate)') // or the WAL has a whole first page, and nothing is lost
  other.close()
  const file = await open(paths.database, 'r+')
  await file.write('not a database any more')
  await file.close()
}

/** The daemon as a process of its own, up: what a restore ends first. */
async function daemonOf(shop: Rig): Promise<Child> {
  const child = await world.spawn({
    file: process.execPath,
    args: [program, 'up', '--trust'],
    cwd: shop.repository,
    env: shop.env,
  })
  child.stderr.resume()
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) if (chunk.toString().includes('Up:')) break
  return child
}

/** Tea has landed, a backup was taken, then coffee and cocoa landed: coffee was queued before the backup, cocoa after it. */
async function twoLandingsLater(): Promise<{ shop: Rig; backup: string; ids: string[]; child: Child }> {
  const shop = await rig({ rules })
  try {
    return await landTwice(shop)
  } catch (error) {
    await shop[Symbol.asyncDispose]()
    throw error
  }
}

async function landTwice(shop: Rig): ReturnType<typeof twoLandingsLater> {
  await shop.up()
  const tea = await shop.add('Sell tea')
  await shop.state(tea, 'done')
  await shop.down()
  const coffee = await shop.add('Sell coffee')
  const taken = JSON.parse((await shop.type('backup', '--json')).stdout) as { file: string }
  await shop.up()
  await shop.state(coffee, 'done')
  const cocoa = await shop.add('Sell cocoa')
  await shop.state(cocoa, 'done')
  await shop.down()
  // this process was the daemon, and lives on
  await shop.database.write((tx) => tx.run("update daemon set pid = 0, boot_id = 'none', start_time = null"))
  assert.deepEqual(await landings(shop), ['Sell tea', 'Sell coffee', 'Sell cocoa'])
  return { shop, backup: taken.file, ids: [tea, coffee, cocoa], child: await daemonOf(shop) }
}

test('a backup two landings old: nothing lands twice, the money is counted, the log is green, and work goes on', async () => {
  const { shop, backup, ids, child } = await twoLandingsLater()
  await using _ = shop
  await shop.type('pause')
  const water = await shop.add('Sell water')
  const [before, epoch] = [await today(shop), await epochOf(shop)]
  const stories = await Promise.all(ids.map((id) => shop.events(id)))
  const typed = await shop.type('restore', 'latest')
  assert.equal(typed.code, 0, typed.stderr)
  assert.match(typed.stderr, /The daemon has ended/)
  assert.equal((await child.exit).code, 0)
  assert.match(typed.stdout, /2 landings since are recorded, and land no second time/)
  assert.match(typed.stdout, new RegExp(`added since and not landed: ${water}`))
  await green(shop)
  const event = await restoredIn(shop)
  assert.deepEqual([event?.file, event?.money, event?.unasked], [backup, 'counted', []])
  assert.deepEqual(
    event?.landings.map(({ task, told }) => [task, told]),
    [
      [ids[1], 'log'],
      [ids[2], 'log'],
    ],
  )
  assert.ok(event.from!.seq < event.left!.seq)
  assert.deepEqual(await Promise.all(ids.map((id) => shop.events(id))), stories, 'how they came to land is known')
  assert.deepEqual(await today(shop), before)
  assert.ok(before.charged > 0)
  assert.ok((await epochOf(shop)) > epoch)
  await shop.up()
  const again = await shop.add('Sell water')
  await shop.state(again, 'done')
  assert.deepEqual(await landings(shop), ['Sell tea', 'Sell coffee', 'Sell cocoa', 'Sell water'])
  assert.ok((await today(shop)).charged > before.charged)
  await shop.down()
  await green(shop)
  await endsWell(shop)
})

test('where the old database is damaged: landings are told by git, the day counts as used, and the damaged file is kept as it was', async () => {
  const { shop, ids, child } = await twoLandingsLater()
  await using _ = shop
  await shop.type('down')
  await child.exit
  const epoch = (await shop.events()).filter(({ type }) => type === 'daemon.started').length
  await damage(shop)
  const bytes = readFileSync(shop.paths.database)
  const typed = await shop.type('restore', 'latest')
  assert.equal(typed.code, 0, typed.stderr)
  assert.match(typed.stdout, /nobody can say \(.*not a database.*\): today's budget counts as used/)
  shop.reopen()
  await green(shop)
  const event = await restoredIn(shop)
  assert.deepEqual(
    event?.landings.map(({ task, told }) => [task, told]),
    [
      [ids[1], 'git'],
      [ids[2], 'git'],
    ],
  )
  assert.deepEqual(readFileSync(event.kept!), bytes)
  const { account, charged } = await today(shop)
  assert.deepEqual([account?.spent, charged], [75e9, 75e9])
  assert.ok((await epochOf(shop)) > epoch)
  for (const id of ids) assert.equal((await shop.type('show', id)).code, 0)
  assert.match(await shop.show(ids[2]!), /Sell cocoa[^]*landed/i)
  await shop.up()
  const water = await shop.add('Sell water')
  await shop.until('the daemon has looked at what keeps tasks from starting', readCircumstances)
  assert.equal((await shop.task(water)).running.length, 0)
  assert.deepEqual(await landings(shop), ['Sell tea', 'Sell coffee', 'Sell cocoa'])
  await shop.down()
  await green(shop)
})

/** A backup of when coffee was only queued; it was implemented and approved by its reviewers since, and a person was still to look at it. */
async function handedInSince(): Promise<{ shop: Rig; coffee: string }> {
  const shop = await rig({ rules, config: { unattended: false } })
  const coffee = await shop.add('Sell coffee')
  await shop.type('backup')
  await shop.up()
  await shop.state(coffee, 'awaiting-approval')
  await shop.down()
  await shop.database.write((tx) => tx.run("update daemon set pid = 0, boot_id = 'none', start_time = null"))
  return { shop, coffee }
}

test('work handed in since the backup is not made again: its task goes on from there', async () => {
  const { shop, coffee } = await handedInSince()
  await using _ = shop
  const before = await today(shop)
  const typed = await shop.type('restore', 'latest')
  assert.equal(typed.code, 0, typed.stderr)
  assert.match(typed.stdout, /1 attempt handed in since goes on from there/)
  assert.deepEqual(
    (await restoredIn(shop))?.handedIn?.map(({ task, token, told }) => [task, token, told]),
    [[coffee, 1, 'log']],
  )
  await green(shop)
  assert.equal((await shop.task(coffee)).phase, 'awaiting-approval')
  await shop.up()
  assert.equal((await shop.type('approve', coffee)).code, 0)
  await shop.state(coffee, 'done')
  await shop.down()
  assert.deepEqual(await landings(shop), ['Sell coffee'])
  assert.equal((await today(shop)).charged, before.charged, 'no model was asked again')
  await green(shop)
})

test('where the old log cannot be believed, a task whose work was handed in is held until a person lets it be made again', async () => {
  const { shop, coffee } = await handedInSince()
  await using _ = shop
  await damage(shop)
  const typed = await shop.type('restore', 'latest')
  assert.equal(typed.code, 0, typed.stderr)
  assert.match(typed.stdout, new RegExp(`Held {6}${coffee}: .*refs/tri-agent/${coffee}/1`))
  shop.reopen()
  await green(shop)
  assert.match((await shop.task(coffee)).held ?? '', /does not know of the work handed in since/)
  assert.equal((await shop.type('release', coffee)).code, 0)
  assert.equal((await shop.task(coffee)).held, null)
})
