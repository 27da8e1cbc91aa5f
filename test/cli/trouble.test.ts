/** When things go wrong: a daemon that will not end, and a bug of ours. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { bootId, isAlive, startTimeOf } from '../../src/host/proc.ts'
import type { Child } from '../../src/host/process.ts'
import { verbs } from '../../src/cli/verb.ts'
import { takeEpoch } from '../../src/store/lease.ts'
import { bundle, person, world, type Person } from '../cli-rig.ts'
import { capture } from '../../src/host/process.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())

const script = ['/usr/bin/script', '/bin/script'].find(existsSync)

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
  await ada.withDatabase((database) => database.write((tx) => tx.run(`update task set doc = '{"running":null}'`)))
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

test('init marks a client that is too old, says what to type, and counts it among what is missing', async () => {
  await using ada = await person(built.program)
  const root = join(ada.home, `lib/node_modules/@openai/codex-${process.platform}-${process.arch}`)
  const program = join(root, 'vendor/x/bin/codex')
  await mkdir(dirname(program), { recursive: true })
  await writeFile(join(root, 'package.json'), '{ "version": "0.1.0-x" }')
  await writeFile(program, 'no program', { mode: 0o755 })
  const env = { PATH: `${dirname(program)}:${ada.path}`, OPENAI_API_KEY: 'sk-no-key-of-anybody-0123456789abcdef' }
  const { stdout } = await ada.type(['init'], { env })
  assert.match(
    stdout.replaceAll(/\s+/g, ' '),
    / openai ! codex 0\.1\.0 is too old, 0\.163\.0 is the oldest that works: npm install --global @openai\/codex@0\.169\.0; key/,
  )
  assert.match(stdout, /^ {2}npm install --global @openai\/codex@0\.169\.0$/m, 'and it is among what comes next')
  assert.match(stdout, /no family is usable yet/)
})

test('a refusal at a terminal is broken between words', { skip: script === undefined }, async () => {
  await using ada = await person(built.program)
  const env = { HOME: ada.home, PATH: '/usr/bin:/bin', TERM: 'xterm', SHELL: '/bin/sh', LANG: 'C.UTF-8' }
  const line = `stty cols 60 rows 24; exec ${process.execPath} ${built.program} show nothing`
  const typed = await capture(world.spawn, { file: script!, args: ['-qec', line, '/dev/null'], cwd: ada.home, env })
  const lines = typed.stdout.replaceAll('\r', '').split('\n')
  assert.match(lines.join(' '), /^tri-agent: .*\s+→ /)
  for (const each of lines) assert.ok(each.length <= 60 || !each.trim().includes(' '), `wider than 60: ${each}`)
})

test('whatever a task id looks like, it is text: each verb says that there is no such task, and nothing changes', async () => {
  await using ada = await person(built.program)
  await ada.type(['init'])
  await ada.type(['add', 'Sell tea'])
  const before = await ada.json(['list'])
  // none is the beginning of an id, which would be one
  const ids = [
    '1 or 1=1; drop table task; --',
    '000000000',
    '--json',
    '%',
    'task_%',
    '-1',
    '$(touch x)',
    '../..',
    'NULL',
    '',
  ]
  const asked = verbs.filter(({ args }) => args.some(({ name }) => /^[<[]task/.test(name)))
  assert.ok(asked.length >= 13)
  for (const [n, { name }] of asked.entries()) {
    const id = ids[n % ids.length]!
    const { code, stdout, stderr } = await ada.type([name, '--', id])
    assert.deepEqual([[1, 2].includes(code!), stdout], [true, ''], name)
    assert.ok(stderr.includes(id === '' ? 'no task is named\n' : `there is no task ${id}\n`), `${name}: ${stderr}`)
  }
  assert.deepEqual(await ada.json(['list']), before)
})

test('a program that is not installed is named, with what to do, and chaos is no exception', async () => {
  await using ada = await person(built.program)
  const env = { HOME: ada.home, PATH: join(ada.home, 'bin') }
  const args = [built.program, 'chaos', '--kills', '1']
  const { code, stderr } = await capture(world.spawn, { file: process.execPath, args, cwd: ada.home, env })
  assert.deepEqual(
    [code, stderr.split('\n').slice(-3)],
    [
      1,
      [
        'tri-agent: git is not installed, or not on PATH',
        '  → install it; tri-agent doctor says what else is missing',
        '',
      ],
    ],
  )
})
