/** Parsers against output that nobody meant well: whatever is printed, nothing is thrown, and nothing passes that did not say so. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { outcomes } from '../core/outcome.ts'
import type { AgentSpec } from './agent.ts'
import { adapterNamed } from './registry.ts'

const spec: AgentSpec = {
  attempt: 'attempt_1',
  role: 'implementer',
  prompt: '',
  family: 'openai',
  model: 'a-model',
  work: '/work',
  home: '/home/agent',
  tmp: '/tmp',
  gatewayUrl: '',
  key: '',
  session: '',
  access: 'edit',
  contained: true,
  schema: {},
}

/** Words that the protocols give a meaning to, so that chance gets past the first switch. */
const types =
  `system assistant user result thread.started turn.completed turn.failed item.started item.completed error init message tool_use
  tool_result step_start step_finish text started tool_start tool_end usage retry final init api_retry success stop agent_message
  command_execution file_change __proto__ constructor toString`.split(/\s+/)
const names =
  `type subtype message content item id usage error part state tokens cache stats result is_error status name tool tool_name changes
  errors data reason session_id sessionID text ok role input parameters severity __proto__`.split(/\s+/)
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.oneof(fc.constantFrom(...types), fc.string(), fc.integer(), fc.double(), fc.boolean(), fc.constant(null)),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...names), tie('value'), { maxKeys: 5 }),
  ),
}))
const line = fc.oneof(
  value.map((each) => JSON.stringify(each) ?? ''),
  fc
    .tuple(fc.constantFrom(...types), fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 5 }))
    .map(([type, rest]) => JSON.stringify({ ...rest, type })),
  fc.string({ unit: 'binary' }),
)
const said = fc.array(fc.record({ stream: fc.constantFrom('stdout' as const, 'stderr' as const), line }), {
  maxLength: 12,
})
const exit = fc.record({
  code: fc.constantFrom(null, 0, 1, 42, 143, 145, 173, 255),
  signal: fc.constantFrom(null, 'SIGTERM', 'SIGKILL'),
})

for (const name of ['claude', 'codex', 'gemini', 'opencode', 'scripted'] as const) {
  test(`${name}: whatever it prints, its parser throws nothing and passes nothing that did not say so`, () => {
    fc.assert(
      fc.property(said, exit, (lines, left) => {
        const parser = adapterNamed(name).parser(spec)
        const events = lines.flatMap(({ stream, line: each }) => parser.push(stream, each))
        const { outcome, reason, text, session, tokens } = parser.end(left)
        assert.ok(outcomes.includes(outcome), outcome)
        assert.ok(reason.length <= 301 && !reason.includes('\n'), reason)
        assert.equal(typeof text, 'string')
        assert.ok(session === null || typeof session === 'string')
        assert.ok(
          Object.values(tokens).every((count) => Number.isFinite(count) && count >= 0),
          JSON.stringify(tokens),
        )
        if (outcome === 'passed') {
          assert.equal(left.code, 0)
          assert.ok(events.some((event) => event.type === 'final' && event.ok))
        }
      }),
      { numRuns: 400 },
    )
  })

  test(`${name}: a line nested too deep to read is no more than unknown`, () => {
    const parser = adapterNamed(name).parser(spec)
    const deep = '['.repeat(200_000)
    assert.deepEqual(parser.push('stdout', deep), [{ type: 'unknown', raw: deep }])
  })

  test(`${name}: ended by us is ended by us, whatever it printed`, () => {
    fc.assert(
      fc.property(said, exit, fc.constantFrom(...outcomes), (lines, left, stopped) => {
        const parser = adapterNamed(name).parser(spec)
        for (const { stream, line: each } of lines) parser.push(stream, each)
        assert.equal(parser.end({ ...left, stopped }).outcome, stopped)
      }),
      { numRuns: 100 },
    )
  })
}

test('counts that no meter could show are read as zero', () => {
  const wrong = ['-5', '1e999', '"many"', 'null'] // as they stand on the wire
  const lines: Record<'claude' | 'codex' | 'gemini' | 'opencode', (n: string) => object> = {
    claude: (n) => ({ type: 'result', usage: { input_tokens: n, output_tokens: n, cache_read_input_tokens: n } }),
    codex: (n) => ({ type: 'turn.completed', usage: { input_tokens: n, output_tokens: n, cached_input_tokens: n } }),
    gemini: (n) => ({ type: 'result', stats: { input_tokens: n, output_tokens: n, total_tokens: n, cached: n } }),
    opencode: (n) => ({ type: 'step_finish', part: { tokens: { input: n, output: n, cache: { read: n, write: n } } } }),
  }
  for (const [name, lineOf] of Object.entries(lines))
    for (const each of wrong) {
      const parser = adapterNamed(name).parser(spec)
      parser.push('stdout', JSON.stringify(lineOf('?')).replaceAll('"?"', each))
      const { tokens } = parser.end({ code: 0, signal: null })
      assert.deepEqual(tokens, { input: 0, cachedInput: 0, cacheWrite: 0, output: 0 }, `${name} ${each}`)
    }
})
