/** The daemon dies at named points, is asked to end, or is started twice: the work is finished once, landed at most once, and nothing is left behind. */
import assert from 'node:assert/strict'
import { chmod, mkdir, rename, writeFile } from 'node:fs/promises'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { registerRepository } from '../../src/command/register.ts'
import { isRefusal } from '../../src/core/refusal.ts'
import { startTimeOf } from '../../src/host/proc.ts'
import type { Child } from '../../src/host/process.ts'
import { endsWell } from './ending.ts'
import { approving, implementing, program, rig, survivorsIn, world, writing, type Rig } from './rig.ts'

/** The real daemon as a process of its own, with `git`, or another program, in front of the real one where it is given. */
async function daemonOf(shop: Rig, git?: string, name = 'git'): Promise<Child> {
  const bin = join(shop.home, 'bin')
  await mkdir(bin, { recursive: true })
  if (git !== undefined) {
    const real = `real() { PATH='${shop.env['PATH']}' ${name} "$@"; }`
    await writeFile(join(bin, name), `#!/bin/sh\n${real}\n${git}\nreal "$@"\n`)
    await chmod(join(bin, name), 0o700)
  }
  const env = { ...shop.env, PATH: git === undefined ? shop.env['PATH']! : `${bin}:${shop.env['PATH']}` }
  const child = await world.spawn({
    file: process.execPath,
    args: [program, 'up', '--trust'],
    cwd: shop.repository,
    env,
  })
  child.stdout.resume()
  child.stderr.resume()
  return child
}

const landingsOf = async (shop: Rig) =>
  (await shop.git('log', '--format=%s', 'main..tri-agent/landing')).split('\n').filter(Boolean)

const isLanding = `case "$*" in *'tri-agent: land'*)`

for (const [when, git] of [
  ['before the branch moves', `${isLanding} kill -9 $PPID; exit 1;; esac`],
  ['after the branch moved, before it is written down', `${isLanding} real "$@"; kill -9 $PPID; exit 0;; esac`],
] as const)
  test(`kill -9 ${when}: the task is done once, and landed once`, async () => {
    await using shop = await rig({ rules: [writing('Sell coffee'), approving] })
    const id = await shop.add('Sell coffee')
    const child = await daemonOf(shop, git)
    assert.equal((await child.exit).signal, 'SIGKILL')
    assert.equal((await shop.task(id)).intent !== null, true)
    assert.equal((await shop.type('cancel', id)).code, 1)
    await shop.up()
    await shop.state(id, 'done')
    assert.deepEqual(await landingsOf(shop), ['Sell coffee'])
    await endsWell(shop)
  })

const isHandOff = `case "$*" in *'git bundle create'*)`

for (const [when, bwrap] of [
  ['before it is begun', `${isHandOff} kill -9 $PPID; exit 1;; esac`],
  ['when it is done', `${isHandOff} real "$@"; kill -9 $PPID; exit 0;; esac`],
] as const)
  test(`kill -9 while finished work is bundled, ${when}: the next daemon takes it in, and nobody is paid for it again`, async () => {
    let asked = 0
    await using shop = await rig({ rules: [writing('Sell coffee'), approving], onRequest: () => (asked += 1) })
    const id = await shop.add('Sell coffee')
    const child = await daemonOf(shop, bwrap, 'bwrap')
    assert.equal((await child.exit).signal, 'SIGKILL')
    const { attempt } = (await shop.task(id)).running[0]!
    const before = asked
    assert.ok(before > 0)
    await shop.up()
    const ended = await shop.happened(id, 'attempt.ended')
    assert.deepEqual([ended.attempt, ended.outcome], [attempt, 'passed'], ended.reason)
    assert.ok(ended.costNanoUsd > 0)
    const taken = await shop.happened(id, 'candidate.taken')
    assert.deepEqual([taken.attempt, taken.files, taken.message.length > 0], [attempt, ['sell-coffee.txt'], true])
    assert.equal(taken.family, 'openai')
    await shop.state(id, 'done')
    const steps = (await shop.events(id)).flatMap((event) => (event.type === 'attempt.admitted' ? [event.step] : []))
    assert.equal(steps.filter((each) => each === 'implement').length, 1)
    assert.deepEqual(await landingsOf(shop), ['Sell coffee'])
    await endsWell(shop)
  })

