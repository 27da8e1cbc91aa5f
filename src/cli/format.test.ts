import assert from 'node:assert/strict'
import test from 'node:test'
import { age, clean, clip, money, table, widthOf, wrap } from './format.ts'
import { lineDiff } from './line-diff.ts'

test('what could move a cursor, recolour or reorder a terminal is replaced; words, newlines and tabs stay', () => {
  assert.equal(
    clean('a\u001b[2J\u0007\u009b1m\u202eb\tc\nd\r\u007f'),
    'a\ufffd[2J\ufffd\ufffd1m\ufffdb\tc\nd\ufffd\ufffd',
  )
  assert.equal(clean('Grüße, 測試 🎉 e\u0301'), 'Grüße, 測試 🎉 e\u0301')
})

test('a clipped text never takes more columns than it has, wide characters counted as two', () => {
  assert.deepEqual([widthOf('測試'), widthOf('🎉'), widthOf('e\u0301')], [4, 2, 1])
  assert.deepEqual(
    [clip('tea', 3), clip('teas', 3), clip('測試', 4), clip('測試', 3), clip('測試', 2), clip('x', 0)],
    ['tea', 'te…', '測試', '測…', '…', ''],
  )
})

test('a table fits its columns by clipping the last one, and no cell breaks a line', () => {
  const text = table(
    ['id', 'title'],
    [
      ['a', '測試 a long title'],
      ['bcd', 'two\nlines'],
    ],
    16,
  )
  assert.equal(text, 'id   title\na    測試 a lon…\nbcd  two lines')
  assert.ok(text.split('\n').every((line) => widthOf(line) <= 16))
})

test('wrapped lines keep their indent and their words whole', () => {
  assert.equal(wrap('one two three four five six', 22, '  '), '  one two three four\n  five six')
  assert.equal(wrap('  $ a command\n\nb', 40, '> '), '>   $ a command\n\n> b')
})

test('money and ages are as long as they have to be', () => {
  assert.deepEqual([0, 4_200_000, 1e9, 75e9].map(money), ['$0.00', '$0.0042', '$1.00', '$75.00'])
  assert.deepEqual([-5, 59_999, 60_000, 3_600_000, 90_000_000].map(age), ['0s', '59s', '1m', '1h', '1d'])
})

test('a difference shows what changes and a little around it, and nothing where nothing changes', () => {
  assert.deepEqual(lineDiff('a\nb', 'a\nb'), [])
  assert.deepEqual(lineDiff('1\n2\n3\n4\n5\n6', '1\n2\n3\n4\nfive\n6', 1), [' 4', '-5', '+five', ' 6'])
  assert.deepEqual(lineDiff('', 'a'), ['-', '+a'])
})
