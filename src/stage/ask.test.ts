/** What an agent says at its end, as it is taken: without what is secret, whoever hears of it. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import type { AgentAdapter, AgentEnd } from '../agent/agent.ts'
import { defaultRepositorySettings, defaultSettings } from '../core/setting.ts'
import { mark } from '../host/scrub.ts'
import { realWorld } from '../host/world.ts'
import { askAgent } from './ask.ts'
import { without, type StagePorts, type Work } from './stage.ts'

const key = 'vk-att_1-0123456789abcdef'

/** An agent that ends like this is asked; what its end is taken for, and what is recorded where it did not pass. */
async function asked(end: Partial<AgentEnd>) {
  const folder = mkdtempSync(join(tmpdir(), 'ask-'))
  const tokens = { input: 1, cachedInput: 0, cacheWrite: 0, output: 1 }
  const whole: AgentEnd = { outcome: 'passed', reason: 'done', text: '', session: 's', tokens, ...end }
  const adapter = {
    plan: () => ({ argv: ['x'], env: {}, files: [], stdin: null }),
    parser: () => ({ push: () => [], end: () => whole }),
    sessions: [],
  } as unknown as AgentAdapter
  const contained = {
    pid: 1,
    stdout: Readable.from([]),
    stderr: Readable.from([]),
    exit: Promise.resolve({ code: 0, signal: null }),
    stop: () => {},
    kill: async () => ({ method: 'test', survivors: 0, ms: 0 }),
  }
  const ports = {
    world: realWorld(),
    settings: defaultSettings(2),
    agent: () => ({ adapter, folder: '/agent', argv: ['/agent/x'] }),
    git: { checkout: async () => {}, outside: async () => ({ modules: [], large: [] }), objectFolders: () => [] },
    sandbox: {
      contained: true,
      view: () => ({ work: '/work', home: '/home/agent', out: '/out', tmp: '/tmp', gatewayUrl: '', node: '/node' }),
      start: async (_box: unknown, born: (outermost: object) => Promise<void>) => {
        await born({ pid: 1, startTime: 1 })
        return contained
      },
    },
  } as unknown as StagePorts
  const work = {
    attempt: { attempt: 'att_1', step: 'plan', family: 'anthropic', model: 'claude-opus-5-5' },
    repo: { stores: {} },
    repository: defaultRepositorySettings(),
    toolchain: [],
    folder,
    secrets: [key],
    signal: new AbortController().signal,
    gateway: { socket: '/s', url: '', key },
    onAgentEvent: () => {},
    onOutput: () => {},
    active: () => {},
    isDrained: () => false,
    isOverBudget: () => false,
    kept: null,
    started: async () => {},
    ended: async () => {},
  } as unknown as Work
  const heard: AgentEnd[] = []
  const question = { role: 'architect', prompt: { text: 'plan', sha256: 'p' }, tree: { read: 'c' } } as const
  try {
    const result = await askAgent(ports, work, question, async (taken) => {
      heard.push(taken.end)
      return without('failed', 'heard')
    })
    return { heard: heard[0], result }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('the last words of an agent, and what it answers in a schema, are taken without the key it holds, in any encoding', async () => {
  const base64 = Buffer.from(`k=${key}`).toString('base64')
  const { heard } = await asked({ text: `I used ${key}, ${base64}`, structured: { approach: [{ note: key }] } })
  assert.ok(!JSON.stringify(heard).includes(key))
  assert.ok(!heard!.text.includes(base64.slice(4, -4)), heard!.text)
  assert.match(heard!.text, new RegExp(`I used \\${mark}`))
  assert.deepEqual(heard!.structured, { approach: [{ note: mark }] })
})

test('why an agent failed is recorded without the key it holds', async () => {
  const { heard, result } = await asked({ outcome: 'failed', reason: `401: no such key ${key}` })
  assert.deepEqual([heard, result.outcome, result.reason], [undefined, 'failed', `401: no such key ${mark}`])
})
