import assert from 'node:assert/strict'
import { test } from 'node:test'
import { endOfKey, examineKey, looksLikeKey } from './key-shape.ts'

const keys = {
  anthropic: 'sk-ant-api03-abcdefghijklmnop',
  openai: 'sk-proj-abcdefghijklmnopqrst',
  google: 'AIzaSyAbcdefghijklmnopqrstuv',
  openrouter: 'sk-or-v1-abcdefghijklmnopqrst',
}

test("each vendor's own key is taken, and every other's is refused with its name", () => {
  for (const name of Object.keys(keys))
    for (const [vendor, key] of Object.entries(keys)) {
      const wrong = examineKey(name, key)
      assert.equal(wrong?.refused, name === vendor ? undefined : 'key-of-other', `${vendor}'s for ${name}`)
      if (wrong) assert.match(wrong.why, new RegExp(`a key of ${vendor}, not of ${name}`))
    }
})

test("another family takes a key of no known shape and one that begins like OpenAI's, but not a vendor's own", () => {
  const answers = ['0123456789abcdef', keys.openai, keys.anthropic, keys.google].map((key) =>
    examineKey('mistral', key),
  )
  assert.deepEqual(
    answers.map((answer) => answer?.refused),
    [undefined, undefined, 'key-of-other', 'key-of-other'],
  )
})

test('what cannot be a key is refused for every name, and no refusal repeats it', () => {
  const unfit = {
    '': 'key-unfit',
    'sk-ant-...': 'key-unfit',
    'two words': 'key-unfit',
    'sk-änt-abcdefgh': 'key-unfit',
    'sk-1': 'key-unfit',
    'sk-ant-oat01-abcdefghijkl': 'key-login',
  }
  for (const [key, refused] of Object.entries(unfit)) {
    const wrong = examineKey('anthropic', key)
    assert.equal(wrong?.refused, refused)
    if (key !== '') assert.ok(!JSON.stringify(wrong).includes(key))
  }
})

test('a person sees the last four letters of a long key and nothing of a short one', () => {
  assert.deepEqual([endOfKey(keys.openai), endOfKey('sk-0123456789abcdef')], ['…qrst', '…'])
  assert.deepEqual(Object.values(keys).map(looksLikeKey), [true, true, true, true])
  assert.equal(looksLikeKey('anthropic'), false)
})
