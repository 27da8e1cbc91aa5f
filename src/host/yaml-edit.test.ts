import assert from 'node:assert/strict'
import test from 'node:test'
import { addMissing } from './yaml-edit.ts'

const addition = { path: ['families', 'google'], value: { models: 'm' } }

test('what is missing is added, what a person wrote stays: order, comments, spelling', () => {
  const text = '# mine\nmoney: { day: $5 } # little\nfamilies:\n  # first\n  openai: { models: x }\n'
  assert.equal(addMissing(text, [addition]), `${text}  google:\n    models: m\n`)
})

test('what is there is never replaced, whatever it says, and then the text is the same byte for byte', () => {
  for (const text of ['families:   {google:   other}\n', 'families: { google: null }', 'families: nonsense\n'])
    assert.equal(addMissing(text, [addition]), text)
})

test('an empty place grows lines, not one long one', () => {
  const grown = 'families:\n  google:\n    models: m\n'
  assert.deepEqual(
    ['families: {}\n', 'families:\n', '', '# nothing yet\n'].map((text) => addMissing(text, [addition])),
    [grown, grown, grown, `# nothing yet\n\n${grown}`],
  )
})
