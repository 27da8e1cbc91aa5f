import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Ask } from './dialect/dialect.ts'
import { chooseStep, freshMemory, readScenario } from './scenario.ts'
import type { Rule, Scenario } from './scenario.ts'

const tool = { name: 'shell', form: 'json', keys: [] } as const
const ask = (user: string, rest: Partial<Ask> = {}): Ask => ({
  model: 'm',
  stream: true,
  system: 'system words',
  user,
  lastUser: user,
  tools: [tool],
  toolResults: 0,
  marks: [],
  json: null,
  streamUsage: true,
  ...rest,
})
const says = (scenario: Scenario, request: Ask, family = 'openai', memory = freshMemory()) => {
  const { rule, step } = chooseStep(scenario, request, family, memory)
  return [rule, step]
}

test('the first rule wins whose words all occur, none of its forbidden ones, and whose family is the asker’s', () => {
  const scenario: Scenario = {
    rules: [
      { when: ['red', 'blue'], steps: [{ say: 'both' }] },
      { when: ['red'], not: ['green'], family: 'google', steps: [{ say: 'google red' }] },
      { when: ['red'], not: ['green'], steps: [{ say: 'red' }] },
      { when: [], last: ['again'], steps: [{ say: 'once more' }] },
    ],
  }
  assert.deepEqual(says(scenario, ask('red and blue')), [0, { say: 'both' }])
  assert.deepEqual(says(scenario, ask('red'), 'google'), [1, { say: 'google red' }])
  assert.deepEqual(says(scenario, ask('red')), [2, { say: 'red' }])
  assert.deepEqual(says(scenario, ask('red green, again', { lastUser: 'again' })), [3, { say: 'once more' }])
  const none = [null, { say: 'No rule of the scenario matches this conversation.' }]
  assert.deepEqual(says(scenario, ask('again, then not', { lastUser: 'then not' })), none)
  assert.deepEqual(says(scenario, ask('nothing', { system: 'red and blue' })), none)
})

test('the step is the number of tool results so far; after the last one the last word is repeated', () => {
  const rule: Rule = { when: [], steps: [{ shell: 'a' }, { shell: 'b' }, { say: 'end' }] }
  const at = (toolResults: number, steps = rule.steps) =>
    says({ rules: [{ ...rule, steps }] }, ask('x', { toolResults }))[1]
  assert.deepEqual(
    [0, 1, 2, 3].map((count) => at(count)),
    [{ shell: 'a' }, { shell: 'b' }, { say: 'end' }, { say: 'end' }],
  )
  assert.deepEqual(at(1, [{ shell: 'a' }]), { say: 'Done.' })
})

test('a fault stands between two steps, takes no number, and passes after its times', () => {
  const fault = { fault: { status: 500, times: 2 } }
  const scenario: Scenario = { rules: [{ when: [], steps: [{ shell: 'a' }, fault, { shell: 'b' }, { say: 'end' }] }] }
  const memory = freshMemory()
  const at = (toolResults: number) => chooseStep(scenario, ask('x', { toolResults }), 'openai', memory).step
  assert.deepEqual(
    [at(0), at(1), at(1), at(1), at(2), at(1)],
    [{ shell: 'a' }, fault, fault, { shell: 'b' }, { say: 'end' }, { shell: 'b' }],
  )
})

test('a fault that the conversation has passed already is not given, however fresh', () => {
  const scenario: Scenario = {
    rules: [{ when: [], steps: [{ fault: { status: 500 } }, { shell: 'a' }, { say: 'end' }] }],
  }
  assert.deepEqual(says(scenario, ask('x', { toolResults: 1 })), [0, { say: 'end' }])
})

test('a rule that may begin once keeps the conversation it began and leaves the next to the rule below', () => {
  const scenario: Scenario = {
    rules: [
      { when: ['x'], times: 1, steps: [{ shell: 'wrong' }, { say: 'wrong end' }] },
      { when: ['x'], steps: [{ shell: 'right' }, { say: 'right end' }] },
    ],
  }
  const memory = freshMemory()
  const next = (rest: Partial<Ask> = {}) => chooseStep(scenario, ask('x', rest), 'openai', memory)
  assert.deepEqual(next({ tools: [] }).step, { say: 'wrong end' }, 'a side errand begins nothing')
  const first = next()
  const second = next()
  const followUp = (mark: string) => next({ toolResults: 1, marks: [`call_${mark}_abc`] }).step
  assert.deepEqual(
    [first.step, second.step, followUp(second.mark), followUp(first.mark)],
    [{ shell: 'wrong' }, { shell: 'right' }, { say: 'right end' }, { say: 'wrong end' }],
  )
})

test('usage of a step goes before usage of its rule', () => {
  const rules: Rule[] = [{ when: [], usage: { input: 5, output: 6 }, steps: [{ say: 'x', usage: { output: 7 } }] }]
  assert.deepEqual(chooseStep({ rules }, ask('x'), 'openai', freshMemory()).usage, { input: 5, output: 7 })
})

test('a scenario from outside is read as it is or refused with the place of what is wrong', () => {
  const good = {
    rules: [
      {
        when: ['a'],
        not: ['b'],
        steps: [{ shell: 'x', usage: { output: 1 } }, { misbehave: 'crash' }, { json: {} }, { fault: { status: 1 } }],
      },
    ],
  }
  assert.deepEqual(readScenario(good), good)
  const wrong = (step: unknown) =>
    (readScenario({ rules: [{ when: [], steps: [{ say: 'x' }, step] }] }) as { why?: string }).why
  assert.deepEqual(
    [
      { sing: 'x' },
      { say: 'x', shell: 'y' },
      { misbehave: 'sulk' },
      { write: { path: 'x' } },
      { shell: 7 },
      { fault: {} },
      { json: [] },
    ].map((step) => wrong(step)?.replace(/:? (crash|write, replace).*?(, has .*)?$/, '$2')),
    [
      'rule 0, step 1: needs exactly one of, has sing',
      'rule 0, step 1: needs exactly one of, has say, shell',
      'rule 0, step 1: "sulk" is no misbehaviour',
      'rule 0, step 1: "write" needs the texts content',
      'rule 0, step 1: "shell" is a text',
      'rule 0, step 1: "fault" needs a status',
      'rule 0, step 1: "json" is an object',
    ],
  )
  assert.deepEqual(readScenario([]), { refused: 'bad-scenario', why: 'a scenario is an object with a list of rules' })
})
