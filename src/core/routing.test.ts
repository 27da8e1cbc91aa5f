/** Routing: the ancestor's table as data, the first rule that fits wins, and every answer says why. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { threeFamilies } from './fixture.ts'
import { leastConfidence, route, startingRules, type RoutedTask, type Rule } from './routing.ts'
import { kinds } from './task.ts'

const long = 'please, and take your time, because this matters to us'
const task = (more: Partial<RoutedTask> = {}): RoutedTask => ({
  kind: 'feature',
  size: 'small',
  title: 'Sell tea',
  text: long,
  tags: [],
  plan: null,
  ...more,
})
const files = (count: number) => ({ files: Array.from({ length: count }, (_, n) => `${n}.ts`) })
const routed = (more: Partial<RoutedTask> = {}, role: 'implementer' | 'architect' = 'implementer') => {
  const { family, confidence } = route(task(more), role, threeFamilies)
  return [family, confidence]
}

test("the ancestor's table: signal, family, confidence", () => {
  const table: [string, unknown[], unknown[]][] = [
    ['more than 51,200 bytes', routed({ text: 'x'.repeat(51_200) }), ['google', 0.95]],
    ['51,200 bytes and no more', routed({ title: 'x'.repeat(200), text: 'x'.repeat(50_999) }), ['openai', 0.85]],
    ['bytes, not characters', routed({ text: '茶'.repeat(17_100) }), ['google', 0.95]],
    ['more than 10 files', routed({ plan: files(11) }), ['google', 0.9]],
    ['10 files and no more', routed({ plan: files(10) }), ['openai', 0.85]],
    ['whole codebase', routed({ text: `read the WHOLE codebase, ${long}` }), ['google', 0.9]],
    ['multimodal', routed({ text: `as in the screenshot, ${long}` }), ['google', 0.92]],
    ['analyse all', routed({ text: `analyse all of it, ${long}` }), ['google', 0.85]],
    ['implement, build, create', routed(), ['openai', 0.85]],
    ['fix, debug', routed({ kind: 'fix' }), ['openai', 0.8]],
    ['test generation', routed({ kind: 'test' }), ['openai', 0.8]],
    ['refactor', routed({ kind: 'refactor' }), ['openai', 0.78]],
    ['architecture', routed({}, 'architect'), ['anthropic', 0.9]],
    ['security', routed({ kind: 'security' }), ['anthropic', 0.92]],
    ['ultrathink', routed({ title: 'ultrathink' }), ['anthropic', 0.98]],
    ['nothing', routed({ kind: 'review' }), ['anthropic', 0.6]],
    ['fewer than 50 characters', routed({ kind: 'fix', title: 'Mend it', text: '' }), ['openai', 0.65]],
  ]
  for (const [signal, found, expected] of table) assert.deepEqual(found, expected, signal)
})

test('rules are read from the top: the first that fits wins, however sure a later one is', () => {
  const rule = (name: string, more: Partial<Rule> = {}): Rule => ({
    name,
    when: {},
    families: ['google'],
    confidence: 0.7,
    ...more,
  })
  const rules = [
    rule('never', { when: { kinds: ['docs'] } }),
    rule('first'),
    rule('second', { families: ['openai'], confidence: 1 }),
  ]
  const { rule: won, family, considered } = route(task(), 'implementer', threeFamilies, rules)
  assert.deepEqual([won, family], ['first', 'google'])
  assert.deepEqual(
    considered.map((each) => [each.rule, each.fits]),
    [
      ['never', false],
      ['first', true],
      ['second', true],
    ],
  )
})

test('the families of a rule are tried in order, then any other that is usable; the answer says what it would have liked', () => {
  const why = (usable: readonly string[]) => {
    const { family, why: said } = route(task(), 'implementer', usable)
    return [family, said]
  }
  assert.deepEqual(
    [why(threeFamilies), why(['google', 'anthropic']), why(['mistral']), why([])],
    [
      ['openai', 'rule kind-feature'],
      ['anthropic', 'rule kind-feature prefers openai, not usable now'],
      ['mistral', 'rule kind-feature prefers openai, not usable now'],
      [null, 'rule kind-feature wants openai, then anthropic, then google; none is usable'],
    ],
  )
})

test('a tag wins over every rule, and is never replaced by a family that was not asked for', () => {
  const tagged = { text: 'x'.repeat(60_000), tags: ['web', 'family:anthropic'] }
  const asked = (usable: readonly string[]) => {
    const { family, rule, confidence, why } = route(task(tagged), 'implementer', usable)
    return { family, rule, confidence, why }
  }
  assert.deepEqual(asked(threeFamilies), {
    family: 'anthropic',
    rule: 'tag',
    confidence: 1,
    why: "the task's tag asks for anthropic",
  })
  assert.deepEqual(asked(['openai', 'google']), {
    family: null,
    rule: 'tag',
    confidence: 1,
    why: "the task's tag asks for anthropic, which is not usable",
  })
})

test('whatever the task, a route is explained, and names a family exactly when one is usable', () => {
  const word = fc.constantFrom('ultrathink', 'pdf', 'entire codebase', 'tea', long)
  fc.assert(
    fc.property(
      fc.record({ kind: fc.constantFrom(...kinds), title: word, text: word, plan: fc.constantFrom(null, files(11)) }),
      fc.constantFrom('architect' as const, 'implementer' as const),
      fc.uniqueArray(fc.constantFrom(...threeFamilies, 'mistral')),
      (more, role, usable) => {
        const found = route(task(more), role, usable)
        assert.equal(found.family !== null, usable.length > 0)
        if (found.family !== null) assert.ok(usable.includes(found.family))
        assert.equal(found.rule, found.considered.find(({ fits }) => fits)!.rule)
        assert.ok(found.confidence > 0 && found.confidence <= 1 && found.why.includes(found.rule))
      },
    ),
    { seed: 2026 },
  )
})

test('the last rule fits everything and is not sure enough: a person should say which family', () => {
  const last = startingRules.at(-1)!
  assert.deepEqual([last.when, last.confidence < leastConfidence], [{}, true])
  assert.equal(new Set(startingRules.map(({ name }) => name)).size, startingRules.length)
})
