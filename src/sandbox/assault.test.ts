/** The audit must be able to fail: what is not held is called breached, and what never worked is called idle, never held. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { after, test } from 'node:test'
import { buildArena } from './arena.ts'
import { assault } from './assault.ts'
import { attacks, type Attack } from './attack.ts'
import { removeTree } from './area.ts'
import { makeFolder, path, standOn, world } from './fixture.ts'
import type { Sandbox } from './sandbox.ts'

const folder = await makeFolder()
after(() => removeTree(folder))
const rungs = { namespace: await standOn('namespace', folder), group: await standOn('group', folder) }
const few = attacks.filter(({ name }) =>
  [
    'a file of 0600 outside',
    'an absolute path',
    'the socket of the daemon',
    'killing a process of the host',
    'system calls without a filter',
  ].includes(name),
)

for (const [rung, state] of [
  ['namespace', 'held'],
  ['group', 'breached'],
] as const) {
  const sandbox = rungs[rung]
  test(
    `on the rung ${rung} attacks of each kind are ${state}, and the place they were aimed at is gone`,
    { skip: typeof sandbox === 'string' && sandbox },
    async () => {
      const ports = { world, sandbox: sandbox as Sandbox, path }
      const plant = await (async () => {
        await using arena = await buildArena(world, path)
        const verdicts = await assault({ ...ports, arena }, few)
        assert.equal(few.length, 5)
        assert.deepEqual(
          verdicts,
          few.map(({ name, group }) => ({ name, group, state })),
        )
        return arena.plant
      })()
      assert.equal(existsSync(plant), false)
    },
  )
}

test('an attack that does nothing is idle, not held; one that cannot be tried is absent', async () => {
  await using arena = await buildArena(world, path)
  const idle: Attack = { name: 'none', group: 'secret', script: ':', sign: { says: 'the secret' } }
  const absent: Attack = { ...idle, needs: ['root'] }
  const unable = { ...arena, has: () => false }
  const ports = { world, sandbox: rungs.group as Sandbox, path }
  assert.equal((await assault({ ...ports, arena }, [idle]))[0]?.state, 'idle')
  assert.equal((await assault({ ...ports, arena: unable }, [absent]))[0]?.state, 'absent')
})

test('no two attacks have one name, and there are at least 60 beside the system calls', () => {
  assert.ok(attacks.length >= 60, `${attacks.length}`)
  assert.equal(new Set(attacks.map(({ group, name }) => `${group} ${name}`)).size, attacks.length)
})
