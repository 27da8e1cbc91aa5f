/** What `up` says of prices: nothing while they are fresh, and then what would stop whom. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultSettings, type OperatorSettings } from '../core/setting.ts'
import { notesOnPrices } from './price-note.ts'

const dayMs = 86_400_000
const november = 1_795_780_000_000 // 27 November 2026

const settings = (more: Partial<OperatorSettings> = {}): OperatorSettings => {
  const family = (agent: 'claude' | 'codex', model: string) => ({
    agent,
    program: null,
    baseUrl: 'https://api.example.com',
    keyFrom: { env: 'KEY' },
    models: { architect: model, implementer: model, reviewer: model },
  })
  return {
    ...defaultSettings(2),
    families: { anthropic: family('claude', 'claude-opus-4-8'), openai: family('codex', 'gpt-6-sol') },
    ...more,
  }
}
const notesAt = (days: number, more: Partial<OperatorSettings> = {}) =>
  notesOnPrices({ clock: { now: () => november + days * dayMs } as never }, settings(more))

test('prices are spoken of two weeks before nothing is asked by them any more, each with the command that mends it', async () => {
  assert.deepEqual(await notesAt(0), [])
  assert.deepEqual(await notesAt(100), [])
  const soon = await notesAt(110)
  assert.deepEqual(
    soon.map((note) => /^the price of (\S+) .* prices confirm (\S+)$/.exec(note)?.slice(1)),
    [
      ['claude-opus-4-8', 'claude-opus-4-8'],
      ['gpt-6-sol', 'gpt-6-sol'],
    ],
  )
  const late = await notesAt(120)
  assert.deepEqual(
    late.map((note) => note.split(':')[0]),
    ['nothing is asked of claude-opus-4-8', 'nothing is asked of gpt-6-sol'],
  )
  const mended = await notesAt(120, { priceChecks: [{ model: 'gpt-6-sol', on: '2027-03-20' }] })
  assert.deepEqual(
    mended.map((note) => note.split(':')[0]),
    ['nothing is asked of claude-opus-4-8'],
  )
})