test('after kill -9 a landing is not done again while nobody can see whether it happened', async () => {
  await using shop = await rig({ rules: [writing('Sell coffee'), approving] })
  const id = await shop.add('Sell coffee')
  const child = await daemonOf(shop, `${isLanding} real "$@"; kill -9 $PPID; exit 0;; esac`)
  await child.exit
  const away = `${shop.repository}-away`
  await rename(shop.repository, away)
  await shop.up()
  assert.equal((await shop.task(id)).running.length, 1)
  await shop.down()
  await rename(away, shop.repository)
  await shop.up()
  await shop.state(id, 'done')
  assert.deepEqual(await landingsOf(shop), ['Sell coffee'])
  await endsWell(shop)
})

test('kill -9 while an agent works: the next daemon ends what it left, and the task lands once', async () => {
  let asked = () => {}
  const hanging = implementing(
    'Sell coffee',
    { misbehave: 'double-fork' },
    { read: { path: 'README.md' } },
    { misbehave: 'ignore-term' },
  )
  await using shop = await rig({
    rules: [{ ...hanging, times: 1 }, writing('Sell coffee'), approving],
    onRequest: () => asked(),
  })
  const thrice = new Promise<void>((resolve) => {
    let times = 0
    asked = () => {
      if ((times += 1) === 3) resolve()
    }
  })
  const id = await shop.add('Sell coffee')
  const child = await daemonOf(shop)
  await thrice
  const key = await shop.database.read((reader) =>
    reader.get<{ n: number }>('select count(*) as n from virtual_key where revoked_at is null'),
  )
  assert.equal(key?.n, 1)
  process.kill(child.pid, 'SIGKILL')
  await child.exit
  const { attempt } = await shop.happened(id, 'attempt.admitted')
  const area = join(shop.paths.areas, attempt)
  await shop.up()
  assert.deepEqual(
    survivorsIn({ home: area }),
    [],
    'nothing of the first attempt outlives the start of the next daemon',
  )
  await shop.state(id, 'done')
  assert.deepEqual(await landingsOf(shop), ['Sell coffee'])
  const ends = (await shop.events(id)).flatMap((event) => (event.type === 'attempt.ended' ? [event] : []))
  assert.equal(ends[0]?.outcome, 'lost')
  assert.ok(ends[0].costNanoUsd > 0, 'what the lost attempt spent is not forgotten')
  await endsWell(shop)
})

test('after a reboot whoever has the old process numbers is left alone, and the work that was under way is done again', async () => {
  const working = Promise.withResolvers<void>()
  const hanging = implementing('Sell coffee', { read: { path: 'README.md' } }, { misbehave: 'hang' })
  let asked = 0
  await using shop = await rig({
    rules: [{ ...hanging, times: 1 }, writing('Sell coffee'), approving],
    onRequest: () => (asked += 1) === 2 && working.resolve(),
  })
  const id = await shop.add('Sell coffee')
  const child = await daemonOf(shop)
  await working.promise
  process.kill(child.pid, 'SIGKILL')
  await child.exit
  const { attempt } = await shop.happened(id, 'attempt.admitted')
  const stranger = await world.spawn({ file: 'sleep', args: ['600'], cwd: '/', env: { PATH: '/usr/bin:/bin' } })
  try {
    const numbers = { pid: stranger.pid, start_time: startTimeOf(stranger.pid), boot: 'of the boot before' }
    await shop.database.write(async (tx) => {
      await tx.run('update process set boot_id = :boot, pid = :pid, start_time = :start_time', numbers)
      await tx.run('update daemon set boot_id = :boot, pid = :pid, start_time = :start_time', numbers)
    })
    await shop.up()
    assert.equal(startTimeOf(stranger.pid), numbers.start_time)
    assert.equal(existsSync(join(shop.paths.areas, attempt, 'agent')), false)
    await shop.state(id, 'done')
    assert.deepEqual(await landingsOf(shop), ['Sell coffee'])
    assert.equal(startTimeOf(stranger.pid), numbers.start_time)
  } finally {
    stranger.signal('SIGKILL')
    await stranger.exit
  }
  await endsWell(shop)
})

