/** Mutants are executed by `npm run mutants`; here only that none of them has lost its place in the code. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { bugs } from './chaos/bug.ts'
import { mutants, mutate } from './mutants/mutant.ts'

const root = join(import.meta.dirname, '..')

test('each mutant changes one place of the program as it is, and names a test file that is there', () => {
  const wrong = mutants.flatMap((mutant) => {
    const mutated = mutate(root, mutant)
    const why = 'wrong' in mutated ? mutated.wrong : existsSync(join(root, mutant.test)) ? null : `no ${mutant.test}`
    return why === null ? [] : [`${mutant.name}: ${why}`]
  })
  assert.deepEqual(wrong, [])
})

test('each hand-made bug of chaos changes text of the program as it is', () => {
  const lost = Object.entries(bugs).flatMap(([name, { edits }]) =>
    edits.filter(({ file, find }) => !readFileSync(join(root, file), 'utf8').includes(find)).map(() => name),
  )
  assert.deepEqual(lost, [])
})

test('there are thirty and more, each with a name of its own', () => {
  assert.ok(mutants.length >= 30)
  assert.equal(new Set(mutants.map(({ name }) => name)).size, mutants.length)
})
