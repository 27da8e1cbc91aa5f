import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { compareVersions, judgeVersion } from './version.ts'

const packages = {
  claude: '@anthropic-ai/claude-code',
  codex: '@openai/codex',
  gemini: '@google/gemini-cli',
  opencode: 'opencode-linux-x64',
} as const

test('the versions called tested are those the tests of the real clients install', () => {
  const file = join(import.meta.dirname, '../../test/clients/package.json')
  const named = JSON.parse(readFileSync(file, 'utf8')) as Record<string, Record<string, string>>
  const pinned = { ...named['dependencies'], ...named['optionalDependencies'] }
  for (const [agent, name] of Object.entries(packages) as [keyof typeof packages, string][])
    assert.deepEqual([agent, judgeVersion(agent, pinned[name]!).state], [agent, 'tested'])
})

test('older than the oldest is too old, anything else but the tested one is untested; numbers count, not letters', () => {
  const judged = ['2.1.9', '2.1.196', '2.1.197', '2.1.330', '2.1.331', '2.2.0', '3.0.0', '1.9.9'].map(
    (version) => judgeVersion('claude', version).state,
  )
  assert.deepEqual(judged, ['too-old', 'too-old', 'untested', 'tested', 'untested', 'untested', 'untested', 'too-old'])
  assert.equal(judgeVersion('scripted', '0.0.1').state, 'tested')
  assert.deepEqual([compareVersions('1.10.0', '1.9.0') > 0, compareVersions('1.2.3', '1.2.3')], [true, 0])
})
