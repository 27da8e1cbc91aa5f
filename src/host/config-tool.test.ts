/** `providerTools:` of the operator's file: defaults, origins, what is said of it, what is refused. */
import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { isRefusal, type Refusal } from '../core/refusal.ts'
import { type LoadedConfig, loadConfig, parseRepositoryConfig } from './config.ts'

async function load(context: TestContext, text: string): Promise<LoadedConfig | Refusal> {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-config-'))
  context.after(() => rm(folder, { recursive: true }))
  const file = join(folder, 'config.yaml')
  await writeFile(file, text)
  await chmod(file, 0o600)
  const loaded = await loadConfig({ file, env: {}, cores: 8 })
  return JSON.parse(JSON.stringify(loaded).replaceAll(file, 'FILE')) as LoadedConfig | Refusal
}

test('what lets a provider act by itself is said with its line and with the promise it takes', async (context) => {
  const head = `families: { anthropic: { models: claude-a } }\nproviderTools:\n`
  const loaded = await load(context, `${head}  anthropic: { web_search: { uses: 5 }, file_ids: true }\n`)
  assert.ok(!isRefusal(loaded))
  const { origins, notes } = loaded
  assert.deepEqual(
    origins.filter(({ key }) => key.startsWith('providerTools')),
    [
      {
        key: 'providerTools.anthropic.web_search',
        value: '5 uses a request, at its list price, 32000 tokens each',
        origin: 'file FILE:3',
      },
      { key: 'providerTools.anthropic.file_ids', value: 'let through', origin: 'file FILE:3' },
    ],
  )
  assert.deepEqual(notes, [
    "providerTools lets anthropic use web_search, file_ids: its provider reaches the network in an agent's name, so what an agent knows can leave the sandbox that way",
  ])
  const wrong = async (said: string) => {
    const refused = await load(context, head + said)
    assert.ok(isRefusal(refused))
    return refused.why
  }
  assert.match(
    await wrong('  antropic: { web_search: true }\n'),
    /FILE:3: providerTools\.antropic: is no configured family; did you mean "anthropic"\?/,
  )
  assert.match(
    await wrong('  anthropic: { websearch: true }\n'),
    /FILE:3: providerTools\.anthropic\.websearch: unknown key; did you mean "web_search"\?/,
  )
  assert.match(await wrong('  anthropic: { file_ids: false }\n'), /must be true, or left out|is not known/)
  const own = await parseRepositoryConfig('providerTools: { anthropic: { web_search: true } }\n')
  assert.ok(isRefusal(own))
  assert.match(own.why, /belongs in the operator's config file; a repository may not say it/)
})
