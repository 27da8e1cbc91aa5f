/** The vendors' parsers on recorded output of the real programs: what was printed, how it exited, and what may be believed of it. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { AgentAdapter, AgentEnd, AgentEvent, AgentSpec } from './agent.ts'
import { claude } from './claude.ts'
import { codex } from './codex.ts'
import { gemini } from './gemini.ts'
import { opencode } from './opencode.ts'

const recordings = join(import.meta.dirname, '../../test/fixtures/clients')

const spec: AgentSpec = {
  attempt: 'attempt_1',
  role: 'implementer',
  prompt: 'do it',
  family: 'openai',
  model: 'a-model',
  work: '/work',
  home: '/home/agent',
  tmp: '/tmp',
  gatewayUrl: 'http://127.0.0.1:8701',
  key: 'a-key',
  session: '11111111-1111-4111-8111-111111111111',
  access: 'edit',
  contained: true,
}

const adapters: readonly AgentAdapter[] = [claude, codex, gemini, opencode]

const recordingsOf = (client: string): string[] => readdirSync(join(recordings, client)).toSorted()

const fileOf = (client: string, name: string, file: string): string => {
  const path = join(recordings, client, name, file)
  return existsSync(path) ? readFileSync(path, 'utf8') : ''
}

const linesOf = (text: string): string[] => (text === '' ? [] : text.replace(/\n$/, '').split('\n'))

function replay(adapter: AgentAdapter, name: string): { events: AgentEvent[]; end: AgentEnd } {
  const parser = adapter.parser(/schema/.test(name) ? { ...spec, schema: {} } : spec)
  const events = (['stdout', 'stderr'] as const).flatMap((stream) =>
    linesOf(fileOf(adapter.name, name, stream === 'stdout' ? 'stdout.jsonl' : 'stderr.txt')).flatMap((line) =>
      parser.push(stream, line),
    ),
  )
  return { events, end: parser.end(JSON.parse(fileOf(adapter.name, name, 'exit.json'))) }
}

test('there are recordings of every client', () => {
  const counts = adapters.map(({ name }) => [name, recordingsOf(name).length])
  assert.deepEqual(counts, [
    ['claude', 24],
    ['codex', 21],
    ['gemini', 18],
    ['opencode', 11],
  ])
})

for (const adapter of adapters) {
  for (const name of recordingsOf(adapter.name)) {
    const expected = JSON.parse(fileOf(adapter.name, name, 'end.json')) as AgentEnd
    test(`${adapter.name}: ${name} ends as ${expected.outcome}`, () => {
      assert.deepEqual(replay(adapter, name).end, expected)
    })
  }

  test(`${adapter.name}: every event of a recording is known`, () => {
    const unknown = recordingsOf(adapter.name)
      .filter((name) => name !== 'ok-json') // another output format than we ask for
      .flatMap((name) => replay(adapter, name).events.filter(({ type }) => type === 'unknown'))
    assert.deepEqual(unknown, [])
  })

  test(`${adapter.name}: what we did to it wins over what it says`, () => {
    const name = recordingsOf(adapter.name).find((each) => each.startsWith('ok'))!
    const parser = adapter.parser(spec)
    for (const line of linesOf(fileOf(adapter.name, name, 'stdout.jsonl'))) parser.push('stdout', line)
    const { outcome, reason } = parser.end({ code: 0, signal: null, stopped: 'stalled' })
    assert.deepEqual({ outcome, reason }, { outcome: 'stalled', reason: 'ended by us: stalled' })
  })

  test(`${adapter.name}: saying it is done is not enough where the exit code disagrees`, () => {
    const name = recordingsOf(adapter.name).find((each) => each.startsWith('ok'))!
    const parser = adapter.parser(spec)
    for (const line of linesOf(fileOf(adapter.name, name, 'stdout.jsonl'))) parser.push('stdout', line)
    const { outcome, reason } = parser.end({ code: 139, signal: null })
    assert.deepEqual({ outcome, reason }, { outcome: 'crashed', reason: 'said it is done, then: exit 139' })
  })

  test(`${adapter.name}: a recording that breaks off before its last word has not passed`, () => {
    const name = recordingsOf(adapter.name).find((each) => each.startsWith('ok'))!
    const parser = adapter.parser(spec)
    for (const line of linesOf(fileOf(adapter.name, name, 'stdout.jsonl')).slice(0, -1)) parser.push('stdout', line)
    assert.notEqual(parser.end({ code: 0, signal: null }).outcome, 'passed')
  })
}

test('gemini: success after an answer that broke off is no success', () => {
  const parser = gemini.parser(spec)
  parser.push('stdout', '{"type":"init","session_id":"s","model":"gemini-2.5-pro"}')
  parser.push('stdout', '{"type":"message","role":"assistant","content":"half an ans","delta":true}')
  parser.push('stdout', '{"type":"error","severity":"error","message":"The response was cut."}')
  parser.push('stdout', '{"type":"result","status":"success","stats":{"input_tokens":10,"total_tokens":12,"cached":4}}')
  assert.deepEqual(parser.end({ code: 0, signal: null }), {
    outcome: 'failed',
    reason: 'The response was cut.',
    text: 'half an ans',
    session: 's',
    tokens: { input: 6, cachedInput: 4, cacheWrite: 0, output: 2 },
  })
})

test('the words of our gateway are understood by every client', () => {
  const said: [AgentAdapter, (message: string) => string][] = [
    [claude, (result) => JSON.stringify({ type: 'result', subtype: 'success', is_error: true, result })],
    [codex, (message) => JSON.stringify({ type: 'turn.failed', error: { message } })],
    [gemini, (message) => JSON.stringify({ type: 'result', status: 'error', error: { message } })],
    [opencode, (message) => JSON.stringify({ type: 'error', error: { data: { message } } })],
  ]
  const outcomes = said.map(([adapter, line]) =>
    ['BUDGET_EXCEEDED: spent', 'UNREACHABLE: nobody there', 'DENIED: no such key', 'REFUSED: no such model'].map(
      (message) => {
        const parser = adapter.parser(spec)
        parser.push('stdout', line(message))
        return parser.end({ code: 1, signal: null }).outcome
      },
    ),
  )
  const expected = ['over-budget', 'unreachable', 'refused', 'refused']
  assert.deepEqual(outcomes, [expected, expected, expected, expected])
})

test('gemini: where its words name no status, the exit code does', () => {
  const endWith = (code: number) => {
    const parser = gemini.parser(spec)
    parser.push('stdout', '{"type":"result","status":"error","error":{"message":"[API Error: no]"}}')
    return parser.end({ code, signal: null }).outcome
  }
  assert.deepEqual([144, 145, 146, 173, 247, 1].map(endWith), [
    'refused', // 400
    'refused', // 401
    'over-budget', // 402
    'rate-limited', // 429
    'unreachable', // 503
    'failed',
  ])
})

test('opencode: a step after the last word takes it back', () => {
  const parser = opencode.parser(spec)
  for (const reason of ['stop', 'tool-calls'])
    parser.push('stdout', JSON.stringify({ type: 'step_finish', sessionID: 'ses_1', part: { reason } }))
  const { outcome, reason } = parser.end({ code: 0, signal: null })
  assert.deepEqual({ outcome, reason }, { outcome: 'failed', reason: 'stopped in the middle of its work (tool-calls)' })
})

test('opencode: an error stays one, whatever follows', () => {
  const parser = opencode.parser(spec)
  parser.push('stdout', '{"type":"error","sessionID":"ses_1","error":{"data":{"message":"no","statusCode":401}}}')
  parser.push('stdout', '{"type":"step_finish","sessionID":"ses_1","part":{"reason":"stop"}}')
  const { outcome, reason } = parser.end({ code: 0, signal: null })
  assert.deepEqual({ outcome, reason }, { outcome: 'refused', reason: 'no' })
})

test('opencode: killed by somebody in the middle of its work is a crash, not an answer', () => {
  const parser = opencode.parser(spec)
  parser.push('stdout', '{"type":"step_finish","sessionID":"ses_1","part":{"reason":"tool-calls"}}')
  assert.equal(parser.end({ code: null, signal: 'SIGKILL' }).outcome, 'crashed')
})
