/** What an agent was stuck in, told from the very lines each client prints. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AgentAdapter } from './agent.ts'
import { claude } from './claude.ts'
import { codex } from './codex.ts'
import { gemini } from './gemini.ts'
import { opencode } from './opencode.ts'
import { watchPlight } from './plight.ts'

const spec = {
  attempt: 'att_1',
  role: 'implementer',
  prompt: 'x',
  family: 'anthropic',
  model: 'x',
  work: '/work',
  home: '/home/agent',
  tmp: '/tmp',
  gatewayUrl: 'http://127.0.0.1:1',
  key: 'k',
  session: 's',
  access: 'edit',
  contained: true,
} as const

type Line = readonly ['stdout' | 'stderr', string]

const stuckAfter = (adapter: AgentAdapter, lines: readonly Line[], outcome: 'stalled' | 'timed-out' | 'killed') => {
  const plight = watchPlight()
  const parser = adapter.parser(spec)
  for (const line of lines) for (const event of parser.push(...line)) plight.onEvent(event)
  return plight.say(outcome)
}

const retrying: readonly (readonly [AgentAdapter, Line, RegExp])[] = [
  [
    claude,
    [
      'stdout',
      '{"type":"system","subtype":"api_retry","attempt":1,"max_retries":2,"retry_delay_ms":583,"error_status":529,"error":"overloaded","session_id":"s"}',
    ],
    /529 overloaded/,
  ],
  [
    codex,
    [
      'stdout',
      '{"type":"error","message":"Reconnecting... waiting for network (Connection failed: error sending request)"}',
    ],
    /waiting for network/,
  ],
  [
    gemini,
    ['stderr', 'Attempt 1 failed with status 429. Retrying with backoff... _ApiError: {"error":{"code":429}}'],
    /429/,
  ],
]
for (const [adapter, line, last] of retrying)
  test(`${adapter.name}: trying again without an end is named, with how often and the last reason`, () => {
    const said = stuckAfter(adapter, [line, line, line], 'stalled') ?? ''
    assert.match(said, /^it did nothing but try again \(3 times; last: /)
    assert.match(said, last)
    assert.equal(stuckAfter(adapter, [line], 'killed'), null, 'only where it was ended for not getting on')
  })

const asking: readonly (readonly [AgentAdapter, string])[] = [
  [
    claude,
    '{"type":"assistant","message":{"id":"m","content":[{"type":"tool_use","id":"t1","name":"Bash","input":{"command":"npm init"}}]},"session_id":"s"}',
  ],
  [
    codex,
    '{"type":"item.started","item":{"id":"item_0","type":"command_execution","command":"npm init","status":"in_progress"}}',
  ],
  [
    gemini,
    '{"type":"tool_use","timestamp":"t","tool_name":"run_shell_command","tool_id":"t1","parameters":{"command":"npm init"}}',
  ],
]
for (const [adapter, line] of asking)
  test(`${adapter.name}: a tool that never came back is named as what may ask where nobody answers`, () =>
    assert.match(
      stuckAfter(adapter, [['stdout', line]], 'timed-out') ?? '',
      /^a tool had not come back, which may ask something that nobody can answer: .*npm init/,
    ))

test('opencode: what it was denied is named', () =>
  assert.match(
    stuckAfter(
      opencode,
      [['stderr', '! permission requested: external_directory (/etc/*); auto-rejecting']],
      'stalled',
    ) ?? '',
    /^it was denied what it asked for last: external_directory/,
  ))

const full: readonly (readonly [AgentAdapter, Line])[] = [
  [
    claude,
    [
      'stdout',
      '{"type":"result","subtype":"success","is_error":true,"result":"API Error: 400 prompt is too long: 210000 tokens > 200000 maximum","session_id":"s"}',
    ],
  ],
  [
    codex,
    [
      'stdout',
      '{"type":"turn.failed","error":{"message":"Codex ran out of room in the model\'s context window. Start a new thread."}}',
    ],
  ],
  [
    gemini,
    [
      'stdout',
      '{"type":"result","status":"error","error":{"message":"[API Error: The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).]"}}',
    ],
  ],
  [
    opencode,
    [
      'stdout',
      '{"type":"error","sessionID":"ses_1","error":{"data":{"message":"This model\'s maximum context length is 128000 tokens","statusCode":400}}}',
    ],
  ],
]
for (const [adapter, line] of full)
  test(`${adapter.name}: a full context is named in the outcome`, () => {
    const parser = adapter.parser(spec)
    parser.push(...line)
    assert.match(parser.end({ code: 1, signal: null }).reason, /^its context is full: /)
  })
