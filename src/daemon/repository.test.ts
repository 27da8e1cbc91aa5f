/** What it takes to know a repository: it is done at each start, for each of them, and asked again at each attempt. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isRefusal } from '../core/refusal.ts'
import { defaultSettings } from '../core/setting.ts'
import { makeScratch, searchPath } from '../git/fixture.ts'
import { createGit } from '../git/subprocess.ts'
import { realWorld } from '../host/world.ts'
import { repositoryReader } from './repository.ts'

test('a repository is known in few commands, and what stands still in two', async () => {
  await using scratch = await makeScratch()
  await scratch.commit(scratch.stores.source, {
    'tri-agent.yaml': 'gates: [{ name: test, command: sh test.sh }]\n',
    '.tool-versions': 'nothing 1\n',
  })
  const commands: string[] = []
  const machine = realWorld()
  const world: typeof machine = {
    ...machine,
    spawn: (spec) => {
      const words = spec.args.filter((word, at) => !word.startsWith('-') && !['-c', '-C'].includes(spec.args[at - 1]!))
      commands.push(`${spec.file} ${words[0]}`)
      return machine.spawn(spec)
    },
  }
  const row = { id: 'repo_1', path: scratch.stores.source, name: 'shop', base: 'main', trusted: null, registered_at: 0 }
  /** As a program that has just started reads it. */
  const reader = () => {
    const git = createGit(world, { path: searchPath })
    return repositoryReader({ world, git, settings: defaultSettings(2), repos: scratch.root, env: {} })
  }
  const took = async (read: ReturnType<typeof reader>) => {
    commands.length = 0
    const context = await read(row)
    assert.ok(!isRefusal(context))
    assert.deepEqual(
      context.settings.gates.map(({ command }) => command),
      ['sh test.sh'],
    )
    return [...commands]
  }
  await took(reader()) // makes the stores
  const started = reader()
  const look = ['git rev-parse', 'git for-each-ref']
  assert.deepEqual(await took(started), [...look, 'git for-each-ref', 'git ls-tree', 'git cat-file'])
  assert.deepEqual(await took(started), look)
})
