/** The examples of docs/upstreams.md are settings, and a gateway set up as they say asks in the way their upstreams want. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isRefusal } from '../src/core/refusal.ts'
import { upstreamOf } from '../src/daemon/agents.ts'
import { otherFamilies, pricesFor } from '../src/daemon/prices.ts'
import { answering, books, realKey, setStage, tell } from '../src/gateway/rehearsal.ts'
import { loadConfig } from '../src/host/config.ts'
import { root } from './harvest.ts'

const page = readFileSync(join(root, 'docs/upstreams.md'), 'utf8')
const examples = [...page.matchAll(/```yaml\n(.*?)```/gs)].map(([, yaml]) => yaml!)

async function settingsOf(yaml: string) {
  const folder = mkdtempSync(join(tmpdir(), 'upstreams-'))
  try {
    const file = join(folder, 'config.yaml')
    writeFileSync(file, yaml, { mode: 0o600 })
    return await loadConfig({ file, env: {}, cores: 2 })
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const used = { input: 1000, cached: 0, written: 0, output: 100, reasoning: 0 }

/** Asks for the example's model as its client would; answers what arrived at the upstream, and what it cost. */
async function asked(yaml: string) {
  const loaded = await settingsOf(yaml)
  assert.ok(!isRefusal(loaded), JSON.stringify(loaded))
  const [[family, settings]] = Object.entries(loaded.settings.families) as [
    [string, (typeof loaded.settings.families)[string]],
  ]
  const dialect = settings.agent === 'codex' ? 'openai-responses' : 'openai-chat'
  await using stage = await setStage(answering(dialect, used), {
    over: (url) => ({
      prices: pricesFor(loaded.settings),
      families: otherFamilies(loaded.settings),
      upstreams: [upstreamOf(family, { ...settings, baseUrl: url + new URL(settings.baseUrl).pathname }, realKey)],
    }),
  })
  const model = settings.models.implementer
  const { key, socket } = await stage.enter(dialect, { family, models: [model] })
  const said = { model, stream: true, input: 'hello', messages: [{ role: 'user', content: 'hello' }] }
  const { input, messages, ...shared } = said
  const heard = await tell(
    { socket },
    {
      path: dialect === 'openai-chat' ? '/v1/chat/completions?api-version=mine' : '/v1/responses?api-version=mine',
      headers: { authorization: `Bearer ${key}`, 'api-key': 'mine', 'content-type': 'application/json' },
      body: JSON.stringify(dialect === 'openai-chat' ? { ...shared, messages } : { ...shared, input }),
    },
  )
  assert.equal(heard.status, 200, heard.body.toString())
  await stage.settled(1)
  const { url, headers } = stage.provider.arrived[0]!
  const [charge] = (await books(stage)).charges
  return { family, url, authorization: headers.authorization, apiKey: headers['api-key'], charge }
}

test('Azure is asked with its key in its own header and its version in the query', async () => {
  const { charge, ...arrived } = await asked(examples[0]!)
  assert.deepEqual(arrived, {
    family: 'openai',
    url: '/openai/v1/responses?api-version=preview',
    authorization: undefined,
    apiKey: realKey,
  })
  assert.ok(charge!.nanoUsd > 0)
})

test('a reseller is asked by chat completions, for a model that is its maker’s, at the price that was written', async () => {
  assert.deepEqual(await asked(examples[1]!), {
    family: 'qwen',
    url: '/api/v1/chat/completions',
    authorization: `Bearer ${realKey}`,
    apiKey: undefined,
    charge: { how: 'exact', nanoUsd: 1000 * 300 + 100 * 1200 },
  })
})

test('a server of one’s own is a family too, and may cost nothing', async () => {
  const { family, url, charge } = await asked(examples[2]!)
  assert.deepEqual([family, url, charge], ['mistral', '/v1/chat/completions', { how: 'exact', nanoUsd: 0 }])
  assert.equal(examples.length, 3)
})

test('a key crosses no network in the clear but a private one, named by address, that was allowed', async () => {
  const local = examples[2]!
  const at = async (url: string, allowed: boolean) => {
    const said = local.replace('http://10.0.0.7:11434/v1', url)
    const loaded = await settingsOf(allowed ? said : said.replace('privateNetwork: true', 'privateNetwork: false'))
    return isRefusal(loaded) ? loaded.refused : 'taken'
  }
  const inside = ['http://10.0.0.7/v1', 'http://192.168.1.2:8000/v1', 'http://172.31.0.1', 'http://[fd00::7]:8000/v1']
  const outside = [
    'http://172.32.0.1',
    'http://11.0.0.1',
    'http://169.254.169.254',
    'http://gpu.internal',
    'http://10.example.com',
    'http://[2001:db8::1]',
  ]
  for (const url of inside)
    assert.deepEqual([await at(url, true), await at(url, false)], ['taken', 'config-invalid'], url)
  for (const url of outside) assert.equal(await at(url, true), 'config-invalid', url)
})
