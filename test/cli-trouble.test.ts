/** When things go wrong: a daemon that will not end, and a bug of ours. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { bootId, isAlive, startTimeOf } from '../src/host/proc.ts'
import type { Child } from '../src/host/process.ts'
import { takeEpoch } from '../src/store/lease.ts'
import { bundle, person, world, type Person } from './cli-rig.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())

/** Resolves once the process has printed this. */
async function printed(child: Child, stream: 'stdout' | 'stderr', text: string): Promise<void> {
  let all = ''
  for await (const chunk of child[stream].iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    all += chunk.toString('utf8')
    if (all.includes(text)) return
  }
  assert.fail(`it ended without printing ${text}: ${all}`)
}

const start = (ada: Person, ...args: string[]): Promise<Child> =>
  world.spawn({
    file: process.execPath,
    args: [...args],
    cwd: ada.repository,
    env: { HOME: ada.home, PATH: '/usr/bin:/bin' },
  })

test('down tells a stubborn daemon once more at the first Ctrl-C and kills it at the second', async (t) => {
  await using ada = await person(built.program)
  await ada.type(['init'])
  const daemon = await start(
    ada,
    '-e',
    "process.on('SIGTERM', () => console.log('no')); console.log('up'); setInterval(() => {}, 1e6)",
  )
  t.after(() => daemon.signal('SIGKILL'))
  await printed(daemon, 'stdout', 'up')
  const identity = { bootId: bootId(), pid: daemon.pid, startTime: startTimeOf(daemon.pid) }
  await ada.withDatabase((database) =>
    database.write((tx) =>
      takeEpoch(tx, { pid: daemon.pid, boot_id: identity.bootId, start_time: identity.startTime, started_at: 0 }),
    ),
  )
  const down = await start(ada, built.program, 'down', '--json')
  t.after(() => down.signal('SIGKILL'))
  await printed(daemon, 'stdout', 'no')
  await printed(down, 'stderr', 'Ending what is under way')
  down.signal('SIGINT')
  await printed(daemon, 'stdout', 'no')
  await printed(down, 'stderr', 'Ctrl-C again kills it')
  assert.equal(isAlive(identity), true)
  down.signal('SIGINT')
  assert.deepEqual(
    [await daemon.exit, await down.exit],
    [
      { code: null, signal: 'SIGKILL' },
      { code: 0, signal: null },
    ],
  )
})

test('a bug is said as one: exit code 70, what to report, and where the log is', async () => {
  await using ada = await person(built.program)
  await ada.type(['init'])
  await ada.type(['add', 'Sell tea'])
  await ada.withDatabase((database) => database.write((tx) => tx.run("update task set doc = '{}'")))
  const { code, stdout, stderr } = await ada.type(['list'])
  assert.deepEqual([code, stdout], [70, ''])
  assert.match(
    stderr,
    /^tri-agent: TypeError: .*\n(?: +at .*\n)+ +→ this is a bug in tri-agent; .* version \d\S*, Node \d\S*, \w+, and the end of \/\S+daemon\.log\n$/,
  )
  const asJson = await ada.json(['list'])
  assert.deepEqual([asJson['ok'], asJson['refused'], asJson['exitCode']], [false, 'bug', 70])
})

test('a file without an end is given up and not waited for', async () => {
  await using ada = await person(built.program)
  await ada.type(['init'])
  const { code, stderr } = await ada.type(['add', '-f', '/dev/zero'])
  assert.equal(code, 1)
  assert.match(stderr, /far too large for a task/)
})
