import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Fault, isFault } from '../host/fault.ts'
import { realWorld } from '../host/world.ts'
import { createCommand, quoteFolder } from './command.ts'
import { makeScratch, refreshed, searchPath } from './fixture.ts'

test('git is started with a whole, scrubbed environment', async () => {
  const real = realWorld()
  const seen: Record<string, string>[] = []
  const world = {
    ...real,
    spawn: (spec: Parameters<typeof real.spawn>[0]) => (seen.push({ ...spec.env }), real.spawn(spec)),
  }
  const command = createCommand(world, { path: searchPath })
  const borrow = ['/a:b', '/plain']
  await command.answer({ args: ['version'], borrow, env: { GIT_INDEX_FILE: '/x' } })
  assert.deepEqual(seen, [
    {
      PATH: searchPath,
      HOME: '/nonexistent',
      XDG_CONFIG_HOME: '/nonexistent',
      LC_ALL: 'C',
      TZ: 'UTC',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_ATTR_NOSYSTEM: '1',
      GIT_NO_REPLACE_OBJECTS: '1',
      GIT_GRAFT_FILE: '/nonexistent/grafts',
      GIT_NO_LAZY_FETCH: '1',
      GIT_OPTIONAL_LOCKS: '0',
      GIT_LITERAL_PATHSPECS: '1',
      GIT_TERMINAL_PROMPT: '0',
      GIT_ALLOW_PROTOCOL: 'file',
      GIT_AUTHOR_NAME: 'tri-agent',
      GIT_AUTHOR_EMAIL: 'tri-agent@localhost',
      GIT_COMMITTER_NAME: 'tri-agent',
      GIT_COMMITTER_EMAIL: 'tri-agent@localhost',
      GIT_ALTERNATE_OBJECT_DIRECTORIES: '"/a:b":/plain',
      GIT_INDEX_FILE: '/x',
    },
  ])
})

test('a failure is a fault that says what git said', async () => {
  const command = createCommand(realWorld(), { path: searchPath })
  await assert.rejects(
    command.answer({ gitDir: join(tmpdir(), 'no such store'), args: ['rev-parse', 'HEAD'] }),
    (error) =>
      isFault(error, 'git-failed') && /rev-parse ended with 128: fatal: not a git repository/.test(error.message),
  )
  await assert.rejects(createCommand(realWorld(), { path: '/nonexistent' }).answer({ args: ['version'] }), (error) =>
    isFault(error, 'git-missing'),
  )
  await assert.rejects(command.answer({ args: ['version'], maxBytes: 3 }), (error) => isFault(error, 'git-too-large'))
})

test('a command that never ends is killed and named', async () => {
  const command = createCommand(realWorld(), { path: searchPath, timeoutMs: 50 })
  await assert.rejects(
    command.answer({ args: ['-c', 'alias.hang=!sleep 600', 'hang'] }),
    (error) => error instanceof Fault && error.code === 'git-timeout',
  )
})

test('a pipe tells the first cause: the source’s when it broke, the sink’s when that gave up', async () => {
  await using scratch = await makeScratch()
  const command = createCommand(realWorld(), { path: searchPath })
  const gitDir = join(scratch.stores.source, '.git')
  const noise = { args: ['-c', 'alias.noise=!yes', 'noise'] }
  const quiet = { gitDir, args: ['pack-objects', '--revs', '--stdout'], stdin: 'nowhere\n' }
  const sink = { gitDir, args: ['index-pack', '--stdin'] }
  await assert.rejects(command.pipe(quiet, sink), /pack-objects ended with 128: fatal: bad revision 'nowhere'/)
  await assert.rejects(command.pipe(noise, sink), /index-pack ended with 128: fatal: pack signature mismatch/)
})

test('paths with separators, quotes and newlines work for every folder we use', async () => {
  assert.equal(quoteFolder('/plain path'), '/plain path')
  assert.equal(quoteFolder('/a:b"c\\d\ne'), '"/a:b\\"c\\\\d\\ne"')
  await using scratch = await makeScratch()
  const odd = join(scratch.root, ' odd: "quoted"\nname')
  await mkdir(odd)
  scratch.stores.mirror = join(odd, 'mirror')
  scratch.stores.quarantine = join(odd, 'quarantine')
  const { base } = await refreshed(scratch)
  const bundle = await scratch.attempt(base, (dir) => scratch.commit(dir, { 'a.txt': 'a\n' }))
  const candidate = await scratch.git.intake(scratch.stores, bundle, base, 'attempt_1')
  assert.ok('changes' in candidate)
  await scratch.git.checkout(scratch.stores, candidate.tree, join(odd, 'files'))
})
