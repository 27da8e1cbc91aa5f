/** Who must review what, whose word counts, and when a verdict falls. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { threeFamilies } from './fixture.ts'
import {
  checkCheck,
  checkVote,
  judged,
  nextChecks,
  openRound,
  reviewPolicy,
  settle,
  verdictOf,
  type Finding,
  type Round,
} from './review.ts'

const policyFor = (usable: readonly string[], more: object = {}) =>
  reviewPolicy({ author: 'openai', usable, kind: 'feature', protectedPaths: [], ...more })
const whom = ({ families, person, advisory }: ReturnType<typeof reviewPolicy>) => ({ families, person, advisory })

const finding = (id: string, more: Partial<Finding> = {}): Finding => ({
  id,
  file: 'a.ts',
  line: 1,
  severity: 'high',
  claim: `${id} is wrong`,
  proof: null,
  ...more,
})

const round = (more: Partial<Round> = {}): Round => ({
  ...openRound({ number: 1, commit: 'c1', base: 'b', author: 'openai', policy: policyFor(threeFamilies) }),
  ...more,
})
const vote = (family: string) => ({ family, model: `${family}-1`, attempt: `att_${family}`, commit: 'c1', summary: '' })
const voted = (more: Partial<Round> = {}): Round => round({ votes: [vote('anthropic'), vote('google')], ...more })

test('three families: two others; two: the other and a person; one: a person, with advice that never counts', () => {
  assert.deepEqual(whom(policyFor(threeFamilies)), {
    families: ['anthropic', 'google'],
    person: false,
    advisory: null,
  })
  assert.deepEqual(whom(policyFor(['openai', 'google'])), { families: ['google'], person: true, advisory: null })
  assert.deepEqual(whom(policyFor(['openai'])), { families: [], person: true, advisory: 'openai' })
})

test('a security task or a protected path asks every other family and a person', () => {
  const all = { families: ['anthropic', 'google', 'mistral'], person: true, advisory: null }
  const usable = [...threeFamilies, 'mistral']
  assert.deepEqual(whom(policyFor(usable, { kind: 'security' })), all)
  assert.deepEqual(whom(policyFor(usable, { protectedPaths: ['package.json'] })), all)
})

test('a repository may ask for more, never for less, and what it asks for in vain a person must stand in for', () => {
  const four = [...threeFamilies, 'mistral']
  assert.deepEqual(whom(policyFor(four, { least: { families: 3 } })).families, ['anthropic', 'google', 'mistral'])
  assert.equal(policyFor(threeFamilies, { least: { families: 3 } }).person, true)
  assert.equal(policyFor(threeFamilies, { least: { person: true } }).person, true)
  assert.deepEqual(
    whom(policyFor(threeFamilies, { least: { families: 0, person: false } })),
    whom(policyFor(threeFamilies)),
  )
})

test('there is no way to fewer than two other families without a person, and the author is never among them', () => {
  const family = fc.constantFrom(...threeFamilies, 'mistral', 'nobody')
  fc.assert(
    fc.property(
      family,
      fc.uniqueArray(family),
      fc.constantFrom('feature', 'security', 'review'),
      fc.array(fc.string(), { maxLength: 2 }),
      fc.record({ families: fc.nat(5), person: fc.boolean() }, { requiredKeys: [] }),
      (author, usable, kind, protectedPaths, least) => {
        const policy = reviewPolicy({ author, usable, kind, protectedPaths, least })
        assert.ok(!policy.families.includes(author) && !policy.checkers.includes(author))
        assert.ok(policy.person || new Set(policy.families).size >= Math.max(2, least.families ?? 0))
        assert.ok(policy.families.every((each) => usable.includes(each)))
      },
    ),
    { seed: 2026 },
  )
})

test('a vote counts once, from a family that was asked, on the commit of the open round', () => {
  const cast = (family: string, more: object = {}, on: Round | null = round({ votes: [vote('google')] })) =>
    checkVote(on, { family, commit: 'c1', round: 1, ...more })?.refused ?? null
  assert.deepEqual(
    [
      cast('anthropic'),
      cast('openai'),
      cast('mistral'),
      cast('google'),
      cast('anthropic', { commit: 'c2' }),
      cast('anthropic', { round: 2 }),
      cast('anthropic', {}, round({ verdict: 'rejected' })),
      cast('anthropic', {}, null),
    ],
    [null, 'own-work', 'not-asked', 'already-voted', 'stale-commit', 'round-closed', 'round-closed', 'round-closed'],
  )
})

test('a check counts once, from a family that neither wrote the commit nor found the finding', () => {
  const policy = { ...policyFor([...threeFamilies, 'mistral']), checkers: ['google', 'anthropic', 'mistral', 'openai'] }
  const asked = { ...judged(finding('f1'), 'google'), checks: [{ by: 'mistral', verdict: 'undecided', evidence: '' }] }
  const on = { ...voted({ policy }), findings: [asked, { ...asked, id: 'f2', state: 'dismissed' }] } as Round
  const check = (by: string, id = 'f1', of = on) => checkCheck(of, { finding: id, by })?.refused ?? null
  assert.deepEqual(
    [
      check('anthropic'),
      check('openai'),
      check('google'),
      check('mistral'),
      check('xai'),
      check('anthropic', 'f2'),
      check('anthropic', 'f3'),
      check('anthropic', 'f1', { ...on, verdict: 'rejected' }),
    ],
    [null, 'own-work', 'own-finding', 'already-checked', 'not-asked', 'settled', 'settled', 'settled'],
  )
})

test('no check is owed before all have voted; then a proof is tried first, and else another family is asked', () => {
  const findings = [
    judged(finding('by-proof', { proof: 'npm test' }), 'google'),
    judged(finding('by-word'), 'google'),
    judged(finding('small', { severity: 'low', proof: 'npm test' }), 'google'),
  ]
  assert.deepEqual(nextChecks(round({ votes: [vote('google')], findings })), [])
  assert.deepEqual(nextChecks(voted({ findings })), [
    { finding: 'by-proof', step: 'reproduce' },
    { finding: 'by-word', step: 'crosscheck', family: 'anthropic' },
  ])
  const tried = settle(voted(), findings[0]!, { by: 'behaviour', verdict: 'undecided', evidence: 'exit 0' })
  assert.deepEqual(nextChecks(voted({ findings: [tried] })), [
    { finding: 'by-proof', step: 'crosscheck', family: 'anthropic' },
  ])
  const confirmed = settle(voted(), findings[1]!, { by: 'anthropic', verdict: 'confirmed', evidence: 'line 3' })
  assert.deepEqual(nextChecks(voted({ findings: [findings[0]!, confirmed] })), [], 'the verdict is known')
})

test('a confirmed finding rejects, an undecided one too unless a person will look, a dismissed or a low one does not', () => {
  const found = (state: 'confirmed' | 'undecided' | 'dismissed' | 'noted' | 'open') => ({
    ...judged(finding('f'), 'google'),
    state,
  })
  const person = { ...policyFor(threeFamilies), person: true }
  const verdict = (more: Partial<Round>) => verdictOf(voted(more))?.verdict ?? null
  assert.deepEqual(
    [
      verdict({}),
      verdict({ findings: [found('confirmed'), found('open')], policy: person }),
      verdict({ findings: [found('undecided')] }),
      verdict({ findings: [found('undecided')], policy: person }),
      verdict({ findings: [found('dismissed'), found('noted')] }),
      verdict({ findings: [found('open')] }),
      verdict({ votes: [vote('google')] }),
    ],
    ['approved', 'rejected', 'rejected', 'approved', 'approved', null, null],
  )
})

test('however the checks go, a finding is settled after at most one try by behaviour and one word of each other family', () => {
  const word = fc.constantFrom('undecided' as const, 'undecided' as const, 'confirmed' as const, 'dismissed' as const)
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.constantFrom('google', 'anthropic', 'mistral')),
      fc.infiniteStream(word),
      (checkers, words) => {
        const on = voted({
          policy: { ...policyFor(threeFamilies), checkers },
          findings: [judged(finding('f', { proof: 'x' }), 'google')],
        })
        let now = on
        let asked = 0
        for (let check = nextChecks(now)[0]; check; check = nextChecks(now)[0]) {
          asked += 1
          const by = check.step === 'crosscheck' ? check.family : 'behaviour'
          assert.equal(check.step === 'crosscheck' ? checkCheck(now, { finding: 'f', by }) : null, null)
          const verdict = words.next().value
          now = { ...now, findings: now.findings.map((each) => settle(now, each, { by, verdict, evidence: '' })) }
        }
        assert.ok(asked <= 3 && verdictOf(now) !== null)
      },
    ),
    { seed: 2026 },
  )
})
