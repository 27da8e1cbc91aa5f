import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { nearest, oneOf } from './nearest.ts'

const lanes = ['critical', 'normal', 'background'] as const

test('a slip of the finger finds the word that was meant, and a stranger finds none', () => {
  const asked = ['critcal', 'nromal', 'BACKGROUND', 'crit', 'back-ground', 'urgent', 'xyz', '']
  assert.deepEqual(
    asked.map((word) => nearest(word, lanes)),
    ['critical', 'normal', 'background', 'critical', 'background', null, null, null],
  )
})

test('letters that changed places count as one slip, so that a short word is found too', () => {
  assert.equal(nearest('ilst', ['show', 'list']), 'list')
})

test('a known word is itself; an unknown one is refused with the nearest and the whole list', () => {
  assert.equal(oneOf('lane', 'normal', lanes), 'normal')
  assert.deepEqual(oneOf('lane', 'norml', lanes), {
    refused: 'unknown-lane',
    why: 'lane "norml" is not known',
    hint: 'did you mean "normal"? one of: critical, normal, background',
  })
})

test('swapping, dropping or doubling one letter of a word of four or more never loses it', () => {
  const words = ['medium', 'retention', 'landing', 'families']
  fc.assert(
    fc.property(fc.constantFrom(...words), fc.nat(), fc.constantFrom('drop', 'double', 'swap'), (word, seed, slip) => {
      const at = seed % (word.length - 1)
      const [a, b] = [word[at]!, word[at + 1]!]
      const written =
        word.slice(0, at) + { drop: b, double: a + a + b, swap: b + a }[slip as 'drop'] + word.slice(at + 2)
      assert.equal(nearest(written, words), word)
    }),
  )
})