test('down --now in the middle of work ends it, whatever its grace; up takes it up again', async () => {
  const working = Promise.withResolvers<void>()
  const hanging = implementing('Sell coffee', { read: { path: 'README.md' } }, { misbehave: 'hang' })
  await using shop = await rig({
    config: { drain: { normal: '10m' } },
    rules: [{ ...hanging, times: 1 }, writing('Sell coffee'), approving],
    onRequest: working.resolve,
  })
  const id = await shop.add('Sell coffee')
  const child = await daemonOf(shop)
  await working.promise
  const typed = await shop.type('down', '--now')
  assert.equal(typed.code, 0, typed.stderr)
  assert.equal((await child.exit).code, 0)
  const task = await shop.task(id)
  assert.deepEqual([task.phase, task.running], ['open', []])
  assert.deepEqual(survivorsIn(shop), [])
  await shop.up()
  await shop.state(id, 'done')
  await endsWell(shop)
})

test('one daemon for one state: a second is refused; it answers for its health, and nobody else can read it', async () => {
  await using shop = await rig({ rules: [writing('Sell coffee'), approving] })
  const { port } = await shop.up()
  const agreed = await shop.type('up', '--trust')
  assert.equal(agreed.code, 0, 'a word given beside a daemon at work is not a second daemon')
  assert.match(agreed.stdout, new RegExp(`The daemon \\(pid ${process.pid}\\) goes on with it`))
  const second = await shop.type('up')
  assert.equal(second.code, 1)
  assert.match(second.stderr, new RegExp(`a daemon is up already \\(pid ${process.pid}\\)`))
  const ask = async (path: string) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`)
    return [answer.status, await answer.json()] as [number, Record<string, unknown>]
  }
  assert.deepEqual(await ask('/livez'), [200, { alive: true }])
  assert.deepEqual(await ask('/readyz'), [200, { ready: true }])
  const [status, health] = await ask('/health')
  assert.deepEqual([status, health['ready'], health['carrying']], [200, true, 0])
  assert.equal((await ask('/'))[0], 404)
  const modes = [
    shop.paths.stateFolder,
    shop.paths.sockets,
    shop.paths.areas,
    shop.paths.transcripts,
    shop.paths.database,
    `${shop.paths.database}-wal`,
    shop.paths.socket,
  ].map((path) => (statSync(path).mode & 0o777).toString(8))
  assert.deepEqual(modes, ['700', '700', '700', '700', '600', '600', '600'])
  const id = await shop.add('Sell coffee')
  await shop.state(id, 'done')
  await endsWell(shop)
})

test('one daemon serves two repositories, each with gates and a landing of its own', async () => {
  await using shop = await rig({ rules: [writing('Sell coffee'), writing('Lend books'), approving] })
  const library = join(shop.home, 'library')
  await shop.git('clone', '--quiet', '--no-local', shop.repository, library)
  const other = await registerRepository(shop.ports, { path: library, name: 'library', base: 'main' })
  if (isRefusal(other)) throw new Error(other.why)
  await shop.up()
  const [coffee, books] = [await shop.add('Sell coffee'), await shop.add('Lend books', { repo: other.id })]
  await shop.state(coffee, 'done')
  await shop.state(books, 'done')
  assert.deepEqual(await landingsOf(shop), ['Sell coffee'])
  assert.equal(await shop.git('-C', library, 'log', '--format=%s', 'main..tri-agent/landing'), 'Lend books')
  assert.match((await shop.type('list')).stdout, /library/)
  await endsWell(shop)
})
